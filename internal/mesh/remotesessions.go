package mesh

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// process is one run of another node.
type process struct {
	addr  string
	epoch uint64
}

// sessionKey names a client that is connected elsewhere: two gates may use the same session ids.
type sessionKey struct {
	gate  string
	epoch uint64
	id    int64
}

// of tells whether the client's gate is that process.
func (k sessionKey) of(p process) bool { return k.gate == p.addr && k.epoch == p.epoch }

// remoteSessions are the clients of other gates of which this node has heard. A gate ends its
// sessions itself; when it dies, or a link begins anew, the roster or inboundLinks call closeGate,
// which ends all sessions of that run of the gate. Its methods may be called concurrently.
type remoteSessions struct {
	*node
	peers      *peers
	router     *router
	logins     *logins
	departures *departures
	arrivals   *arrivals

	mu     sync.RWMutex
	all    map[sessionKey]*remoteSession
	ids    map[int64]*remoteSession // those that may go from gate to gate
	closed bool
	wanted map[sessionKey]chan struct{} // closed when its gate has introduced it
	left   map[sessionKey]struct{}      // see follow; made on demand
}

func newRemoteSessions(n *node, ps *peers, rt *router, l *logins) *remoteSessions {
	return &remoteSessions{node: n, peers: ps, router: rt, logins: l, all: make(map[sessionKey]*remoteSession)}
}

// closeGate ends all sessions behind one process of a gate. If that has died, those stay for a
// while whose clients may come back at another gate.
func (rs *remoteSessions) closeGate(gate process, dead bool) {
	rs.mu.Lock()
	maps.DeleteFunc(rs.left, func(key sessionKey, _ struct{}) bool { return key.of(gate) })
	rs.mu.Unlock()
	rs.closeWhere(func(key sessionKey, r *remoteSession) bool { return key.of(gate) && !(dead && r.abandon()) }, false,
		session.CloseReason{Kind: session.CloseNetwork, Reason: "the gate is gone"})
}

// closeAll ends all sessions as this node ends, and takes no more.
func (rs *remoteSessions) closeAll() {
	rs.closeWhere(func(sessionKey, *remoteSession) bool { return true }, true, session.CloseReason{Kind: session.CloseShutdown})
}

func (rs *remoteSessions) closeWhere(which func(sessionKey, *remoteSession) bool, last bool, why session.CloseReason) {
	var gone []*remoteSession
	rs.mu.Lock()
	rs.closed = rs.closed || last
	for key, r := range rs.all {
		if which(key, r) {
			rs.dropLocked(key)
			gone = append(gone, r)
		}
	}
	rs.mu.Unlock()
	for _, r := range gone {
		r.end(why)
	}
}

// close ends a session whose client is gone.
func (rs *remoteSessions) close(key sessionKey, why session.CloseReason) {
	rs.mu.Lock()
	r := rs.all[key]
	rs.dropLocked(key)
	rs.mu.Unlock()
	if r != nil {
		r.end(why)
	}
}

// get returns a session, nil if it is not known.
func (rs *remoteSessions) get(key sessionKey) *remoteSession {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return rs.all[key]
}

// list returns the sessions of other gates' clients that this node knows, in no order.
func (rs *remoteSessions) list() []*session.Session {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	all := make([]*session.Session, 0, len(rs.all))
	for _, r := range rs.all {
		all = append(all, r.sess)
	}
	return all
}

// open returns the session of a client behind the gate that way leads to, made if it is new; nil
// when the node ends. A new one is what f says of it before anybody hears of it; f is nil where
// nobody introduces sessions.
func (rs *remoteSessions) open(key sessionKey, way *peer, f *link.Frame) (r *remoteSession, fresh bool) {
	if r = rs.get(key); r != nil {
		return r, false
	}
	made := newRemoteSession(rs, key, way)
	uid := rs.begin(made, f)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r = rs.all[key]; r != nil || rs.closed {
		return r, false
	}
	rs.putLocked(key, made)
	rs.sched.PushTaskTo(made.Lane(), func() {
		rs.life.Open(made.sess)
		if uid != 0 && made.sess.UID() == uid {
			rs.life.Bound(made.sess)
		}
	})
	return made, true
}

// begin has r be what the first frame, if there is one, says of a session that nobody knows here
// yet. It returns the user.
func (rs *remoteSessions) begin(r *remoteSession, f *link.Frame) (uid int64) {
	if f == nil {
		return 0
	}
	r.window = uint32(windowOf(f).Milliseconds())
	r.setAddr(f.Text)
	r.mu.Lock()
	values := r.changesLocked(f)
	r.uid, r.vouched = f.UID, f.Flags&flagVouch != 0
	r.mu.Unlock()
	r.setValues(values)
	if f.UID <= 0 || !r.sess.Adopt(f.UID) {
		return 0
	}
	return f.UID
}

// handleOpened takes over what a session's gate says of it.
func (rs *remoteSessions) handleOpened(key sessionKey, way *peer, f *link.Frame) {
	if r := rs.get(key); r != nil && r.lostItsGate(way) { // which has forgotten it, and what was on its way is lost
		rs.close(key, session.CloseReason{Kind: session.CloseNetwork, Reason: "the gate was gone"})
	}
	followed, old := rs.follow(key, f)
	if old {
		return
	}
	if r, fresh := rs.open(key, way, f); r != nil {
		r.introducedBy(way, windowOf(f))
		if !fresh {
			r.update(f)
			if followed || f.Flags&flagGap != 0 {
				tellGap(r)
			}
		}
		rs.arrived(key)
	}
}

// maxWindow is how long a session waits for its client at most, whatever its gate says.
const maxWindow = 24 * time.Hour

// windowOf is how long a session that is introduced waits for its client when its gate has died.
func windowOf(f *link.Frame) time.Duration {
	return time.Duration(min(f.ID, uint64(maxWindow/time.Millisecond))) * time.Millisecond
}

// handleVouch takes what a backend knows of a session that it is about to send messages of. What is
// known here already is of the gate, or of another backend, and newer.
func (rs *remoteSessions) handleVouch(f *link.Frame) {
	p := rs.peers.at(string(f.Route))
	if p == nil {
		return // as is said when the message comes
	}
	if rs.byID(f.Session, f.UID) != nil { // it is going from one gate to another
		return
	}
	if r, fresh := rs.open(sessionKey{p.addr, p.epoch, f.Session}, p, f); fresh {
		_ = r.send(&link.Frame{Kind: link.SessionOpened, Flags: flagHold})
	}
}

// handleChanged takes over what has changed of a session.
func (rs *remoteSessions) handleChanged(key sessionKey, f *link.Frame) {
	if r := rs.get(key); r != nil {
		r.update(f)
	}
}

// handleClosed ends a session whose gate says so.
func (rs *remoteSessions) handleClosed(key sessionKey, f *link.Frame) {
	rs.close(key, session.CloseReason{Kind: session.CloseKind(min(f.ID, math.MaxUint8)), Reason: string(f.Text)})
}

// handleRefused takes the word of a backend that it does not know a session in whose name this node
// has spoken.
func (rs *remoteSessions) handleRefused(p *peer, f *link.Frame) {
	if g := rs.peers.at(string(f.Text)); g != nil {
		if r := rs.get(sessionKey{g.addr, g.epoch, f.Session}); r != nil {
			r.untold(p)
		}
	}
}

// meet waits until a gate that can introduce a session has done so: a backend of the 0.5 series
// speaks in its name and says nothing else of it.
func (rs *remoteSessions) meet(ctx context.Context, way *peer, id int64) error {
	key := sessionKey{way.addr, way.epoch, id}
	if way.link == nil {
		return nil
	}
	arrives := rs.want(key)
	if arrives == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := way.sendNow(&link.Frame{Kind: link.SessionOpened, Flags: flagHold, Session: id}); err == nil {
		select {
		case <-arrives:
			if rs.get(key) != nil {
				return nil
			}
		case <-ctx.Done():
		}
	}
	rs.arrived(key)
	rs.refusals.Unknown.Add(1)
	return status.Errorf(codes.Unavailable, "nano: gate %s has not introduced session %d", way.addr, id)
}

// want returns a channel that is closed when the gate of a session has introduced it; nil if the
// session is known.
func (rs *remoteSessions) want(key sessionKey) <-chan struct{} {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.all[key] != nil {
		return nil
	}
	c := rs.wanted[key]
	if c == nil {
		c = make(chan struct{})
		if rs.wanted == nil {
			rs.wanted = make(map[sessionKey]chan struct{})
		}
		rs.wanted[key] = c
	}
	return c
}

// arrived lets those go on that wait for a session.
func (rs *remoteSessions) arrived(key sessionKey) {
	rs.mu.RLock()
	none := len(rs.wanted) == 0
	rs.mu.RUnlock()
	if none {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if c := rs.wanted[key]; c != nil {
		close(c)
		delete(rs.wanted, key)
	}
}
