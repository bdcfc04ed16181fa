package mesh

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// router finds the node that serves a message: for a session the one that it is bound to, or that
// the application chooses; for a call any that runs the service. Its methods may be called
// concurrently.
type router struct {
	*node
	peers    *peers
	roster   *roster
	sessions *gateSessions
	next     atomic.Uint64 // calls take the nodes in turn
}

func newRouter(n *node, ps *peers, r *roster, gs *gateSessions) *router {
	rt := &router{node: n, peers: ps, roster: r, sessions: gs}
	rt.next.Store(rand.Uint64()) // beginning anywhere
	return rt
}

// comingWait is how long the first message or call waits for a node that starts, where no other
// runs its service. It fails within a second then.
const comingWait = 700 * time.Millisecond

// Forward sends a message of a session to the node that serves it. It is the dispatcher's way out.
// It ends the span, with the message's outcome.
func (rt *router) Forward(from dispatch.Entity, m *codec.Message, span tracing.Span) error {
	p, err := rt.way(from, m)
	if err == nil {
		switch from := from.(type) {
		case *gate.Conn:
			return rt.sessions.forward(from, p, messageFrame(from.Session(), m), span)
		case *remoteSession:
			err = from.sendOn(p, messageFrame(from.Session(), m))
		default:
			err = component.Errorf(component.CodeInvalid, "route %q is on another node: use Call or Notify", m.Route)
		}
	}
	rt.table.Spans().End(span, err)
	return err
}

// way returns the way to the node that serves a message of a session.
func (rt *router) way(from dispatch.Entity, m *codec.Message) (*peer, error) {
	service, err := dispatch.ServiceOf(m.Route)
	if err != nil {
		return nil, component.Errorf(component.CodeNotFound, "no handler for route %q", m.Route)
	}
	s := from.Session()
	p, err := rt.choose(service, s)
	if _, client := from.(*gate.Conn); err != nil && client && rt.coming(service) && scheduler.Current() == nil {
		rt.awaitComing(s.Context(), service) // the client is not read meanwhile
		p, err = rt.choose(service, s)
	}
	return p, err
}

// Reaches tells whether a session may stay with the node at addr for a service. That it may be
// bound to this node itself is the application's business.
func (rt *router) Reaches(service, addr string) bool {
	return addr == rt.addr || rt.roster.table().Keeps(addr, service)
}

// choose returns the way to the node that serves s for a service, and binds s to it.
func (rt *router) choose(service string, s *session.Session) (*peer, error) {
	if addr, ok := s.Router().Find(service); ok {
		if p := rt.peers.at(addr); p != nil {
			return p, nil
		}
	}
	return rt.chooseAnew(service, s)
}

// chooseAnew is choose whatever s is bound to.
func (rt *router) chooseAnew(service string, s *session.Session) (*peer, error) {
	open := rt.staying(rt.roster.table().Open(service))
	if len(open) == 0 {
		return nil, rt.none(service, "reached")
	}
	addr, err := rt.ask(service, s, open)
	if err != nil {
		return nil, err
	}
	p := rt.peers.at(addr)
	if p == nil {
		return nil, unavailable(addr)
	}
	s.Router().Bind(service, addr)
	return p, nil
}

// ask asks the application.
func (rt *router) ask(service string, s *session.Session, open []member.Peer) (addr string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("cluster: the route function panicked: %v", v)
		}
	}()
	if rt.cfg.Choose == nil {
		return open[rand.IntN(len(open))].Addr, nil
	}
	return rt.cfg.Choose(service, s, open, func(addr string) int64 {
		if p := rt.peers.at(addr); p != nil {
			return p.sessions.Load()
		}
		return 0
	})
}

// none is the error when no node can serve a service.
func (rt *router) none(service, what string) error {
	if len(rt.roster.table().Running(service)) > 0 {
		return component.Errorf(component.CodeUnavailable, "no node that runs service %q can be %s now", service, what)
	}
	return component.Errorf(component.CodeNotFound, "no node runs service %q", service)
}

// anyOf chooses a node that runs a service, for a call.
func (rt *router) anyOf(service string) (*peer, error) {
	open := linked(rt.roster.table().Open(service))
	if len(open) == 0 {
		return nil, rt.none(service, "called")
	}
	p := rt.peers.at(open[int(rt.next.Add(1)%uint64(len(open)))].Addr)
	if p == nil {
		return nil, component.Errorf(component.CodeUnavailable, "no node that runs service %q can be called now", service)
	}
	return p, nil
}

// allOf returns all nodes that run a service and take calls.
func (rt *router) allOf(service string) (all []*peer) {
	for _, m := range linked(rt.roster.table().Running(service)) {
		if p := rt.peers.at(m.Addr); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// linked leaves out nodes of the 0.5 series: what is not from a session cannot be said to them.
func linked(all []member.Peer) []member.Peer {
	some := make([]member.Peer, 0, len(all))
	for _, p := range all {
		if p.Link > 0 {
			some = append(some, p)
		}
	}
	return some
}

// WaitFor waits until each of the services can be reached, here or on a node that is connected to
// this one.
func (rt *router) WaitFor(ctx context.Context, services ...string) error {
	missing := func() string {
		for _, s := range services {
			if !rt.canReach(s) {
				return s
			}
		}
		return ""
	}
	if !rt.cfg.clustered() {
		if s := missing(); s != "" {
			return component.Errorf(component.CodeNotFound, "this node is in no cluster and does not run service %q", s)
		}
		return nil
	}
	reached := true
	dispatch.Await(ctx, func() { reached = rt.roster.await(ctx, func() bool { return missing() == "" }) })
	if reached {
		return nil
	}
	if ctx.Err() == nil {
		return component.Errorf(component.CodeUnavailable, "wait for service %q: the node shuts down", missing())
	}
	return fmt.Errorf("cluster: wait for service %q: %w", missing(), context.Cause(ctx))
}

// canReach tells whether a message for a service would be on its way at once.
func (rt *router) canReach(service string) bool {
	if slices.Contains(rt.cfg.Services, service) {
		return true
	}
	for _, m := range rt.roster.table().Open(service) {
		if p := rt.peers.at(m.Addr); p != nil && p.connected() {
			return true
		}
	}
	return false
}

// coming tells whether a node starts that runs a service.
func (rt *router) coming(service string) bool { return rt.roster.table().Coming(service) }

// awaitComing waits for that node, but not for long. Only the first messages for a node wait: if
// each did, a client that sends many would not be read for as long as the node starts.
func (rt *router) awaitComing(ctx context.Context, service string) {
	var until time.Time
	for _, m := range rt.roster.table().Running(service) {
		if p := rt.peers.at(m.Addr); p != nil && m.Coming() {
			if at := p.awaitedUntil(time.Now().Add(comingWait)); at.After(until) {
				until = at
			}
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	rt.roster.await(ctx, func() bool {
		t := rt.roster.table()
		return len(t.Open(service)) > 0 || !t.Coming(service)
	})
}
