package nano

import (
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/session"
)

// Delivery says what may become of the pushes of a route while they wait; see [WithDelivery]. The
// zero value delivers every message.
type Delivery = session.Delivery

// Latest delivers the newest message of a route: while one waits for a session, a newer one takes
// its place. Use it for what replaces itself as a whole, such as the state of a board.
func Latest() Delivery { return Delivery{Class: session.DeliverLatest} }

// LatestBy is [Latest] for each key that the function finds in what is pushed, such as the player
// whose position it is. The function runs on the goroutine that pushes, and may be called by
// several at once. What is pushed under the route and is no T is delivered like any other message.
func LatestBy[T any](key func(T) string) Delivery {
	return Delivery{Class: session.DeliverLatest, Key: func(v any) (string, bool) {
		t, ok := v.(T)
		if !ok {
			return "", false
		}
		return key(t), true
	}}
}

// DropWhenBusy drops a message for a session whose client does not keep up: the kernel takes no
// more for it. Use it for what is worth nothing later, such as an effect.
func DropWhenBusy() Delivery { return Delivery{Class: session.DeliverUnlessBusy} }

// WithCompression compresses WebSocket messages of at least so many bytes for clients that offer
// permessage-deflate, as browsers do, if that makes them smaller. Each message stands for itself
// (no context takeover), so a connection holds no memory for it, and a broadcast is compressed once
// for all members. Such clients may compress what they send, too: a message may unpack to as many
// bytes as a packet may have, see [WithMaxPacket]. They do not get the gzip of [WithGzip] as well.
// A few hundred bytes are sensible. Default: 0, messages are not compressed.
func WithCompression(atLeast int) Option {
	return func(o *cluster.Options) { o.CompressMin = atLeast }
}

// WithDelivery sets how pushes and broadcasts of the routes are delivered: [Latest], [LatestBy] or
// [DropWhenBusy]. It may be used more than once, and adds routes.
//
// What arrives, arrives in the order in which it was pushed: a newer message does not stand where
// the one was that it replaces, but behind what was pushed in between. Messages without a class,
// and responses, are never left out. While a client does not keep up, a response goes before
// messages with a class that wait right before it, and a kick drops those that wait. A full queue
// makes room by dropping those of DropWhenBusy, and has an eighth of its size more for responses;
// for a message of Latest that does not fit, [WithSlowConsumer] holds. A message that is left out
// is no error; Stats counts it as Skipped or Replaced.
//
// Sessions that can be resumed count what they are sent, see [WithResume]: for them, nothing is
// replaced, and no response goes before what was pushed earlier.
//
// In a cluster, set it on the nodes that push: the class and the key go with the message to the
// session's gate, where it waits. A gate uses its own option for messages that come without a
// class, as from nodes of v0.5; it sees their bytes. Default: every message is delivered.
func WithDelivery(d Delivery, routes ...string) Option {
	return func(o *cluster.Options) {
		if o.Deliveries == nil {
			o.Deliveries = make(map[string]session.Delivery, len(routes))
		}
		for _, route := range routes {
			o.Deliveries[route] = d
		}
	}
}
