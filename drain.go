package nano

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Drain has the clients of this node leave it, so that Shutdown costs nobody anything: call it, and
// then Shutdown. It returns nil when no session is left, and an error when ctx ends before. A
// second call, at any time, goes on with it. Nothing takes a drain back.
//
// From its beginning, the node takes no new sessions, and [App.Draining] says so: it closes the
// connections of new clients, which try again, at another node if a balancer leads them there. In a
// cluster, other nodes send it no new sessions either. Clients that can resume their sessions (see
// [WithResume]) are asked to come back on a new connection, spread over the time that [WithDrain]
// sets; one that comes to this node all the same is served, and asked again after 5 s. Other
// clients are not disturbed: Shutdown kicks those that are left.
//
// A node with services that has a Move (see [Drain]) moves what it has for its sessions first, and
// then has them choose other nodes as [App.Rebind] does.
func (a *App) Drain(ctx context.Context) error {
	var err error
	if move := a.drain.Move; move != nil && a.node.Drainer().Begin() == nil && !a.moved.Swap(true) {
		if err = guarded(ctx, move); err != nil {
			err = fmt.Errorf("nano: drain: move: %w", err)
		}
		err = errors.Join(err, a.Rebind(ctx, a.node.Inspector().Services()...))
	}
	return errors.Join(err, a.node.Drainer().Clients(ctx))
}

// guarded calls fn, and makes an error of its panic.
func guarded(ctx context.Context, fn func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return fn(ctx)
}

// Draining reports whether the node takes no new sessions, because Drain or Shutdown was called. A
// balancer that asks for the node's readiness is to hear it.
func (a *App) Draining() bool { return a.node.Drainer().Draining() }

// Ending returns a channel that is closed when the application begins to end: by Quit, Shutdown, or
// the end of Run. Whoever serves something that lasts, such as a stream of events on a page, ends
// it then, so that the end does not wait for it.
func (a *App) Ending() <-chan struct{} { return a.quitting }

// Rebind has the sessions of all gates that are bound to this node for a service of its own choose
// again, as a session's first message for the service does: after the application has moved what it
// has for them. While this node is drained, they choose among the others. The node that a session
// chooses hears of it at once: OnOpened runs there, before the client has said anything.
//
// When Rebind returns nil, each gate has done so, and what it had sent here before has arrived.
// This node knows the sessions as before, and answers what they have asked. The errors are those of
// gates that did not answer; without a deadline in ctx they have cluster.DefaultCallTimeout. Gates
// of v0.5 choose again only when this node has left.
func (a *App) Rebind(ctx context.Context, services ...string) error {
	for _, service := range services {
		data, err := json.Marshal(rebinding{Service: service, Node: a.node.Inspector().Addr(), Leaving: a.Draining()})
		if err != nil {
			return fmt.Errorf("nano: rebind %s: %w", service, err)
		}
		if err := a.node.Inspector().AskAll(ctx, askRebind, data); err != nil {
			return fmt.Errorf("nano: rebind %s: %w", service, err)
		}
	}
	return nil
}

// rebinding is what a node asks of gates.
type rebinding struct {
	Service string `json:"service"`
	Node    string `json:"node"` // the service address to which the sessions are bound
	Leaving bool   `json:"leaving,omitempty"`
}

// rebind has the sessions of this gate choose again.
func (a answers) rebind(r rebinding) (any, error) {
	a.app.node.Inspector().Rebind(r.Service, r.Node, r.Leaving)
	return nil, nil
}

// drainUntil drains the node for as long as within, until Quit or Shutdown is called, until second
// is closed, or until ctx ends.
func (a *App) drainUntil(ctx context.Context, within time.Duration, second <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	go func() {
		select {
		case <-second:
		case <-a.quitting:
		case <-ctx.Done():
		}
		cancel()
	}()
	return a.Drain(ctx)
}
