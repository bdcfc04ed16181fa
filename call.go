package nano

import (
	"context"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
)

// ErrNoApp is the error of Call and Notify for a context that belongs to no application.
var ErrNoApp = fault.New(fault.Invalid, "nano: the context belongs to no application: use a handler's, or App.Context")

// ErrOffline is the error for a user who has no session on any gate.
var ErrOffline = cluster.ErrOffline

// Call calls the handler of a route ("Service.Method") on this node, or on one that runs the
// service, and waits for the reply. ctx is a handler's context, or one of App.Context. The called
// handler may return its reply or answer with Session.Response. Its session has no client and no
// user.
//
// Call returns the error of the handler as an *Error; an *Error with the code "unavailable" if the
// node is gone, or "not_found" if no node runs the service; or the error of ctx. Without a deadline
// in ctx the call has cluster.DefaultCallTimeout.
//
// The context of the called handler ends when ctx does: at its deadline, or a moment after it was
// cancelled.
//
// A handler, task or timer may use Call. Its scheduler runs others until the reply is there, so the
// state of the application may have changed when Call returns.
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

// Notify calls the handler of a route on this node, or on one that runs the service, and does not
// wait. ctx is a handler's context, or one of App.Context. The caller may change v afterwards.
func Notify(ctx context.Context, route string, v any) error {
	n, err := nodeOf(ctx)
	if err != nil {
		return err
	}
	return n.NotifyContext(ctx, route, v)
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

// Context returns a context that belongs to the application, for the functions Call and Notify
// outside of handlers: in timers, in tasks, in goroutines of your own.
func (a *App) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, nodeKey{}, a.node)
}

// Notify calls the handler of a route on this node, or on one that runs the service, and does not
// wait. The caller may change v afterwards, also after NotifyAll, NotifyNode and PushTo.
func (a *App) Notify(route string, v any) error { return a.node.Notify(route, v) }

// NotifyAll calls the handler of a route on every node that runs the service, this one included.
func (a *App) NotifyAll(route string, v any) error { return a.node.NotifyAll(route, v) }

// NotifyNode calls the handler of a route on the node with the service address addr.
func (a *App) NotifyNode(addr, route string, v any) error { return a.node.NotifyNode(addr, route, v) }

// Call calls the handler of a route ("Service.Method") on this node or on one that runs the
// service, waits for its reply and unmarshals it into reply: a pointer; a *[]byte takes the bytes
// as they are, nil throws them away. The function [Call] does the same with the app of its context,
// and says more.
func (a *App) Call(ctx context.Context, route string, req, reply any) error {
	return a.node.Call(ctx, route, req, reply)
}

// PushTo pushes to all sessions of a user, on every gate of the cluster. It returns ErrOffline if
// this node knows of none; see Online for when that is. Nil means that the push is queued for each
// gate: one that is given up before it has taken the push gets nothing, which Stats counts (Lost).
func (a *App) PushTo(uid int64, route string, v any) error { return a.node.PushTo(uid, route, v) }

// WaitFor waits until each of the services can be reached: it runs on this node, or on another one
// that has started and is connected to this one. Without it, the first calls after a start may fail
// with "unavailable" or "not_found". If ctx ends first, WaitFor returns an error that names the
// service. A handler, task or timer may use it: its scheduler runs others meanwhile.
func (a *App) WaitFor(ctx context.Context, services ...string) error {
	return a.node.WaitFor(ctx, services...)
}

// KickUser kicks all sessions of a user, on every gate of the cluster. Each gate looks for them
// itself, so the kick finds every session whose Bind was answered before; a node that has just
// started may not know all gates yet, see Members. It returns ErrOffline if there are none. If this
// node knows of none, it waits for the gates' answers, at most a second. If a node has not answered
// by then, or a gate with users cannot be reached, the error has the code "unavailable": it may
// have the user, and may have kicked them. In a handler, task or timer KickUser does not wait:
// ErrOffline then means that this node knows of none yet, and the gates kick theirs all the same. A
// gate that is given up before it has taken the kick does not kick, which Stats counts (Lost).
func (a *App) KickUser(uid int64, reason string) error { return a.node.KickUser(uid, reason) }

// Online reports whether a user has a session on any gate of the cluster, as far as this node
// knows. It learns of a Bind or an end at another gate as soon as a message from there arrives,
// which may be after the client's own answer.
func (a *App) Online(uid int64) bool { return a.node.Online(uid) }

// OnlineUIDs returns each user who has a session on any gate once, in no order. See Online.
func (a *App) OnlineUIDs() []int64 { return a.node.OnlineUIDs() }

// Members returns the service addresses of the other nodes of the cluster.
func (a *App) Members() []string { return a.node.Members() }

// Operator returns the operator of the node with that service address; "" is this node.
func (a *App) Operator(node string) *Operator { return &Operator{app: a, node: node} }
