package gate

import (
	"errors"
	"net"
	"time"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/internal/transport"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// A session goes from one gate to another in four steps. Release ends the service of its client
// here; what is sent to it is kept. Hand gives what is kept away, and has the session's entity at
// this gate send everything on from then on. Gone says that what was kept is on its way. Adopt, at
// the other gate, makes a session of it that waits for its client, which comes back there as it
// does at one gate.

// Claim is what a client says that comes back with the token of another gate.
type Claim struct {
	Token    resume.Token
	Text     string // the token as it came
	Received uint64
	Dict     string // version of the gate's dictionary
	Gap      bool   // the client takes a session that has lost messages
	Errors   bool   // and answers that are errors
	Remote   net.Addr
	Until    time.Time // when the client's handshake is over
}

// Handed is a session on its way to another gate.
type Handed struct {
	State        resume.State
	Loss         resume.Loss
	Errors, Gzip bool // as the session has agreed on with its client
	End          bool // it was closed on its way, and ends when it is there
	Kicked       bool
	Why          session.CloseReason
}

// ending is what is to become of a session that is on its way.
type ending struct {
	kicked bool
	why    session.CloseReason
}

// errMoved is the error of output for a session that is at another gate by now.
var errMoved = errors.New("cluster: the session is at another gate")

// Identify says what the gate is called in the tokens of its clients. It comes before any of them.
func (g *Gate) Identify(at resume.Place) { g.resumer.place = at }

// Place is what the gate is called in the tokens of its clients.
func (g *Gate) Place() resume.Place { return g.resumer.place }

// Trust has the gate sign tokens with a secret that it shares with other gates, and read theirs.
func (g *Gate) Trust(secret []byte) { g.resumer.signer.Trust(secret) }

// ReadToken reads a token that a gate with the same secret has made.
func (g *Gate) ReadToken(text string) (resume.Token, error) { return g.resumer.signer.Parse(text) }

// Window returns how long sessions wait for their clients; 0 if they do not.
func (g *Gate) Window() time.Duration { return g.cfg.Resume.Window }

// Buffer returns how many bytes are kept for a client.
func (g *Gate) Buffer() int { return g.cfg.Resume.Buffer }

// Ended returns why a session of this gate is over; Unknown if nothing is remembered.
func (g *Gate) Ended(id int64) resume.Reason { return g.resumer.why(id) }

// Coming says that a session is fetched from another gate, and Came that this is over: Drain waits
// for that, whether or not its client does.
func (g *Gate) Coming() { g.resumer.moving.Add(1) }

// Came ends what Coming has begun.
func (g *Gate) Came() { g.resumer.moving.Add(-1) }

// Dict returns the version of the dictionary.
func (g *Gate) Dict() string { return g.shake.dictVersion }

// returning returns how many packets a client with a token has received, and whether it has to hear
// that some were lost.
func (r *resumable) returning(t resume.Token, received uint64) (n uint64, gap bool) {
	if r.roamed == nil || !r.roamed.gap.Concerns(t) {
		return received, false
	}
	if r.roamed.gap.Anew {
		return 0, true
	}
	return received, true
}

// Release ends the service of a session here, whose client has come to another gate with a token. A
// connection that is still open is replaced. Until Hand, what is sent to the session is kept. It
// changes nothing if it returns a reason: Later if it comes to it after a time.
func (g *Gate) Release(t resume.Token, received uint64, before time.Time) (*Conn, resume.Reason) {
	f := g.resumer.find(t)
	if f == nil {
		return nil, g.resumer.why(t.Session)
	}
	r := f.res.Load()
	r.serving.Lock() // what the carrier has read is with the schedulers, and it serves no more
	defer r.serving.Unlock()
	f.mu.Lock()
	if r.over || r.leaving {
		f.mu.Unlock()
		return nil, resume.Unknown
	}
	if !time.Now().Before(before) {
		f.mu.Unlock()
		return nil, resume.Later
	}
	n, _ := r.returning(t, received)
	why, err := r.Resume(t, n, time.Now())
	switch {
	case err != nil:
		f.mu.Unlock()
		return nil, resume.Unknown
	case why != "":
		r.notResumed(why)
		return nil, why
	}
	g.running.Add(1) // until Gone, both
	g.resumer.moving.Add(1)
	was, waited := r.carrier, r.stopTimerLocked()
	if was != nil {
		was.retired.Store(true)
	}
	r.carrier, r.leaving = nil, true
	r.roamedLocked()
	f.mu.Unlock()
	if waited {
		g.resumer.returned(f)
	}
	if was != nil {
		was.cut()
	}
	return f, ""
}

// Hand returns the session that was released. What is sent to it from now on, whoever has its
// connection here still, goes to its new entity.
func (g *Gate) Hand(f *Conn, to dispatch.Entity) (h Handed) {
	r := f.res.Load()
	f.mu.Lock()
	h = Handed{State: r.State(), Loss: r.roamed.gap, Errors: f.wantsErr, Gzip: f.wantsGzip}
	if e := r.roamed.end; e != nil {
		h.End, h.Kicked, h.Why = true, e.kicked, e.why
	}
	r.roamed.moved = to
	r.Out.Clear()
	r.weighLocked()
	dispatch.Rehome(f.sess, to)
	f.told = true
	if f.transit != nil && f.transit.ended != nil {
		close(f.transit.ended)
	}
	f.mu.Unlock()
	g.counters.Closed.Add(1)
	return h
}

// Gone says that what Hand has returned was sent: Drain and Shutdown wait for that.
func (g *Gate) Gone() {
	g.resumer.moving.Add(-1)
	g.running.Done()
}

// endElsewhere ends a session that is on its way to another gate, or there. It has the front's
// lock, and gives it back.
func (r *resumable) endElsewhere(last []byte, why session.CloseReason) error {
	to := r.roamed.moved
	if to == nil {
		if r.roamed.end == nil {
			r.roamed.end = &ending{last != nil, why}
		}
		r.front.mu.Unlock()
		return nil
	}
	r.front.mu.Unlock()
	if k, ok := to.(session.Kicker); ok && last != nil {
		return k.Kick(why.Reason)
	}
	return to.Close()
}

// movedTo returns what carries the session at another gate, nil if it is here.
func (r *resumable) movedTo() dispatch.Entity {
	if r == nil {
		return nil
	}
	r.front.mu.Lock()
	defer r.front.mu.Unlock()
	if !r.leaving {
		return nil
	}
	return r.roamed.moved
}

// Adopt makes a session of what another gate has given away. It waits for its client. sessionOf
// returns the session, for the connection that is its entity; lane is the order of its calls where
// it was known here before, else nil.
func (g *Gate) Adopt(h Handed, from net.Addr, lane *scheduler.Lane, sessionOf func(c *Conn) *session.Session) error {
	c := newConn(g, nowhere{at: from})
	c.adopted, c.flushed, c.readDone, c.parted, c.removed = true, true, true, true, true
	c.closing, c.wasCut = true, true
	c.wantsErr, c.wantsGzip = h.Errors, h.Gzip && g.cfg.GzipMin > 0
	c.transit = &transit{lane: lane}
	c.phase.Store(uint32(leaving))
	g.cfg.InitLane(&c.lane)
	if lane == nil {
		c.transit.lane = &c.lane
	}
	window := g.cfg.Resume.Window
	r := &resumable{front: c, roamed: &roams{remote: from, gap: h.Loss}}
	r.reader.Store(c)
	if err := r.Restore(h.State, time.Now().Add(window)); err != nil {
		return err
	}
	c.mu.Lock()
	c.res.Store(r)
	c.sess = sessionOf(c)
	g.counters.Opened.Add(1)
	if !g.resumer.wait(c, from) {
		_ = r.shut(nil, session.CloseReason{Kind: session.CloseShutdown})
		return errNoRoom
	}
	r.roamed.timer = time.AfterFunc(window, r.expire)
	r.weighLocked()
	if h.End {
		var last []byte
		if h.Kicked {
			last = kickPacket(h.Why.Reason)
		}
		_ = r.shut(last, h.Why)
		return nil
	}
	c.mu.Unlock()
	return nil
}

var errNoRoom = errors.New("cluster: no session is taken any more")

// nowhere is the socket of a connection that never had one.
type nowhere struct {
	transport.Conn
	at net.Addr
}

// RemoteAddr returns the address of the client for which the session was fetched.
func (n nowhere) RemoteAddr() net.Addr { return n.at }

// Waiting has nothing to tell.
func (nowhere) Waiting() {}
