package cluster

import "github.com/lonng/nano/internal/gate"

// LimitPolicy says what happens to what is over a limit.
type LimitPolicy uint8

// The policies of limits.
const (
	LimitWait LimitPolicy = iota // it waits: the client is not read, or connections are not accepted
	LimitDrop                    // it is dropped: a request is refused (resource_exhausted), a connection is closed
	LimitKick                    // the session is kicked with the reason "flood"
)

// Limits are what clients may ask for. Zero sets no limit. The options of package nano that set the
// fields say more: WithMessageRate, WithConnectionsPerAddress, WithAcceptRate and
// WithConcurrentHandshakes.
type Limits struct {
	Messages        float64     // requests and notifies of one session a second
	MessageBurst    int         // how many at once, before Messages counts
	MessagePolicy   LimitPolicy // for messages over the limit
	PerAddress      int         // open connections of one address
	Accepts         float64     // connections that are accepted a second
	AcceptBurst     int         // how many at once, before Accepts counts
	AcceptPolicy    LimitPolicy // for connections over the limit: LimitWait or LimitDrop
	Handshakes      int         // connections whose handshake is not finished
	HandshakePolicy LimitPolicy // for connections over the limit: LimitWait or LimitDrop
}

// gate is what the client side of the node needs of the limits.
func (l Limits) gate() gate.Limits {
	return gate.Limits{
		Messages: l.Messages, MessageBurst: l.MessageBurst, MessagePolicy: gate.LimitPolicy(l.MessagePolicy),
		PerAddress: l.PerAddress,
		Accepts:    l.Accepts, AcceptBurst: l.AcceptBurst, AcceptPolicy: gate.LimitPolicy(l.AcceptPolicy),
		Handshakes: l.Handshakes, HandshakeLimit: gate.LimitPolicy(l.HandshakePolicy),
	}
}
