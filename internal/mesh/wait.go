package mesh

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
)

// comingWait is how long the first message or call waits for a node that starts, where no other runs its service. It fails
// within a second then.
const comingWait = 700 * time.Millisecond

// WaitFor waits until each of the services can be reached: it runs on this node, or on one that has started and is connected to
// this one. It returns an error that names a service when ctx ends first, and at once on a node in no cluster that does not
// run them all. A handler, a task or a timer may call it: its scheduler runs others while it waits.
func (n *Mesh) WaitFor(ctx context.Context, services ...string) error {
	missing := func() string {
		for _, s := range services {
			if !n.canReach(s) {
				return s
			}
		}
		return ""
	}
	if !n.cfg.clustered() {
		if s := missing(); s != "" {
			return component.Errorf(component.CodeNotFound, "this node is in no cluster and does not run service %q", s)
		}
		return nil
	}
	reached := true
	dispatch.Await(ctx, func() { reached = n.await(ctx, func() bool { return missing() == "" }) })
	if reached {
		return nil
	}
	if ctx.Err() == nil {
		return component.Errorf(component.CodeUnavailable, "wait for service %q: the node shuts down", missing())
	}
	return fmt.Errorf("cluster: wait for service %q: %w", missing(), context.Cause(ctx))
}

// canReach tells whether a message for a service would be on its way at once.
func (n *Mesh) canReach(service string) bool {
	if slices.Contains(n.cfg.Services, service) {
		return true
	}
	for _, m := range n.others.Load().Open(service) {
		if p := n.peer(m.Addr); p != nil && (p.link == nil || p.link.Stats().Connected) {
			return true
		}
	}
	return false
}

// await waits until ok, which is asked again after each change of what is known of other nodes. It is false when ctx or
// the node ends first.
func (n *Mesh) await(ctx context.Context, ok func() bool) bool {
	for {
		n.members.mu.Lock()
		news := n.members.news
		n.members.mu.Unlock()
		if ok() {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		case <-n.ctx.Done():
			return false
		}
	}
}

// awaitComing waits for a node that runs a service and starts, but not for long. Only the first messages for a node wait: if
// each did, a client that sends many would not be read for as long as the node starts.
func (n *Mesh) awaitComing(ctx context.Context, service string) {
	var until time.Time
	for _, m := range n.others.Load().Running(service) {
		if p := n.peer(m.Addr); p != nil && m.Coming() {
			if at := p.awaitedUntil(time.Now().Add(comingWait)); at.After(until) {
				until = at
			}
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	n.await(ctx, func() bool {
		others := n.others.Load()
		return len(others.Open(service)) > 0 || !others.Coming(service)
	})
}

// awaitedUntil returns until when messages wait for the node's start. The first who asks says it.
func (p *peer) awaitedUntil(at time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.awaited.IsZero() {
		p.awaited = at
	}
	return p.awaited
}
