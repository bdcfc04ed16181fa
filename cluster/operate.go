package cluster

import (
	"context"
	"slices"

	"github.com/lonng/nano/internal/dispatch"
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

// AskAll asks all other nodes, and joins their errors. Nodes of v0.5, and nodes that do not know
// the question, are left out.
func (i Inspector) AskAll(ctx context.Context, what string, data []byte) error {
	if err := i.n.notStarted(); err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultCallTimeout)
		defer cancel()
	}
	var err error
	dispatch.Await(ctx, func() { err = i.n.mesh.Questions.AskAll(ctx, what, data) })
	return err
}

// Rebind has the clients of this node choose again that are bound to the node at addr for a
// service. With leaving, none chooses that node any more, if there is another one.
func (i Inspector) Rebind(service, addr string, leaving bool) {
	if i.n.ready.Load() {
		i.n.mesh.Routes.Rebind(service, addr, leaving)
	}
}

// Addr returns the address by which other nodes know this one; "" before the start.
func (i Inspector) Addr() string {
	if !i.n.ready.Load() {
		return ""
	}
	return i.n.mesh.Addr()
}

// Services returns the names of the services that this node runs.
func (i Inspector) Services() []string {
	if !i.n.ready.Load() {
		return nil
	}
	return slices.Clone(i.n.runs)
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
