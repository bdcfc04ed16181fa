package mesh

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// gateSessions are the clients of this gate. Its exported methods are what the gate calls; all of
// them may be called concurrently.
type gateSessions struct {
	*node
	peers      *peers
	logins     *logins
	departures *departures
	ids        atomic.Pointer[service.Connection] // makes session ids
	known      sessionTable                       // those that another node is to know
	spans      forwardSpans                       // of their requests
}

func newGateSessions(n *node, ps *peers) *gateSessions {
	gs := &gateSessions{node: n, peers: ps}
	gs.ids.Store(&n.cfg.Connections)
	return gs
}

// New makes the session of a connection.
func (gs *gateSessions) New(e session.NetworkEntity) *session.Session {
	s := session.NewWithID(e, (*gs.ids.Load()).SessionID())
	s.SetLifetime(gs.life)
	gs.cfg.Connections.Increment()
	gs.users.Add(s)
	return s
}

// InitLane makes the order of a session's calls.
func (gs *gateSessions) InitLane(l *scheduler.Lane) { gs.initLane(l) }

// Opened has the hooks run on the scheduler, before the session's first message.
func (gs *gateSessions) Opened(s *session.Session) {
	gs.sched.PushTaskTo(laneOf(s), func() { gs.life.Open(s) })
}

// Closed has the hooks run on the scheduler, after the messages that came before the end.
func (gs *gateSessions) Closed(s *session.Session) {
	if uid := gs.users.Remove(s); uid != 0 {
		gs.logins.tell(s, uid, true)
	}
	gs.close(s)
	gs.cfg.Connections.Decrement()
	gs.sched.EndLane(laneOf(s), func() { gs.life.Close(s) })
}

// Suspended has the hooks run on the scheduler, after the messages that came before.
func (gs *gateSessions) Suspended(s *session.Session) {
	gs.sched.PushTaskTo(laneOf(s), func() { gs.life.Suspend(s) })
}

// Resumed has the hooks run on the scheduler, before the messages that come after.
func (gs *gateSessions) Resumed(s *session.Session, gap bool) {
	gs.sched.PushTaskTo(laneOf(s), func() {
		s.SetGap(gap)
		gs.life.Resume(s)
	})
}

// Discard forgets a session that was never opened, because its connection carries another one on.
func (gs *gateSessions) Discard(s *session.Session) {
	gs.users.Remove(s)
	gs.cfg.Connections.Decrement()
}

// ValueChanged notes that a value of a session was set or removed. It is encoded here, on the
// goroutine that has set it: a handler may go on working with what it has set. Who knows the
// session is told before its next message, or at the end of the batch of handlers that runs: once,
// however often it was set until then.
func (gs *gateSessions) ValueChanged(s *session.Session, key string) {
	if slices.Contains(gs.cfg.Forwarded, key) {
		gs.of(s).setValue(key)
		gs.closeIfOver(s)
	}
}

// laneOf returns the order of a session's calls.
func laneOf(s *session.Session) *scheduler.Lane {
	if e, ok := s.NetworkEntity().(dispatch.Laned); ok {
		return e.Lane()
	}
	return nil
}

// of returns what other nodes know of a session, made if it is new. Who has it made calls
// closeIfOver when it has noted there what it has to.
func (gs *gateSessions) of(s *session.Session) *gateSession {
	if g := gs.known.get(s); g != nil {
		return g
	}
	return gs.known.add(s, &gateSession{node: gs.node, sess: s})
}

// find returns what other nodes know of a session, nil if that is nothing.
func (gs *gateSessions) find(s *session.Session) *gateSession {
	if s == nil {
		return nil
	}
	return gs.known.get(s)
}

// closeIfOver closes what was just made for a session that has ended: who told of its end may not
// have seen it yet.
func (gs *gateSessions) closeIfOver(s *session.Session) (over bool) {
	over = gs.users.Session(s.ID()) != s
	if over {
		gs.close(s)
	}
	return over
}

// close tells the nodes that know a session that it has ended.
func (gs *gateSessions) close(s *session.Session) {
	gs.endSpans(s.ID(), session.ErrClosed)
	g := gs.known.take(s)
	if g == nil {
		return
	}
	told := g.close()
	for _, p := range gs.peers.all() {
		if !slices.Contains(told, p) && p.link == nil { // may have it from another backend, and cannot ask to be told
			_ = p.send(closedFrame(s))
		}
	}
}

// send sends a message of a client to the node that serves it.
func (gs *gateSessions) send(from *gate.Conn, p *peer, f *link.Frame) error {
	s := from.Session()
	if r, ok := s.NetworkEntity().(*remoteSession); ok { // its client has gone to another gate
		return r.sendOn(p, f)
	}
	g := gs.of(s)
	ok, old := g.enter(p, from, f)
	for _, mid := range old {
		gs.refuse(g, from, mid, component.Errorf(component.CodeExhausted, "%d later requests have no answer either", maxInFlight*3/4))
	}
	if !ok {
		if r := gs.departures.carrier(s); r != nil { // its client is going to another gate
			return r.sendOn(p, f)
		}
	}
	if !ok || gs.closeIfOver(s) {
		return session.ErrClosed
	}
	if p.lost.Load() { // since it was chosen: its requests were failed before this one was noted, or with it
		g.credit(p, costOf(f))
		if f.Kind == link.Request && !g.unsent(f.ID) {
			return nil
		}
		return unavailable(p.addr)
	}
	if err := p.sendNow(f); err != nil {
		g.credit(p, costOf(f))
		g.answer(f.ID)
		return err
	}
	if f.Kind == link.Request && p.lost.Load() { // just now: it may have been failed before it was queued
		p.withdraw()
		if g.fail(f.ID) {
			gs.refuseAll([]refusal{{g, from, f.ID, unavailable(p.addr)}})
		}
	}
	return nil
}

// failAt has the requests that p will not answer any more answered with an error. With forget, p
// knows none of the sessions.
func (gs *gateSessions) failAt(p *peer, forget bool) {
	var all []refusal
	gs.known.each(func(g *gateSession) {
		mids := g.lose(p, forget)
		if c := connOf(g.sess); c != nil {
			for _, mid := range mids {
				all = append(all, refusal{g, c, mid, unavailable(p.addr)})
			}
		}
	})
	gs.refuseAll(all)
}

// refusal is a request that has failed, and its error.
type refusal struct {
	of  *gateSession
	at  *gate.Conn
	mid uint64
	err error
}

// refuseAll answers requests that have failed. The answers are made in the background: the
// application's functions make them, and whoever calls has no time for these.
func (gs *gateSessions) refuseAll(all []refusal) {
	if len(all) == 0 {
		return
	}
	gs.background(func() {
		for _, r := range all {
			gs.refuse(r.of, r.at, r.mid, r.err)
		}
	})
}

// awaits tells whether a request of a client of this gate has no answer yet.
func (gs *gateSessions) awaits(id int64, mid uint64) bool {
	g := gs.find(gs.users.Session(id))
	return g != nil && g.awaits(mid)
}

// fail answers one request that could not be sent, or was refused, by the node at addr.
func (gs *gateSessions) fail(id int64, mid uint64, addr string) {
	c, s := gs.client(id)
	if g := gs.find(s); g != nil && g.fail(mid) && c != nil {
		gs.refuse(g, c, mid, unavailable(addr))
	}
}

// handleHold notes that the backend at p has a session of this gate's.
func (gs *gateSessions) handleHold(p *peer, id int64) {
	s := gs.users.Session(id)
	if s == nil || !gs.of(s).hold(p) {
		if to, gone := gs.departures.to(id); gone && p.version >= handsOverFrom {
			_ = p.send(movedFrame(id, 0, to))
			return
		}
		_ = p.send(&link.Frame{Kind: link.SessionClosed, Session: id})
		return
	}
	gs.closeIfOver(s)
}

// handleRefused takes p's word that it does not know a session: the session's next message
// introduces it.
func (gs *gateSessions) handleRefused(p *peer, f *link.Frame) {
	s := gs.users.Session(f.Session)
	if s == nil {
		return
	}
	if g := gs.find(s); g != nil {
		g.forget(p)
	}
	if f.ID != 0 {
		gs.fail(f.Session, f.ID, p.addr)
	}
}

// handleResponse answers a client's request, unless it has its answer: that the node could not be
// reached.
func (gs *gateSessions) handleResponse(c *gate.Conn, s *session.Session, f *link.Frame, data []byte) error {
	if g := gs.find(s); g != nil && !g.answer(f.ID) {
		return nil
	}
	if gs.table.Spans().On() {
		gs.endSpan(s.ID(), f.ID, outcomeOf(f))
	}
	if f.Flags&flagError != 0 {
		c.Fail(f.ID, data)
		return nil
	}
	err := c.ResponseMid(f.ID, data)
	if err != nil && !errors.Is(err, gate.ErrBrokenPipe) { // what the request waits for does not come
		gs.table.Refuse(c, f.ID, "", fmt.Errorf("cluster: answer of another node: %w", err))
		return nil
	}
	return err
}

// known returns the nodes that know the session.
func (g *gateSession) known() []*peer {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(g.peers.all())
}

// depart tells nobody about the session any more: r does so at another gate. It returns who knows
// it.
func (g *gateSession) depart(r *remoteSession) (known []*peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sendChangesLocked()
	known = slices.Collect(g.peers.all())
	for _, p := range known {
		p.sessions.Add(-1)
	}
	g.closed = true
	r.values = g.values
	g.peers.close()
	return known
}

// outstanding returns which requests have no answer, and who has them, and which have failed.
func (g *gateSession) outstanding() (requests map[uint64]string, failed []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests.outstanding(g.addr), g.requests.failed.all()
}

// arrive notes who knows a session that has come from another gate, and tells them so, and those
// that were left behind of the gap.
func (g *gateSession) arrive(known, behind []*peer, requests map[uint64]*peer, failed []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	for _, p := range known {
		g.peers.introduced(p)
		p.sessions.Add(1)
		f := g.openedLocked()
		if slices.Contains(behind, p) {
			f.Flags |= flagGap
		}
		_ = p.send(f)
	}
	for mid, p := range requests {
		g.requests.begin(mid, p)
	}
	for _, mid := range failed {
		g.requests.expectTwo(mid)
	}
}

// depart gives a session away, see gateSession. departed ends that.
func (gs *gateSessions) depart(s *session.Session, r *remoteSession) (known []*peer) {
	return gs.of(s).depart(r)
}

// outstanding returns what becomes of the requests of a session that goes, see gateSession. Those
// that nodes have which are left behind get an error.
func (gs *gateSessions) outstanding(s *session.Session, of *gate.Conn, behind []*peer) (requests map[uint64]string, failed []uint64) {
	g := gs.of(s)
	var all []refusal
	for _, p := range behind {
		for _, mid := range g.lose(p, false) {
			all = append(all, refusal{g, of, mid, unavailable(p.addr)})
		}
	}
	gs.refuseAll(all)
	return g.outstanding()
}

// departed forgets a session that is at another gate.
func (gs *gateSessions) departed(s *session.Session) {
	gs.known.take(s)
	gs.endSpans(s.ID(), nil) // what has no answer yet has it at that gate
	gs.cfg.Connections.Decrement()
}

// arrive enters a session that has come from another gate. Requests whose nodes are gone get an
// error; those that have failed before have it already.
func (gs *gateSessions) arrive(s *session.Session, d *departing) {
	g := gs.of(s)
	for _, key := range gs.cfg.Forwarded {
		if s.HasKey(key) {
			g.setValue(key)
		}
	}
	var know, behind []*peer
	at := make(map[uint64]*peer, len(d.Requests))
	for _, k := range d.Known {
		if p := gs.peers.to(process{k.Addr, k.Epoch}); p != nil {
			if know = append(know, p); slices.Contains(d.Behind, k) {
				behind = append(behind, p)
			}
		}
	}
	var lost []uint64
	failed := d.Failed
	for mid, addr := range d.Requests {
		switch p := gs.peers.at(addr); {
		case addr != gs.addr && p != nil && !p.lost.Load() && slices.Contains(know, p):
			at[mid] = p
		case addr != gs.addr:
			lost = append(lost, mid)
		case slices.Contains(d.Failed, mid): // this gate has not queued the error yet
			at[mid] = nil
		} // else its handler is here
	}
	if g.seesErrors() {
		failed = slices.Concat(failed, lost)
	}
	g.arrive(know, behind, at, failed)
	if conn, _ := gs.client(s.ID()); conn != nil {
		for _, mid := range lost {
			gs.refuse(g, conn, mid, unavailable(d.Requests[mid]))
		}
	}
	gs.closeIfOver(s)
}
