package cluster

import (
	"context"

	"github.com/lonng/nano/session"
)

// Inspector is what consoles and other tools of people who run nodes need of one. Programs use
// nano.Operator, which is made of it. The methods may be called from any goroutine.
type Inspector struct{ n *Node }

// Ask asks the node with the service address addr about itself, or has it do something; "" is this
// node. what and data are for its Options.Answer, which answers outside of all schedulers. Only
// nodes can ask. Without a deadline in ctx it waits for DefaultCallTimeout. A node of v0.5 answers
// nothing: the error has the code "unavailable", as that of a node that cannot be reached.
func (i Inspector) Ask(ctx context.Context, addr, what string, data []byte) ([]byte, error) {
	if err := i.n.notStarted(); err != nil {
		return nil, err
	}
	return i.n.mesh.Questions.Ask(ctx, addr, what, data)
}

// Sessions returns the live sessions of the clients of this node, in no order.
func (i Inspector) Sessions() []*session.Session {
	if !i.n.ready.Load() {
		return nil
	}
	return i.n.users.All()
}

// RemoteSessions returns the sessions of clients of other gates that this node knows, in no order.
func (i Inspector) RemoteSessions() []*session.Session {
	if !i.n.ready.Load() {
		return nil
	}
	return i.n.mesh.RemoteSessions()
}

// RemoteSession returns the session of a client of the gate with that service address, nil if this
// node does not know it.
func (i Inspector) RemoteSession(gate string, id int64) *session.Session {
	if !i.n.ready.Load() {
		return nil
	}
	return i.n.mesh.RemoteSession(gate, id)
}

// LogLines returns the last lines that were logged with a number above after, the oldest first: see
// [LogRing].
func (i Inspector) LogLines(after uint64) []LogLine {
	if ring := i.n.ring.Load(); ring != nil {
		return ring.Lines(after)
	}
	return nil
}
