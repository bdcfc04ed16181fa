package mesh

import (
	"slices"
	"sync"

	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// gateSession is a client of this gate, as other nodes know it: who knows it, which requests they
// are to answer, what they have not taken yet, and which values they were told. Its methods may be
// called concurrently. mu is held while a frame about the session is queued, so that what changes
// later is told later.
type gateSession struct {
	*node
	sess *session.Session

	mu       sync.Mutex
	closed   bool
	queued   bool         // the gate will call Flush
	peers    sessionPeers // who knows it
	requests requests
	values   encodedValues       // those that are forwarded, as they are now
	changed  map[string]struct{} // forwarded values that were set, and nobody was told yet
}

// enter notes a message that goes to p: it introduces the session to p if p does not know it, and
// notes a request. Where too many requests have no answer it returns the oldest, to be failed if
// the client is told of that. It is false for a session that has ended.
func (g *gateSession) enter(p *peer, from *gate.Conn, f *link.Frame) (ok bool, old []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.sess.Closed() {
		return false, nil
	}
	g.sendChangesLocked()
	g.introduceLocked(p)
	if p.givesCredit() { // else it is of the 0.5 series, and the lanes of calls to it are bounded
		if full := g.peers.enter(p, costOf(f)); full != nil {
			from.Pause(full)
		}
	}
	if f.Kind != link.Request {
		return true, nil
	}
	for _, mid := range g.requests.overdue() {
		if !from.SeesErrors() { // an old client takes an answer at any time
			g.requests.drop(mid)
		} else if g.requests.fail(mid) {
			old = append(old, mid)
		}
	}
	g.requests.begin(f.ID, p)
	return true, old
}

// introduceLocked tells p of the session, unless it knows it: nothing else of a session comes
// before that. If it cannot be told, p refuses what comes next, or does not get it.
func (g *gateSession) introduceLocked(p *peer) {
	if g.peers.knows(p) || p.send(g.openedLocked()) != nil {
		return
	}
	g.peers.introduced(p)
	p.sessions.Add(1)
	g.peers.forget(p)
}

// openedLocked is the frame that introduces the session.
func (g *gateSession) openedLocked() *link.Frame {
	f := &link.Frame{Kind: link.SessionOpened, Session: g.sess.ID(), UID: g.users.UID(g.sess), Data: g.values.encode()}
	if f.UID == 0 { // or it was replaced, and will be the user until it has closed
		f.UID = g.sess.UID()
	}
	if c := connOf(g.sess); c != nil && c.Resumable() {
		f.ID = uint64(g.gate.Window().Milliseconds())
	}
	if a := g.sess.RemoteAddr(); a != nil {
		f.Text = []byte(a.String())
	}
	return f
}

// forget notes that p does not know the session.
func (g *gateSession) forget(p *peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peers.drop(p) {
		p.sessions.Add(-1)
	}
	g.peers.forget(p)
}

// hold notes that p has the session, and wants to be told of it. It is false for one that has
// ended.
func (g *gateSession) hold(p *peer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	if g.peers.knows(p) {
		_ = p.send(g.openedLocked()) // it asks, so it is told again
	} else {
		g.introduceLocked(p)
	}
	return true
}

// awaits tells whether a request has no answer yet.
func (g *gateSession) awaits(mid uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests.awaits(mid)
}

// answer notes the answer to a request. It is false for one that had an error for an answer before.
func (g *gateSession) answer(mid uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests.answer(mid)
}

// fail notes that a request is answered with an error. It is false if it was before. A client that
// takes no errors has no answer by that.
func (g *gateSession) fail(mid uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seesErrors() {
		return g.requests.fail(mid)
	}
	was := g.requests.awaits(mid)
	g.requests.drop(mid)
	return was
}

// unsent notes that a request was not sent. It is false if it has failed.
func (g *gateSession) unsent(mid uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests.unsent(mid)
}

// refused notes that the error of a request is queued.
func (g *gateSession) refused(mid uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests.refused(mid)
}

// seesErrors tells whether the client is told of errors. One that is not takes an answer at any
// time.
func (g *gateSession) seesErrors() bool {
	c := connOf(g.sess)
	return c != nil && c.SeesErrors()
}

// lose returns the requests that p does not answer any more, and whose client is told so. With
// forget, p does not know the session any more either.
func (g *gateSession) lose(p *peer, forget bool) (mids []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if forget {
		g.peers.drop(p)
	}
	g.peers.forget(p)
	if !forget && !g.seesErrors() {
		g.requests.dropAt(p)
	}
	return g.requests.failAt(p)
}

// credit notes that p has taken messages of the session.
func (g *gateSession) credit(p *peer, cost int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.peers.leave(p, cost)
}

// tellUser tells all that know the session who it is. When it has become nobody's, it has no values
// but those that come along.
func (g *gateSession) tellUser(uid int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := &link.Frame{Kind: link.SessionChanged, Session: g.sess.ID(), UID: uid}
	if uid != 0 {
		g.sendChangesLocked()
	} else if len(g.peers.list) > 0 {
		clear(g.changed)
		f.Data = g.values.encode()
	}
	g.tellLocked(f)
}

// tellLocked sends a frame about the session to all that know it.
func (g *gateSession) tellLocked(f *link.Frame) {
	for p := range g.peers.all() {
		_ = p.send(f) // a node that cannot be reached closes the session with its gate's link
	}
}

// setValue takes over what the session's value is now: of two changes at once the later one is told
// last.
func (g *gateSession) setValue(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	b := g.encodeLocked(key)
	if total, ok := g.values.fits(key, b); !ok {
		g.log.Warn("a session value cannot be forwarded: it is too large", "session", g.sess.ID(), "key", key, "bytes", len(b), "all", total)
		b = nil
	}
	g.values = g.values.with(key, b)
	if len(g.peers.list) == 0 {
		return // who comes to know the session is told all values
	}
	if g.changed == nil {
		g.changed = make(map[string]struct{})
	}
	g.changed[key] = struct{}{}
	if !g.queued {
		g.queued = true
		g.gate.Dirty(g)
	}
}

// encodeLocked encodes the session's value of a key, to nothing if there is none, or none that can
// be encoded.
func (g *gateSession) encodeLocked(key string) []byte {
	if !g.sess.HasKey(key) {
		return nil
	}
	b, err := encodeValue(g.sess.Value(key))
	if err != nil {
		g.log.Warn("a session value cannot be forwarded: use types that encoding/gob knows", "session", g.sess.ID(), "key", key, "err", err)
		return nil
	}
	return b
}

// Flush sends what has changed. It is for the gate, which calls it at the end of a batch of
// handlers.
func (g *gateSession) Flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queued = false
	g.sendChangesLocked()
}

// sendChangesLocked tells all that know the session which values have changed.
func (g *gateSession) sendChangesLocked() {
	if len(g.changed) == 0 {
		return
	}
	data := g.values.only(g.changed).encode()
	clear(g.changed)
	g.tellLocked(&link.Frame{Kind: link.SessionChanged, Flags: flagValues, Session: g.sess.ID(), Data: data})
}

// close tells everybody who knows the session that it has ended, and returns them.
func (g *gateSession) close() (told []*peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for p := range g.peers.all() {
		p.sessions.Add(-1)
		_ = p.send(closedFrame(g.sess))
	}
	told = slices.Collect(g.peers.all())
	g.requests, g.values, g.changed = requests{}, nil, nil
	g.peers.close()
	return told
}
