package mesh

import (
	"fmt"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// linkVersion is the version of the Link service that this node offers.
const linkVersion = 4

// answersFrom is the version of the link from which on nodes answer when they are asked for a sign
// of life, say when they refuse a message, and tell by Left how long a call waits.
const answersFrom = 3

// handsOverFrom is the version of the link from which on nodes know that sessions go from gate to
// gate.
const handsOverFrom = 4

// Frame flags.
const (
	flagError      = 1 << iota // of Response and Reply
	flagOff                    // of Bound: not any more; of Call: link.FlagOff
	flagHold                   // of SessionOpened, to a gate: the sender has the session, and is to be told of its end
	flagVouch                  // of SessionOpened: the sender is a backend, and Route is the session's gate
	flagValues                 // of SessionChanged: the values in Data have changed, and nothing else
	flagLatest                 // of Push and Multicast: session.DeliverLatest, and Text is the key
	flagUnlessBusy             // of Push and Multicast: session.DeliverUnlessBusy
	flagNode                   // of Call: it is for the node itself, and for no handler; Route says what is asked

	flagGap = flagOff // of SessionOpened: the session has come here without what the receiver has sent last
)

// messageFrame is the frame of a session's message.
func messageFrame(s *session.Session, m *codec.Message) *link.Frame {
	f := &link.Frame{Kind: link.Notify, Session: s.ID(), ID: m.ID, Route: []byte(m.Route), Data: m.Data}
	if m.Type == codec.Request && m.ID != 0 {
		f.Kind = link.Request
	}
	return f
}

// messageOf is the message in a frame, for a batch of handler calls.
func messageOf(f *link.Frame) codec.View {
	if f.Kind == link.Request {
		return codec.View{Type: codec.Request, ID: f.ID, Route: f.Route, Data: f.Data}
	}
	return codec.View{Type: codec.Notify, Route: f.Route, Data: f.Data}
}

// pushFrame is the frame of a push of v under route, whose payload is data, with its class of
// delivery. A gate that does not know the class delivers every message.
func (n *node) pushFrame(kind link.Kind, route string, v any, data []byte) (*link.Frame, error) {
	f := &link.Frame{Kind: kind, Route: []byte(route), Data: data}
	class, key := n.cfg.Deliveries[route].Of(v)
	switch class {
	case session.DeliverLatest:
		f.Flags, f.Text = flagLatest, []byte(key)
	case session.DeliverUnlessBusy:
		f.Flags = flagUnlessBusy
	}
	if err := checkPush(route, data); err != nil {
		return nil, err
	}
	if len(key) > maxKey {
		return nil, fmt.Errorf("cluster: push %q: the key %.40q... has %d bytes: %w", route, key, len(key), errKeyTooLong)
	}
	return f, nil
}

// maxKey is how long the key of session.DeliverLatest may be between nodes.
const maxKey = 1 << 10

var errKeyTooLong = fault.New(fault.Invalid, "cluster: the key of a delivery is over 1 KiB")

// classOf returns the class of delivery that came with a push, and the key.
func classOf(f *link.Frame) (class session.DeliveryClass, key string) {
	switch {
	case f.Flags&flagLatest != 0:
		return session.DeliverLatest, string(f.Text)
	case f.Flags&flagUnlessBusy != 0:
		return session.DeliverUnlessBusy, ""
	}
	return session.DeliverAll, ""
}

// closedFrame says that a session has ended, and why.
func closedFrame(s *session.Session) *link.Frame {
	why := s.CloseReason()
	return &link.Frame{Kind: link.SessionClosed, Session: s.ID(), ID: uint64(why.Kind), Text: []byte(why.Reason)}
}

const (
	maxBody = 1<<24 - 1 // the largest body that a packet for a client can say
	maxHead = 12        // of it is before the payload, beside the route: flags, the route's length, the id of a response
)

// checkPush tells whether a gate will be able to send this: the error belongs to who pushes.
func checkPush(route string, data []byte) error {
	if len(route) > codec.MaxRoute {
		return fmt.Errorf("cluster: push %.40q...: %w", route, codec.ErrRouteTooLong)
	}
	if len(data) > maxBody-maxHead-len(route) {
		return fmt.Errorf("cluster: push %q: a payload of %d bytes: %w", route, len(data), codec.ErrPacketTooLarge)
	}
	return nil
}

// nodeAddr is a node's address as a net.Addr.
type nodeAddr string

func (nodeAddr) Network() string  { return "tcp" }
func (a nodeAddr) String() string { return string(a) }

// unavailable is the error for who asked a node that is gone. The log has the address, and clients
// do not see it.
func unavailable(addr string) error { return fmt.Errorf("cluster: node %s: %w", addr, errPeerGone) }
