package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// upstream is what a gate keeps for a client of which other nodes know.
type upstream struct {
	mesh *Mesh
	sess *session.Session

	mu       sync.Mutex
	known    map[*peer]struct{} // who knows it
	requests map[uint64]inFlight
	asked    uint64          // counts requests
	failed   map[uint64]bool // answered with an error although the answer may come yet: the latest
	failed0  map[uint64]bool // and those before them
	closed   bool
	sent     map[*peer]int       // bytes of messages that have not left the node's queue
	full     chan struct{}       // not nil: the client is not read; to be closed
	values   packed              // those that are forwarded, as they are now
	dirty    map[string]struct{} // forwarded values that were changed, and nobody was told yet
	listed   bool                // the hub will call Flush
}

// inFlight is a request that has no answer yet.
type inFlight struct {
	at  *peer
	seq uint64 // the older, the smaller
}

// maxTracked is how many requests of one session may have no answer. Of more the oldest are failed, a quarter at a time:
// handlers that sometimes do not answer must not use up what a long session has.
const maxTracked = 16384

func (n *Mesh) upstreamOf(s *session.Session) *upstream {
	if u, ok := n.upstreams.Load(s); ok {
		return u.(*upstream)
	}
	u, _ := n.upstreams.LoadOrStore(s, &upstream{mesh: n, sess: s, known: make(map[*peer]struct{})})
	return u.(*upstream)
}

// Forward sends a message of a session to the node that serves it. It is the dispatcher's way out.
func (n *Mesh) Forward(from dispatch.Peer, m *codec.Message) error {
	dot := strings.LastIndexByte(m.Route, '.')
	if dot <= 0 {
		return component.Errorf(component.CodeNotFound, "no handler for route %q", m.Route)
	}
	s, service := from.Session(), m.Route[:dot]
	p, err := n.choose(service, s)
	if _, client := from.(*gate.Conn); err != nil && client && n.others.Load().Coming(service) && scheduler.Current() == nil {
		n.awaitComing(s.Context(), service) // the client is not read meanwhile
		p, err = n.choose(service, s)
	}
	if err != nil {
		return err
	}
	f := link.Frame{Kind: link.Notify, Session: s.ID(), ID: m.ID, Route: []byte(m.Route), Data: m.Data}
	if m.Type == codec.Request && m.ID != 0 {
		f.Kind = link.Request
	}
	switch from := from.(type) {
	case *gate.Conn:
		u := n.upstreamOf(s)
		known, old := u.enter(p, from, &f)
		for _, mid := range old {
			n.table.Refuse(from, mid, "", component.Errorf(component.CodeExhausted, "%d later requests have no answer either", maxTracked*3/4))
		}
		if !known {
			return session.ErrClosed
		}
		if n.users.Session(s.ID()) != s { // it ended in between: who is told of its end may not know it yet
			n.endUpstream(s)
			return session.ErrClosed
		}
		if p.lost.Load() { // since it was chosen: its requests were failed before this one was noted, or with it
			u.credit(p, costOf(&f))
			if f.Kind == link.Request && !u.fail(f.ID) {
				return nil
			}
			return unavailable(p.addr)
		}
		if err := p.sendNow(&f); err != nil {
			u.credit(p, costOf(&f))
			u.answered(f.ID)
			return component.Errorf(component.CodeUnavailable, "node %s: %w", p.addr, err)
		}
		if f.Kind == link.Request && p.lost.Load() { // just now: it may have been failed before it was queued
			p.withdraw()
			if u.fail(f.ID) {
				return unavailable(p.addr)
			}
		}
		return nil
	case *remote:
		f.Text = []byte(from.key.gate)
		f.UID = s.UID()
		if from.key.gate != p.addr {
			from.introduce(p)
		}
		return p.post(&f, p.send)
	}
	return component.Errorf(component.CodeInvalid, "route %q is on another node: use Call or Notify", m.Route)
}

// enter notes that p serves s, tells p of the session if it does not know it, and notes the request. Where too many have
// no answer it returns the oldest, to be failed if the client is told of that. It is false for a session that has ended.
func (u *upstream) enter(p *peer, from *gate.Conn, f *link.Frame) (ok bool, old []uint64) {
	s := from.Session()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || s.Closed() {
		return false, nil
	}
	u.sendChangesLocked()
	u.introduceLocked(p)
	u.enterLocked(from, p, costOf(f))
	if f.Kind == link.Request {
		delete(u.failed, f.ID)
		delete(u.failed0, f.ID)
		if u.requests == nil {
			u.requests = make(map[uint64]inFlight)
		}
		if len(u.requests) >= maxTracked {
			for _, mid := range u.oldestLocked(maxTracked / 4) {
				if !from.SeesErrors() { // an old client takes an answer at any time
					delete(u.requests, mid)
				} else if u.failLocked(mid) {
					old = append(old, mid)
				}
			}
		}
		u.asked++
		u.requests[f.ID] = inFlight{p, u.asked}
	}
	return true, old
}

// introduceLocked tells p of the session, unless it knows it: nothing else of a session comes before that. If it cannot be
// told, p refuses what comes next, or does not get it.
func (u *upstream) introduceLocked(p *peer) {
	if _, known := u.known[p]; known || p.send(u.openingLocked()) != nil {
		return
	}
	u.known[p] = struct{}{}
	p.sessions.Add(1)
	delete(u.sent, p)
}

// forgets notes that p does not know the session.
func (u *upstream) forgets(p *peer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.known[p]; known {
		delete(u.known, p)
		p.sessions.Add(-1)
	}
	delete(u.sent, p)
	u.relaxLocked()
}

// awaits tells whether a request has no answer yet.
func (u *upstream) awaits(mid uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.requests[mid]
	return ok
}

// oldestLocked returns the n oldest requests in flight.
func (u *upstream) oldestLocked(n int) []uint64 {
	mids := slices.SortedFunc(maps.Keys(u.requests), func(a, b uint64) int {
		return cmp.Compare(u.requests[a].seq, u.requests[b].seq)
	})
	return mids[:min(n, len(mids))]
}

// openingLocked is the frame that introduces a session. It is made and sent under the lock: what changes after it is told
// after it.
func (u *upstream) openingLocked() *link.Frame {
	n, s := u.mesh, u.sess
	f := &link.Frame{Kind: link.SessionOpened, Session: s.ID(), UID: n.users.UID(s)}
	if f.UID == 0 { // or it was replaced, and will be the user until it has closed
		f.UID = s.UID()
	}
	if a := s.RemoteAddr(); a != nil {
		f.Text = []byte(a.String())
	}
	f.Data = u.values.encode()
	return f
}

// answered notes the end of a request. It is false for one that had an error for an answer before.
func (u *upstream) answered(mid uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.requests, mid)
	late := u.failed[mid] || u.failed0[mid]
	delete(u.failed, mid)
	delete(u.failed0, mid)
	return !late
}

// fail notes that a request is answered with an error, and reports false if it was before.
func (u *upstream) fail(mid uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failLocked(mid)
}

func (u *upstream) failLocked(mid uint64) bool {
	delete(u.requests, mid)
	if u.failed[mid] || u.failed0[mid] {
		return false
	}
	if u.failed == nil || len(u.failed) >= maxTracked {
		u.failed, u.failed0 = make(map[uint64]bool), u.failed
	}
	u.failed[mid] = true
	return true
}

// holds notes that p knows the session although it was not told by this gate, and tells it.
func (u *upstream) holds(p *peer) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	if _, known := u.known[p]; known {
		_ = p.send(u.openingLocked()) // it asks, so it is told again
	} else {
		u.introduceLocked(p)
	}
	return true
}

// tellUser tells all that know the session who it is. When it has become nobody's, it has no values but those that come
// along.
func (u *upstream) tellUser(uid int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := &link.Frame{Kind: link.SessionChanged, Session: u.sess.ID(), UID: uid}
	if uid != 0 {
		u.sendChangesLocked()
	} else if len(u.known) > 0 {
		clear(u.dirty)
		f.Data = u.values.encode()
	}
	u.tellLocked(f)
}

// tellLocked sends a frame about the session to all that know it.
func (u *upstream) tellLocked(f *link.Frame) {
	for p := range u.known {
		_ = p.send(f) // a node that cannot be reached closes the session with its gate's link
	}
}

// end tells everybody who knows the session that it has ended, and returns them.
func (u *upstream) end() (told map[*peer]struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for p := range u.known {
		p.sessions.Add(-1)
		_ = p.send(closedFrame(u.sess))
	}
	told = u.known
	u.known, u.requests, u.failed, u.failed0, u.sent, u.values, u.dirty = nil, nil, nil, nil, nil, nil, nil
	u.relaxLocked()
	return told
}

// lost forgets p and returns the requests that it will not answer.
func (u *upstream) lost(p *peer, forget bool) (mids []uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if forget {
		delete(u.known, p)
	}
	delete(u.sent, p)
	u.relaxLocked()
	for mid, r := range u.requests {
		if r.at == p && u.failLocked(mid) {
			mids = append(mids, mid)
		}
	}
	return mids
}

// failRequests answers the requests that p has not.
func (n *Mesh) failRequests(p *peer, forget bool) {
	n.upstreams.Range(func(k, v any) bool {
		s := k.(*session.Session)
		for _, mid := range v.(*upstream).lost(p, forget) {
			if c, ok := s.NetworkEntity().(*gate.Conn); ok {
				n.table.Refuse(c, mid, "", unavailable(p.addr))
			}
		}
		return true
	})
}

// awaited tells whether a request of a client of this gate has no answer yet.
func (n *Mesh) awaited(id int64, mid uint64) bool {
	s := n.users.Session(id)
	if s == nil {
		return false
	}
	u, ok := n.upstreams.Load(s)
	return ok && u.(*upstream).awaits(mid)
}

// requestFailed answers one request that could not be sent.
func (n *Mesh) requestFailed(id int64, mid uint64, addr string) {
	s := n.users.Session(id)
	if s == nil {
		return
	}
	u, ok := n.upstreams.Load(s)
	if !ok || !u.(*upstream).fail(mid) {
		return
	}
	if c, ok := s.NetworkEntity().(*gate.Conn); ok {
		n.table.Refuse(c, mid, "", unavailable(addr))
	}
}

// Reaches tells whether a session may stay with the node at addr for a service. That it may be bound to this node itself is
// the application's business.
func (n *Mesh) Reaches(service, addr string) bool {
	return addr == n.addr || n.others.Load().Keeps(addr, service)
}

// choose returns the way to the node that serves s for a service.
func (n *Mesh) choose(service string, s *session.Session) (*peer, error) {
	if addr, ok := s.Router().Find(service); ok {
		if p := n.peer(addr); p != nil {
			return p, nil
		}
	}
	others := n.others.Load()
	open := others.Open(service)
	if len(open) == 0 {
		if len(others.Running(service)) > 0 {
			return nil, component.Errorf(component.CodeUnavailable, "no node that runs service %q can be reached now", service)
		}
		return nil, component.Errorf(component.CodeNotFound, "no node runs service %q", service)
	}
	addr, err := n.pick(service, s, open)
	if err != nil {
		return nil, err
	}
	p := n.peer(addr)
	if p == nil {
		return nil, unavailable(addr)
	}
	s.Router().Bind(service, addr)
	return p, nil
}

// pick asks the application.
func (n *Mesh) pick(service string, s *session.Session, open []member.Peer) (addr string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the route function panicked: %v", v)
		}
	}()
	if n.cfg.Choose == nil {
		return open[rand.IntN(len(open))].Addr, nil
	}
	return n.cfg.Choose(service, s, open, func(addr string) int64 {
		if p := n.peer(addr); p != nil {
			return p.sessions.Load()
		}
		return 0
	})
}
