package mesh

import (
	"slices"
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// What becomes of the clients of other gates, here, when they go from one gate to another, or when
// their gate dies: the session of the application stays the same.

// laneOfRemote returns the order of a session's calls; nil for no session.
func laneOfRemote(r *remoteSession) *scheduler.Lane {
	if r == nil {
		return nil
	}
	return r.Lane()
}

// depart makes a client of this gate one of another: the session stays. Its entity is this one when
// the gate has given it away.
func (rs *remoteSessions) depart(s *session.Session, lane *scheduler.Lane, key sessionKey, way *peer) *remoteSession {
	r := &remoteSession{all: rs, sess: s, from: lane, uid: s.UID(), window: uint32(rs.gate.Window().Milliseconds())}
	r.at.Store(whereAt(process{key.gate, key.epoch}, way))
	if a := s.RemoteAddr(); a != nil {
		r.setAddr([]byte(a.String()))
	}
	rs.mu.Lock()
	rs.putLocked(key, r)
	rs.mu.Unlock()
	rs.expect(r)
	return r
}

// take returns a session that comes to this node's gate, and forgets it; nil if it is not known.
func (rs *remoteSessions) take(key sessionKey) *remoteSession {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all[key]
	if r == nil {
		if r = rs.ids[key.id]; r == nil || !r.at.Load().home {
			return nil
		}
	}
	rs.dropLocked(r.key())
	r.unorphan()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told.clear(r.all.peers.all())
	return r
}

// putLocked enters a session.
func (rs *remoteSessions) putLocked(key sessionKey, r *remoteSession) {
	rs.all[key] = r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.window > 0 {
		if rs.ids == nil {
			rs.ids = make(map[int64]*remoteSession)
		}
		rs.ids[key.id] = r
	}
}

// noteID notes that a session may go from gate to gate.
func (rs *remoteSessions) noteID(key sessionKey, r *remoteSession) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.all[key] == r {
		rs.putLocked(key, r)
	}
}

// dropLocked forgets a session.
func (rs *remoteSessions) dropLocked(key sessionKey) {
	r := rs.all[key]
	delete(rs.all, key)
	if r != nil && rs.ids[key.id] == r {
		delete(rs.ids, key.id)
	}
}

// byID returns a session that may go from gate to gate, whatever gate it is at, if it is the user's
// of whom a frame speaks: ids are only the same by a wrong configuration.
func (rs *remoteSessions) byID(id, uid int64) *remoteSession {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	if r := rs.ids[id]; r != nil && r.sess.UID() == uid {
		return r
	}
	return nil
}

// handleMoved takes a gate's word that a session of its goes to another gate. What this node has
// sent to the first gate for it is all before the answer.
func (rs *remoteSessions) handleMoved(from *sender, f *link.Frame) {
	var to resume.Place
	if err := decodeGob(f.Data, &to); err != nil {
		return
	}
	p := from.back()
	if p == nil {
		return
	}
	if key := (sessionKey{from.addr, from.epoch, f.Session}); !rs.followedFrom(key) {
		rs.moveWith(key, to, p, f.UID)
	}
	if f.ID != 0 {
		_ = p.sendNow(&link.Frame{Kind: link.Reply, ID: f.ID})
	}
}

// followedFrom reports whether a session has followed to another gate already, so that what the one
// before says now is old. It says nothing after that.
func (rs *remoteSessions) followedFrom(key sessionKey) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	_, old := rs.left[key]
	delete(rs.left, key)
	return old
}

// moveWith has a session and its user be at another gate from now on, and notes that.
func (rs *remoteSessions) moveWith(key sessionKey, to resume.Place, p *peer, uid int64) {
	old := process{key.gate, key.epoch}
	p.moves.Lock()
	rs.move(key, to, p)
	if to != rs.place() {
		rs.logins.directory.move(uid, key.id, old, process{to.Addr, to.Epoch})
	} else { // what is for the user waits for the session
		rs.arrivals.expect(uid, key.id, old)
	}
	p.moves.Unlock()
	if to != rs.place() && rs.users.Session(key.id) == nil { // else it has come here since
		rs.departures.note(key.id, to)
	}
}

// move has a session be at another gate from now on. p is the way to the one where it was; its
// moves are locked, unless p is nil.
func (rs *remoteSessions) move(key sessionKey, to resume.Place, p *peer) *remoteSession {
	rs.mu.Lock()
	r := rs.all[key]
	if r == nil {
		rs.mu.Unlock()
		return nil
	}
	rs.dropLocked(key)
	now, gate := sessionKey{to.Addr, to.Epoch, key.id}, process{to.Addr, to.Epoch}
	if to == rs.place() {
		r.goTo(&whereabouts{gate: gate, home: true})
	} else {
		r.goTo(whereAt(gate, rs.peers.to(gate)))
	}
	early := rs.all[now] // the gate was quicker than the one where the session was, and has introduced it
	rs.putLocked(now, r)
	rs.mu.Unlock()
	if early != nil && early != r {
		early.end(session.CloseReason{Kind: session.CloseNetwork, Reason: "the session was known here before"})
	}
	if p != nil {
		p.moved.Store(true)
	}
	if r.unorphan(); early == nil {
		rs.expect(r)
	}
	return r
}

// introducedBy notes that the gate to which way leads has told of the session itself.
func (r *remoteSession) introducedBy(way *peer, window time.Duration) {
	r.mu.Lock()
	r.vouched = false
	if r.sent {
		r.unorphanLocked()
	}
	if was := r.at.Load(); was.way == nil && !was.home { // the session was quicker here than the gate
		r.goToLocked(whereAt(was.gate, way))
	}
	news := r.window == 0 && window > 0
	if news {
		r.window = uint32(window.Milliseconds())
	}
	r.mu.Unlock()
	if news {
		r.all.noteID(r.key(), r)
	}
}

// follow has a session that is known at one gate be at another, which introduces it. The first one
// was not heard of that: what it was sent in between is lost. What it still says of the session,
// until it says where that goes, is old.
func (rs *remoteSessions) follow(key sessionKey, f *link.Frame) (followed, old bool) {
	if f.UID == 0 || rs.get(key) != nil { // the first: nothing says that it is the same client
		return false, false
	}
	rs.mu.RLock()
	_, old = rs.left[key]
	rs.mu.RUnlock()
	r := rs.byID(f.Session, f.UID)
	if old || r == nil || r.at.Load().home {
		return false, old
	}
	at := r.at.Load().gate
	p := rs.peers.to(at)
	if p != nil {
		p.moves.Lock()
		defer p.moves.Unlock()
	}
	was := sessionKey{at.addr, at.epoch, f.Session}
	if rs.move(was, resume.Place{Addr: key.gate, Epoch: key.epoch}, p) == nil {
		return false, false
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.left == nil {
		rs.left = make(map[sessionKey]struct{})
	}
	rs.left[was] = struct{}{}
	return true, false
}

// tellGap has the hooks hear that the session goes on at another gate, and that messages may be
// lost.
func tellGap(r *remoteSession) {
	r.all.sched.PushTaskTo(r.Lane(), func() {
		r.sess.SetGap(true)
		r.all.life.Resume(r.sess)
	})
}

// lostItsGate reports whether the session waits for its client because its gate was taken for dead.
func (r *remoteSession) lostItsGate(way *peer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.at.Load()
	return r.orphan != nil && !r.sent || at.way != nil && at.way != way
}

// abandon has a session wait for its client, whose gate has died. It is false for one that does not
// wait.
func (r *remoteSession) abandon() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.window == 0 || r.ended {
		return false
	}
	if r.orphan == nil || r.sent {
		r.unorphanLocked()
		r.all.endInLocked(r, time.Duration(r.window)*time.Millisecond, "the gate is gone, and the client did not come back")
		r.all.sched.PushTaskTo(r.Lane(), func() { r.all.life.Suspend(r.sess) })
	}
	return true
}

// sentWindow is within which a gate introduces a session that has come to it, where that does not
// say how long it waits for its client.
const sentWindow = time.Minute

// expect has a session wait for the gate where it goes, which introduces it when it is there: as
// long as it would wait for its client. If the gate never gets it, nobody else ends it.
func (rs *remoteSessions) expect(r *remoteSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	window := time.Duration(r.window) * time.Millisecond
	if window == 0 {
		window = sentWindow
	}
	r.unorphanLocked()
	r.sent = true
	rs.endInLocked(r, window, "the gate where it goes has not got it")
}

// endInLocked ends a session after a time, unless it has a gate again before. r.mu is held.
func (rs *remoteSessions) endInLocked(r *remoteSession, after time.Duration, why string) {
	key := r.key()
	var t *time.Timer
	t = time.AfterFunc(after, func() {
		r.mu.Lock()
		waits := r.orphan == t
		r.mu.Unlock()
		if waits && r.key() == key {
			rs.close(key, session.CloseReason{Kind: session.CloseNetwork, Reason: why})
		}
	})
	r.orphan = t
}

// unorphan says that the session has a gate again.
func (r *remoteSession) unorphan() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unorphanLocked()
}

func (r *remoteSession) unorphanLocked() {
	if r.orphan != nil {
		r.orphan.Stop()
	}
	r.orphan, r.sent = nil, false
}

// handleAdopt answers a gate to which the client of a gate has come that is gone.
func (rs *remoteSessions) handleAdopt(from *sender, f *link.Frame) {
	var q adopting
	p := from.back()
	if err := decodeGob(f.Data, &q); err != nil || p == nil {
		return
	}
	said, ok := rs.arrivals.rivals(f.Session, placeOf(p))
	if !ok {
		said = rs.adopt(q, placeOf(p), f.Session)
	}
	b, err := encodeGob(said)
	if err == nil {
		_ = p.sendNow(&link.Frame{Kind: link.Reply, ID: f.ID, Data: b})
	}
}

// adopt has a session whose gate is gone be at another one from now on, if it is known here, and
// says what is known of it. A gate that this node hears keeps its sessions, unless it is free to
// go. To one that only looks it says whether it would.
func (rs *remoteSessions) adopt(q adopting, to resume.Place, id int64) found {
	gone, r := q.From, (*remoteSession)(nil)
	for _, at := range append([]resume.Place{q.From}, q.Also...) {
		if r = rs.get(sessionKey{at.Addr, at.Epoch, id}); r != nil {
			gone = at
			break
		}
	}
	key := sessionKey{gone.Addr, gone.Epoch, id}
	if given := rs.get(sessionKey{to.Addr, to.Epoch, id}); r == nil && given != nil { // the gate died while it gave the session away
		if q.Look {
			return found{Knows: true}
		}
		return given.adopted()
	}
	if r == nil {
		if at, ok := rs.departures.to(id); ok && at != to && at != gone && !slices.Contains(q.Also, at) {
			return found{At: at}
		}
		return found{}
	}
	p := rs.peers.to(process{gone.Addr, gone.Epoch})
	if free := q.Free && gone == q.From; !free && p != nil && p.link != nil && !p.lost.Load() && p.link.Stats().Connected {
		return found{Alive: true}
	}
	if q.Look {
		return found{Knows: true}
	}
	if p != nil {
		p.moves.Lock()
	}
	moved := rs.move(key, to, p)
	if p != nil {
		p.moves.Unlock()
	}
	if moved == nil {
		return found{}
	}
	if to != rs.place() {
		rs.departures.note(id, to)
	}
	return r.adopted()
}

// adopted has the hooks hear that the session goes on at another gate, and says what is known of
// it.
func (r *remoteSession) adopted() found {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told.clear(r.all.peers.all())
	f := found{Knows: true, UID: r.sess.UID(), Values: r.values.clone()}
	if !r.vouched {
		f.Services = r.all.cfg.Services
	}
	if !r.at.Load().home { // else the gate's own hooks say so
		tellGap(r)
	}
	return f
}
