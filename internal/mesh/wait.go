package mesh

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
)

// comingWait is how long a message or call waits for a node that starts, where no other runs its service. It fails within a
// second then.
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

// awaitComing waits for a node that runs a service and starts, but not for long.
func (n *Mesh) awaitComing(ctx context.Context, service string) {
	ctx, cancel := context.WithTimeout(ctx, comingWait)
	defer cancel()
	n.await(ctx, func() bool {
		others := n.others.Load()
		return len(others.Open(service)) > 0 || !others.Coming(service)
	})
}
