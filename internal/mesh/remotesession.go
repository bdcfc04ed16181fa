package mesh

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// remoteSession is a client of another gate, here. This file holds what it is told and what it
// tells other backends; remoteentity.go is the network side that handlers use. Its methods may be
// called concurrently.
type remoteSession struct {
	all  *remoteSessions
	at   atomic.Pointer[whereabouts]
	sess *session.Session
	lane scheduler.Lane  // unless it has another
	from *scheduler.Lane // of the session from before, where it was a client of this node's gate; constant

	mu      sync.Mutex
	uid     int64 // as the gate knows it, or has been asked to
	asked   bool  // the gate has not answered that
	ended   bool
	vouched bool          // only backends have told of it
	sent    bool          // it goes to a gate that has not introduced it: orphan ends that time
	waiting int32         // changes that wait, see update
	window  uint32        // milliseconds that it waits for its client when its gate has died; 0: it does not
	values  encodedValues // as the gate has forwarded them
	told    toldNodes     // ways (peer.number) to backends that were told of the session from here
	over    chan struct{} // see Waiting; made on demand
	orphan  *time.Timer   // its gate has died, or see sent: ends that time

	change atomic.Pointer[func()] // makes the changes that wait, nil if none does
	addr   atomic.Pointer[string] // of the client
	taken  taken                  // of the client's messages
	dispatch.Answers
}

// whereabouts say where the clients of remote sessions are. Nothing but early changes.
type whereabouts struct {
	gate process
	way  *peer // to the gate; another one knows nothing of the sessions. nil: there is none
	home bool  // it comes to this node's gate
	// conn carries it there already; nil: it is not there yet. It becomes the session's entity when
	// what waits for it has been handed over, see arrivals.
	conn *gate.Conn
	// early is what waits for a way; nil: nothing. The lock of the one session that is there guards
	// it.
	early *early
}

// early are frames for a gate that this node does not know yet: it has just started, and introduces
// the session when it has it.
type early struct {
	frames []link.Frame
	bytes  int
}

// keep keeps a frame for such a gate. It is false if the session is elsewhere by now.
func (r *remoteSession) keep(at *whereabouts, f *link.Frame) (kept bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.at.Load() != at:
		return false, nil
	case r.ended:
		return false, gate.ErrBrokenPipe
	case at.early == nil:
		at.early = new(early)
	}
	e, size := at.early, costOf(f)+len(f.Text)
	if e.bytes+size > maxWaiting {
		return false, fmt.Errorf("%w: its gate %s is not known to this node yet", gate.ErrBufferExceed, at.gate.addr)
	}
	e.bytes += size
	e.frames = append(e.frames, ownFrame(f))
	return true, nil
}

// goToLocked has the session be somewhere, and sends what was kept for want of a way before
// anything else. r.mu is held.
func (r *remoteSession) goToLocked(at *whereabouts) {
	switch was := r.at.Load(); {
	case was.early == nil:
	case at.way == nil && !at.home:
		at.early = was.early
	default:
		for i := range was.early.frames {
			f := &was.early.frames[i]
			if at.home && !r.all.arrivals.hold(r.all.addr, f) || !at.home && at.way.send(f) != nil {
				r.all.refusals.Lost.Add(1)
			}
		}
	}
	r.at.Store(at)
	session.OutletChanged()
}

// goTo is goToLocked for who does not have the lock.
func (r *remoteSession) goTo(at *whereabouts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.goToLocked(at)
}

// whereAt returns the whereabouts of sessions at a gate, to which way leads, if anything does.
func whereAt(gate process, way *peer) *whereabouts {
	if way != nil && way.addr == gate.addr && way.epoch == gate.epoch {
		if w := way.clients.Load(); w != nil {
			return w
		}
		way.clients.CompareAndSwap(nil, &whereabouts{gate: gate, way: way})
		return way.clients.Load()
	}
	return &whereabouts{gate: gate, way: way}
}

func newRemoteSession(rs *remoteSessions, key sessionKey, way *peer) *remoteSession {
	r := &remoteSession{all: rs}
	r.at.Store(whereAt(process{key.gate, key.epoch}, way))
	rs.initLane(&r.lane)
	r.sess = session.NewWithID(r, key.id)
	r.sess.SetLifetime(rs.life)
	return r
}

// key names the session.
func (r *remoteSession) key() sessionKey {
	gate := r.at.Load().gate
	return sessionKey{gate.addr, gate.epoch, r.sess.ID()}
}

// end ends the session, after the messages that came before.
func (r *remoteSession) end(why session.CloseReason) {
	r.sess.SetCloseReason(why)
	r.mu.Lock()
	r.told.clear(r.all.peers.all())
	r.ended = true
	if r.orphan != nil {
		r.orphan.Stop()
		r.orphan = nil
	}
	if r.over != nil {
		close(r.over)
	}
	r.mu.Unlock()
	r.all.sched.EndLane(r.Lane(), func() { r.all.life.Close(r.sess) })
}

// update takes over what the gate says of the session: at once, as the messages that follow know
// it, filters and components with a scheduler of their own among them. Only another user, or none
// after one, waits for its place on the node's scheduler, or on that of the first message after it:
// what the first user has sent before runs as theirs.
func (r *remoteSession) update(f *link.Frame) {
	r.setAddr(f.Text)
	uid := f.UID
	r.mu.Lock()
	values := r.changesLocked(f)
	// A gate that introduces the session has not seen yet what it was asked, and will answer that.
	stale := r.asked && f.Kind != link.SessionChanged && uid != r.uid || f.Flags&flagValues != 0
	if !stale {
		r.uid, r.asked = uid, false
	}
	was, bound := r.sess.UID(), false
	change := func() {
		if !stale && uid == 0 {
			r.sess.Adopt(0)
		}
		r.setValues(values)
		bound = !stale && uid > 0 && r.sess.Adopt(uid)
	}
	tell := func() {
		if bound && r.sess.UID() == uid {
			r.all.life.Bound(r.sess)
		}
	}
	if r.waiting == 0 && (stale || was == 0 || was == uid) {
		r.mu.Unlock()
		if change(); bound {
			r.all.sched.PushTaskTo(r.Lane(), tell)
		}
		return
	}
	before := r.change.Load()
	due := sync.OnceFunc(func() {
		if before != nil {
			(*before)()
		}
		r.mu.Lock()
		stale = stale || r.asked // a handler has bound it meanwhile
		r.mu.Unlock()
		change()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.waiting--; r.waiting == 0 {
			r.change.Store(nil)
		}
	})
	r.waiting++
	r.change.Store(&due)
	r.mu.Unlock()
	r.all.sched.PushTaskTo(r.Lane(), func() {
		due()
		tell()
	})
}

func (r *remoteSession) setAddr(text []byte) {
	if len(text) == 0 {
		return
	}
	addr := string(text)
	r.addr.Store(&addr)
}

// changesLocked takes over the values that a frame brings, and returns those that it changes here.
// What the gate did not change stays as this node has set it.
func (r *remoteSession) changesLocked(f *link.Frame) encodedValues {
	only := f.Flags&flagValues != 0
	if f.Kind == link.SessionChanged && !only && f.UID != 0 {
		return nil // only the user has changed
	}
	values, err := decodeValues(f.Data)
	if err != nil {
		r.all.log.Warn("forwarded values cannot be read", "session", r.key().id, "gate", r.key().gate, "err", err)
		return nil
	}
	changed := values
	if !only { // these are all, and of nobody's session all values were dropped
		changed = r.values.changes(values, f.Kind == link.SessionChanged)
	}
	for k, b := range changed {
		r.values = r.values.with(k, b)
	}
	return changed
}

// setValues makes the changes. A value that cannot be read is none: what was there before is not
// true any more.
func (r *remoteSession) setValues(values encodedValues) {
	for k, b := range values {
		if len(b) == 0 {
			r.sess.Remove(k)
			continue
		}
		v, err := decodeValue(b)
		if err != nil {
			r.all.log.Warn("a forwarded value cannot be read: register its type with encoding/gob here, too",
				"session", r.key().id, "gate", r.key().gate, "key", k, "err", err)
			r.sess.Remove(k)
			continue
		}
		r.sess.Set(k, v)
	}
}

// sendOn sends a message of the session to another node, in its name. It introduces the session
// there before: the gate tells that node the same a moment later, and from then on what changes.
func (r *remoteSession) sendOn(p *peer, f *link.Frame) error {
	f.Text = []byte(r.key().gate)
	f.UID = r.sess.UID()
	if r.key().gate != p.addr {
		r.introduce(p)
	}
	return p.post(f, p.send)
}

// introduce tells another backend what this one knows of the session, before the first message that
// goes there from here.
func (r *remoteSession) introduce(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.told[p.number]; known {
		return
	}
	f := &link.Frame{Kind: link.SessionOpened, Flags: flagVouch, Session: r.key().id, UID: r.sess.UID(), Route: []byte(r.key().gate), Data: r.values.encode()}
	f.ID = uint64(r.window)
	if a := r.addr.Load(); a != nil {
		f.Text = []byte(*a)
	}
	if p.send(f) == nil && !r.ended { // else the node refuses the message, or does not get it
		r.told.add(p, r.all.peers.all())
	}
}

// toldNodes are the nodes that know a session, by the numbers of their links. The session's lock
// guards them.
type toldNodes map[uint64]struct{}

// add counts p among those that were told, and forgets those that are gone.
func (t *toldNodes) add(p *peer, peers map[string]*peer) {
	told := make(toldNodes, len(*t)+1)
	for _, q := range peers {
		if _, ok := (*t)[q.number]; ok {
			told[q.number] = struct{}{}
		}
	}
	told[p.number] = struct{}{}
	*t = told
	p.sessions.Add(1)
}

// clear forgets which nodes were told.
func (t *toldNodes) clear(peers map[string]*peer) {
	for _, p := range peers {
		if _, ok := (*t)[p.number]; ok {
			p.sessions.Add(-1)
		}
	}
	*t = nil
}

// untold notes that p does not know the session.
func (r *remoteSession) untold(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.told[p.number]; ok {
		delete(r.told, p.number)
		p.sessions.Add(-1)
	}
}

// GateOf returns the service address of the gate that a session's client is connected to: "" for
// one of this node, and for a session without a client.
func GateOf(s *session.Session) string {
	if r, ok := s.NetworkEntity().(*remoteSession); ok && !r.at.Load().home {
		return r.key().gate
	}
	return ""
}
