package nano

import (
	"context"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
)

// ErrNoApp is returned by Call for a context that belongs to no application.
var ErrNoApp = fault.New(fault.Invalid, "nano: the context belongs to no application: use a handler's, or App.Context")

// ErrOffline is returned for a user who has no session on any gate.
var ErrOffline = cluster.ErrOffline

// Call calls the handler of a route ("Service.Method") on this node or on one that runs the service, and waits for its
// reply. ctx is a handler's, or made by App.Context. The handler is one like any other: it may return its reply, or
// answer with Session.Response; its session has no client and no user.
//
// Errors: what the handler returned, as *Error; *Error with the code "unavailable" if the node is gone, "not_found" if
// nobody runs the service; ctx's own. Without a deadline in ctx there is one of cluster.DefaultCallTimeout.
//
// The context of the handler that is called ends when ctx does: by its deadline, or a moment after it was cancelled. A
// handler that answers before it returns has it until then.
//
// A handler, task or timer that calls lets its scheduler, whichever that is, run others until the reply is there; what it
// knew of the state of the application before, it has to look at again.
func Call[Resp any](ctx context.Context, route string, req any) (*Resp, error) {
	n, err := nodeOf(ctx)
	if err != nil {
		return nil, err
	}
	resp := new(Resp)
	if err := n.Call(ctx, route, req, resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// Notify has the handler of a route called, on this node or on one that runs the service, without waiting. ctx is a
// handler's, or made by App.Context. v is the caller's again when it returns: bytes are copied, all else is serialized.
func Notify(ctx context.Context, route string, v any) error {
	n, err := nodeOf(ctx)
	if err != nil {
		return err
	}
	return n.Notify(route, v)
}

type nodeKey struct{}

func nodeOf(ctx context.Context) (*cluster.Node, error) {
	if n, ok := ctx.Value(nodeKey{}).(*cluster.Node); ok {
		return n, nil
	}
	if n, ok := dispatch.OwnerOf(ctx).(*cluster.Node); ok {
		return n, nil
	}
	return nil, ErrNoApp
}

// Context returns a context that belongs to the application, for Call and Notify outside of handlers: in timers, in
// tasks, in goroutines of one's own.
func (a *App) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, nodeKey{}, a.node)
}

// Notify has the handler of a route called, on this node or on one that runs the service, without waiting. v is the
// caller's again when it returns, also of NotifyAll, NotifyNode and PushTo: bytes are copied, all else is serialized.
func (a *App) Notify(route string, v any) error { return a.node.Notify(route, v) }

// NotifyAll has the handler of a route called on every node that runs the service, this one among them.
func (a *App) NotifyAll(route string, v any) error { return a.node.NotifyAll(route, v) }

// NotifyNode has the handler of a route called on the node with that service address.
func (a *App) NotifyNode(addr, route string, v any) error { return a.node.NotifyNode(addr, route, v) }

// Call calls the handler of a route ("Service.Method") on this node or on one that runs the service,
// waits for its reply and unmarshals it into reply: a pointer; a *[]byte takes the bytes as they are,
// nil throws them away. The function [Call] does the same with the app of its context, and says more.
func (a *App) Call(ctx context.Context, route string, req, reply any) error {
	return a.node.Call(ctx, route, req, reply)
}

// PushTo pushes to all sessions of a user, whichever gates of the cluster they are at. ErrOffline if this node knows of none:
// news of other gates take a moment, see Online.
func (a *App) PushTo(uid int64, route string, v any) error { return a.node.PushTo(uid, route, v) }

// WaitFor waits until each of the services can be reached: it runs on this node, or on another that has started and is connected
// to this one. Without it, the first calls after a start may come before that, and get "unavailable" or "not_found". It returns an
// error that names the service when ctx ends first. A handler, a task or a timer may call it: its scheduler runs others while it
// waits.
func (a *App) WaitFor(ctx context.Context, services ...string) error {
	return a.node.WaitFor(ctx, services...)
}

// KickUser kicks all sessions of a user, whichever gates they are at. Each gate looks for them itself, so the kick finds every
// session whose Bind was answered before. ErrOffline if there are none: where this node has heard of none, it waits for the
// gates to say so, at most 250 ms. Called by a handler, a task or a timer it does not wait: ErrOffline then says that this node
// has heard of none yet, and the gates kick whom they have all the same.
func (a *App) KickUser(uid int64, reason string) error { return a.node.KickUser(uid, reason) }

// Online tells whether a user has a session on any gate of the cluster, as far as this node has heard: a Bind or an end at
// another gate is known here about as soon as a message from there would arrive, and may be later than the client's own answer.
func (a *App) Online(uid int64) bool { return a.node.Online(uid) }

// OnlineUIDs returns the users who have a session on any gate, in no order. Their number is its length.
func (a *App) OnlineUIDs() []int64 { return a.node.OnlineUIDs() }

// Members returns the service addresses of the other nodes of the cluster.
func (a *App) Members() []string { return a.node.Members() }
