package cluster

import (
	"context"
	"net"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/mesh"
	"github.com/lonng/nano/session"
)

// notStarted returns the error of what needs a node that runs, nil if it does.
func (n *Node) notStarted() error {
	if n.ready.Load() {
		return nil
	}
	return component.Errorf(component.CodeUnavailable, "cluster: the node has not started")
}

// DefaultCallTimeout is the deadline of a call whose context has none.
const DefaultCallTimeout = mesh.DefaultCallTimeout

// Call calls the handler of route, on this node or one of those that run it, waits for its reply
// and unmarshals it into reply (a *[]byte takes it as it is; nil throws it away). The handler's
// context ends when ctx does. Its errors: the handler's as a *component.Error; "unavailable" when
// the node dies; "not_found" when nobody serves the route; ctx's own. Without a deadline in ctx it
// is DefaultCallTimeout. A handler, a task or a timer may call it: its scheduler runs others while
// it waits.
func (n *Node) Call(ctx context.Context, route string, v, reply any) error {
	if err := n.notStarted(); err != nil {
		return err
	}
	return n.mesh.Calls.Call(ctx, route, v, reply)
}

// Notify has the handler of route called on this node or one that runs it, without a reply.
func (n *Node) Notify(route string, v any) error {
	return n.NotifyContext(context.Background(), route, v)
}

// NotifyContext is Notify within the trace of ctx, see nano.WithTracer. It does not wait: the end
// of ctx means nothing.
func (n *Node) NotifyContext(ctx context.Context, route string, v any) error {
	if err := n.notStarted(); err != nil {
		return err
	}
	return n.mesh.Calls.Notify(ctx, route, v)
}

// NotifyAll has the handler of route called on every node that runs it, this one among them.
func (n *Node) NotifyAll(route string, v any) error {
	if err := n.notStarted(); err != nil {
		return err
	}
	return n.mesh.Calls.NotifyAll(route, v)
}

// NotifyNode has the handler of route called on the node with that service address.
func (n *Node) NotifyNode(addr, route string, v any) error {
	if err := n.notStarted(); err != nil {
		return err
	}
	return n.mesh.Calls.NotifyNode(addr, route, v)
}

// WaitFor waits until each of the services can be reached: it runs on this node, or on one that has
// started and is connected to this one. It returns an error that names a service when ctx ends
// first, and at once on a node in no cluster that does not run them all. A handler, a task or a
// timer may call it: its scheduler runs others while it waits.
func (n *Node) WaitFor(ctx context.Context, services ...string) error {
	if err := n.notStarted(); err != nil {
		return err
	}
	return n.mesh.Routes.WaitFor(ctx, services...)
}

// ErrOffline is returned for a user who has no session anywhere.
var ErrOffline = mesh.ErrOffline

// Online tells whether a user is connected to any gate of the cluster, as far as this node knows:
// news of other gates take a moment.
func (n *Node) Online(uid int64) bool { return n.ready.Load() && n.mesh.Users.Online(uid) }

// OnlineUIDs returns the users who are connected to any gate, in no order.
func (n *Node) OnlineUIDs() []int64 {
	if !n.ready.Load() {
		return nil
	}
	return n.mesh.Users.OnlineUIDs()
}

// PushTo pushes to all sessions of a user, whichever gates they are at. ErrOffline if there are
// none.
func (n *Node) PushTo(uid int64, route string, v any) error {
	if !n.ready.Load() {
		return ErrOffline
	}
	return n.mesh.Users.PushTo(uid, route, v)
}

// KickUser kicks all sessions of a user, whichever gates they are at. Every gate looks for them
// itself, so the kick finds each session whose Bind was answered before, at its gate or on a
// backend. ErrOffline if there are none: where this node has heard of none, it waits for the gates
// to say so, at most a second; a gate that says nothing by then makes it an "unavailable" error.
// Called by a handler, a task or a timer it does not wait: ErrOffline then says that this node has
// not heard of any, and the gates are told all the same.
func (n *Node) KickUser(uid int64, reason string) error {
	if !n.ready.Load() {
		return ErrOffline
	}
	return n.mesh.Users.Kick(uid, reason)
}

// Session returns the live session with that id, or nil.
func (n *Node) Session(id int64) *session.Session {
	if !n.ready.Load() {
		return nil
	}
	return n.users.Session(id)
}

// SessionsOf returns the sessions of user uid on this node.
func (n *Node) SessionsOf(uid int64) []*session.Session {
	if !n.ready.Load() {
		return nil
	}
	return n.users.Of(uid)
}

// UIDs returns the users with a session on this node.
func (n *Node) UIDs() []int64 {
	if !n.ready.Load() {
		return nil
	}
	return n.users.UIDs()
}

// Drainer returns what drains the node.
func (n *Node) Drainer() Drainer { return Drainer{n} }

// Inspector returns what tools of people who run the node need.
func (n *Node) Inspector() Inspector { return Inspector{n} }

// GateOf is [github.com/lonng/nano.GateOf] for programs that have no App.
func GateOf(s *session.Session) string { return mesh.GateOf(s) }

// ServiceAddress returns the address at which other nodes reach this one, as it was opened; nil on
// a single node.
func (n *Node) ServiceAddress() net.Addr {
	if !n.ready.Load() {
		return nil
	}
	return n.mesh.ListenAddr()
}

// Members returns the service addresses of all other nodes that this one knows.
func (n *Node) Members() []string {
	if !n.ready.Load() {
		return nil
	}
	var all []string
	for _, p := range n.mesh.Members() {
		all = append(all, p.Addr)
	}
	return all
}
