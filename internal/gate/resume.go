package gate

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// A session that can be resumed outlives its connections. It begins as any other: its Conn is both
// the network side of the session and its first connection. When the client comes back, another
// Conn carries it (resumable.carrier), which serves what the client sends in the name of the first
// one (resumable.front). That stays the session's entity, whatever became of its own socket.

// ResumeConfig says whether sessions outlive their connections.
type ResumeConfig struct {
	Window time.Duration // how long a session waits for its client; 0: it does not
	Buffer int           // bytes that are kept for a client
	Total  int           // bytes that are kept for all clients; 0: no limit
}

// keepUnit is how many bytes a session may keep whatever others do, and how exactly the cap of all
// is counted.
const keepUnit = 4 << 10

// resumable is what a session has more that outlives its connection.
//
// What a broadcast touches stands first, as in Conn.
type resumable struct {
	front *Conn // constant

	// front.mu guards these, except that Receive is called under serving.
	carrier *Conn // the connection; nil: suspended
	weight  int32 // kept bytes that count for the cap of all
	over    bool  // the session has ended
	leaving bool  // it goes to another gate, or has gone there
	resume.Session
	roamed *roams // nil: it has always been connected, by the front

	// serving is held by the reader of the carrier, from the bytes that it serves until the calls
	// in them are with their schedulers. Whoever carries the session on waits for that.
	serving sync.Mutex
	reader  atomic.Pointer[Conn] // whose reader that is, or was last; stored under serving
}

// roams is what a session needs that has lost a connection.
type roams struct {
	timer  *time.Timer     // of the window; nil unless it is suspended
	remote net.Addr        // of the last connection that has come back; nil: none has
	gap    resume.Loss     // how it came from another gate
	moved  dispatch.Entity // carries it at another gate; nil: it is here
	end    *ending         // what is to become of it there; nil: it goes on
}

// roamedLocked returns what there is of that, made if there is nothing.
func (r *resumable) roamedLocked() *roams {
	if r.roamed == nil {
		r.roamed = new(roams)
	}
	return r.roamed
}

// stopTimerLocked ends the window, and reports whether there was one.
func (r *resumable) stopTimerLocked() bool {
	if r.roamed == nil || r.roamed.timer == nil {
		return false
	}
	r.roamed.timer.Stop()
	r.roamed.timer = nil
	return true
}

// resumer is the part of a gate that all sessions share which can be resumed.
type resumer struct {
	gate   *Gate
	place  resume.Place // what tokens call the gate; Identify sets it
	signer *resume.Signer
	kept   atomic.Int64 // bytes, roughly
	moving atomic.Int32 // sessions that come from other gates, or go there, just now

	mu    sync.Mutex
	ends  resume.Ends
	guard resume.Guard
	away  map[*Conn]netip.Addr // suspended: no connection of theirs is in Gate.conns; with the address that they count for
	count map[netip.Addr]int   // of those of each address; nil without a limit
}

// lockServing waits for what another connection of the session serves.
func (r *resumable) lockServing(c *Conn) {
	if r.serving.TryLock() {
		return
	}
	c.busy.Store(true) // what its client sends lies unread
	c.sock.Waiting()
	r.serving.Lock()
	c.busy.Store(false)
}

var (
	// errReplaced ends the reading of a connection whose client has come on another.
	errReplaced = errors.New("replaced by a newer connection of the same session")
	// errLeft ends the reading of a WebSocket that was closed without a goodbye.
	errLeft = errors.New("closed by the client without a goodbye")
)

// enqueue is Conn.enqueue for a session that can be resumed. It has the lock of c, and gives it
// back. What is sent is counted, so nothing overtakes it and nothing replaces it.
func (r *resumable) enqueue(c *Conn, t codec.Type, mid uint64, route string, payload []byte, flags codec.Flags, m manner) error {
	b, skip, err := r.carrierLocked(c, len(payload), &m)
	switch {
	case err != nil:
		return r.refuseUnlock(c, err)
	case skip:
		c.mu.Unlock()
		return nil
	case b == nil:
		packet, err := codec.AppendData(nil, t, mid, route, payload, flags, c.gate.cfg.Dictionary, maxOut)
		if err != nil {
			c.mu.Unlock()
			return err
		}
		r.Out.Copy(packet) // nobody else has it: it counts for the cap of all
		return r.keptUnlock()
	}
	before := b.waitingLocked()
	o := b.outLocked()
	start := len(o.begin())
	buf, err := b.appendMessage(o.begin(), t, mid, route, payload, flags)
	o.end(buf)
	if err == nil {
		r.Out.Copy(b.packetIn(buf[start:]))
	}
	list, hurry := b.listLocked(m.when, before)
	r.unlockCarrier(b)
	if kept := r.keptUnlock(); err == nil {
		err = kept
	}
	c.gate.flushes.add(list, b)
	if hurry {
		c.gate.flushes.hurry()
	}
	return err
}

// push is Conn.pushFrame for a session that can be resumed. It has the lock of c, and gives it
// back.
func (r *resumable) push(c *Conn, f *frame, made *extensions) (list urgency, err error) {
	b, skip, err := r.carrierLocked(c, len(f.wire), &f.manner)
	switch {
	case err != nil:
		return never, r.refuseUnlock(c, err)
	case skip:
		c.mu.Unlock()
		return never, nil
	}
	if f.kept != nil {
		r.Out.ShareAmong(f.kept)
	} else {
		r.Out.Share(f.packet())
	}
	if b == nil {
		return never, r.keptUnlock()
	}
	list, hurry := b.queueCountedLocked(f, made)
	r.unlockCarrier(b)
	err = r.keptUnlock()
	if b != c {
		c.gate.flushes.add(list, b)
		list = never
	}
	if hurry {
		c.gate.flushes.hurry()
	}
	return list, err
}

// carrierLocked returns the connection that takes n more bytes, with its lock held; nil if there is
// none now, so that they can only be kept. With skip they are left out. c is the connection that
// was to send them.
func (r *resumable) carrierLocked(c *Conn, n int, m *manner) (b *Conn, skip bool, err error) {
	if r.front != c || r.over { // the first: its own session was discarded
		return nil, false, ErrBrokenPipe
	}
	if r.leaving && r.roamed.moved != nil {
		return nil, false, errMoved
	}
	if b = r.carrier; b != nil && b != c {
		b.mu.Lock()
	}
	if b != nil {
		if b.skipsLocked(n, m) {
			r.unlockCarrier(b)
			return nil, true, nil
		}
		if err = b.admitLocked(n, m); err == nil {
			return b, false, nil
		}
		r.unlockCarrier(b)
		if !errors.Is(err, ErrBrokenPipe) {
			return nil, false, err
		}
	}
	// There is none, or it is about to be told that it has ended.
	if m.class == session.DeliverUnlessBusy {
		c.skippedLocked(1)
		return nil, true, nil
	}
	return nil, false, nil
}

// unlockCarrier gives the lock of a carrier back, unless it is the front's.
func (r *resumable) unlockCarrier(b *Conn) {
	if b != r.front {
		b.mu.Unlock()
	}
}

// keptUnlock holds what is kept to its bounds, and gives the front's lock back.
func (r *resumable) keptUnlock() error {
	c := r.front
	g := c.gate
	limit := g.cfg.Resume.Buffer
	if total := g.cfg.Resume.Total; total > 0 && g.resumer.kept.Load() > int64(total) {
		limit = min(limit, keepUnit)
	}
	ok := r.Out.Bytes() <= limit || r.Trim(limit)
	r.weighLocked()
	if ok {
		c.mu.Unlock()
		return nil
	}
	g.cfg.Log.Info("session ended: more was sent than is kept for a client that is away", "session", c.sess.ID(), "uid", c.sess.UID(), "bytes", limit)
	g.resumer.end(c.sess.ID(), resume.Overflow)
	_ = r.shut(nil, session.CloseReason{Kind: session.CloseSlow, Reason: "more was sent than is kept for a client that is away"})
	return ErrBufferExceed
}

// weighLocked counts what a session keeps for the cap of all, in large steps: most messages touch
// nothing that sessions share.
func (r *resumable) weighLocked() {
	if d := r.Out.Own() - int(r.weight); d >= keepUnit || d <= -keepUnit || r.Out.Own() == 0 && d != 0 {
		r.weight += int32(d)
		r.front.gate.resumer.kept.Add(int64(d))
	}
}

// refuseUnlock is what happens to output of c for which the carrier's queue has no room. It has the
// lock of c, and gives it back.
func (r *resumable) refuseUnlock(c *Conn, err error) error {
	g := c.gate
	if !errors.Is(err, ErrBufferExceed) {
		c.mu.Unlock()
		return err
	}
	if g.cfg.DropSlow {
		c.mu.Unlock()
		g.counters.Dropped.Add(1)
		return err
	}
	g.counters.SlowKicked.Add(1)
	g.cfg.Log.Warn("session kicked: its send queue is full", "session", c.sess.ID(), "uid", c.sess.UID(), "bytes", g.cfg.SendQueue)
	_ = r.shut(kickPacket("slow consumer"), session.CloseReason{Kind: session.CloseSlow, Reason: "its send queue is full"})
	return err
}

// shut ends a session that can be resumed, and the connection that carries it, behind the last
// packet. It has the front's lock, and gives it back.
func (r *resumable) shut(last []byte, why session.CloseReason) error {
	c := r.front
	if r.over {
		c.mu.Unlock()
		return ErrCloseClosedSession
	}
	if r.leaving {
		return r.endElsewhere(last, why)
	}
	r.over = true
	c.sess.SetCloseReason(why)
	b := r.carrier
	r.carrier = nil
	r.Out.Clear()
	r.weighLocked()
	waited := r.stopTimerLocked()
	if b != nil {
		if b != c {
			b.mu.Lock()
		}
		if !b.closing {
			b.shutLocked(last, b.cut)
		}
		r.unlockCarrier(b)
	}
	c.mu.Unlock()
	if b != nil {
		b.depart(c)
	} else {
		c.tellEnd()
	}
	if waited {
		c.gate.resumer.returned(c)
	}
	return nil
}

// enter begins to serve what came on a connection. It does nothing for nil, as for a session that
// cannot be resumed.
func (r *resumable) enter(c *Conn) error {
	if r == nil || c.entered {
		return nil
	}
	r.lockServing(c)
	if c.retired.Load() {
		r.serving.Unlock()
		return errReplaced
	}
	r.reader.Store(c)
	c.entered = true
	return nil
}

// exit ends what enter has begun.
func (r *resumable) exit(c *Conn) {
	if c.entered {
		c.entered = false
		r.serving.Unlock()
	}
}

// readBy returns the connection whose reader serves what the session's client has sent: c, if the
// session cannot be resumed, which is nil.
func (r *resumable) readBy(c *Conn) *Conn {
	if r != nil {
		if at := r.reader.Load(); at != nil {
			return at
		}
	}
	return c
}

// received counts a data packet of n bytes that came on a connection, and tells the client from
// time to time. It does nothing for nil.
func (r *resumable) received(c *Conn, n int) {
	if r != nil && r.Receive(n) {
		c.control(countFrame(r.Received()), nil)
	}
}

// countFrame returns the heartbeat that says that n data packets came.
func countFrame(n uint64) *frame {
	body := resume.AppendCount(make([]byte, 0, 10), n)
	return newFrame(codec.AppendPacket(nil, codec.Heartbeat, body), manner{when: soon})
}

// beaten takes what a client's heartbeat says, which nil does not listen to.
func (r *resumable) beaten(body []byte) error {
	if r == nil || len(body) == 0 {
		return nil
	}
	f := r.front
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.over {
		return nil
	}
	if err := r.Heartbeat(body); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	r.weighLocked()
	return nil
}
