package gate

import (
	"errors"
	"fmt"
	"net"
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
	timer  *time.Timer   // of the window; nil unless it is suspended
	remote net.Addr      // of the last connection that has come back; nil: none has
	gap    resume.Loss   // how it came from another gate
	moved  dispatch.Peer // carries it at another gate; nil: it is here
	end    *ending       // what is to become of it there; nil: it goes on
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
	signer *resume.Signer
	kept   atomic.Int64 // bytes, roughly

	mu    sync.Mutex
	ends  resume.Ends
	guard resume.Guard
	away  map[*Conn]struct{} // suspended: no connection of theirs is in Gate.conns
}

// owner returns the session's entity, for a connection that carries it.
func (c *Conn) owner() *Conn {
	if r := c.res.Load(); r != nil {
		return r.front
	}
	return c
}

// outlives reports whether the session may go on without this connection: its client can come back,
// as soon as it may have a token. Whether it has finished the handshake does not matter: the ack
// may have been lost.
func (c *Conn) outlives() bool {
	r := c.res.Load()
	return r != nil && (r.front != c || phase(c.phase.Load()) >= shaken)
}

// enqueueKept is enqueue for a session that can be resumed. It has the lock, and gives it back.
// What is sent is counted, so nothing overtakes it and nothing replaces it.
func (c *Conn) enqueueKept(r *resumable, t codec.Type, mid uint64, route string, payload []byte, flags codec.Flags, m manner) error {
	b, skip, err := c.carrierLocked(r, len(payload), &m)
	switch {
	case err != nil:
		return c.refuseKept(err)
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
		return c.keptUnlock(r)
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
	b.unlockUnless(c)
	if kept := c.keptUnlock(r); err == nil {
		err = kept
	}
	c.gate.hub.add(list, b)
	if hurry {
		c.gate.hub.hurry()
	}
	return err
}

// pushKept is pushFrame for a session that can be resumed. It has the lock, and gives it back.
func (c *Conn) pushKept(r *resumable, f *frame, made *extensions) (list urgency, err error) {
	b, skip, err := c.carrierLocked(r, len(f.wire), &f.manner)
	switch {
	case err != nil:
		return never, c.refuseKept(err)
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
		return never, c.keptUnlock(r)
	}
	list, hurry := b.queueCountedLocked(f, made)
	b.unlockUnless(c)
	err = c.keptUnlock(r)
	if b != c {
		c.gate.hub.add(list, b)
		list = never
	}
	if hurry {
		c.gate.hub.hurry()
	}
	return list, err
}

// queueCountedLocked queues a frame that nothing may replace any more.
func (c *Conn) queueCountedLocked(f *frame, made *extensions) (list urgency, hurry bool) {
	before := c.waitingLocked()
	switch {
	case f.droppable():
		c.outLocked().addShared(f.in(c.form()))
	case !c.queuedLocked():
		c.chain = &f.only
	case c.chain != nil && made != nil:
		c.chain = made.extend(c.chain, f)
	default:
		c.outLocked().addShared(f.in(c.form()))
	}
	return c.listLocked(f.when, before)
}

// carrierLocked returns the connection that takes n more bytes, with its lock held; nil if there is
// none now, so that they can only be kept. With skip they are left out.
func (c *Conn) carrierLocked(r *resumable, n int, m *manner) (b *Conn, skip bool, err error) {
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
			b.unlockUnless(c)
			return nil, true, nil
		}
		if err = b.admitLocked(n, m); err == nil {
			return b, false, nil
		}
		b.unlockUnless(c)
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

// unlockUnless gives the lock of a carrier back, which is another's than c's.
func (c *Conn) unlockUnless(front *Conn) {
	if c != front {
		c.mu.Unlock()
	}
}

// packetIn returns the packet of a message as appendMessage has encoded it.
func (c *Conn) packetIn(b []byte) []byte {
	if c.form().plain() != formMessage {
		return b
	}
	switch b[1] {
	case 126:
		return b[4:]
	case 127:
		return b[10:]
	}
	return b[2:]
}

// keptUnlock holds what is kept to its bounds, and gives the lock back.
func (c *Conn) keptUnlock(r *resumable) error {
	g := c.gate
	limit := g.cfg.Resume.Buffer
	if total := g.cfg.Resume.Total; total > 0 && g.resumer.kept.Load() > int64(total) {
		limit = min(limit, keepUnit)
	}
	ok := r.Out.Bytes() <= limit || r.Trim(limit)
	c.weighKeptLocked(r)
	if ok {
		c.mu.Unlock()
		return nil
	}
	g.cfg.Log.Info("session ended: more was sent than is kept for a client that is away", "session", c.sess.ID(), "uid", c.sess.UID(), "bytes", limit)
	g.resumer.end(c.sess.ID(), resume.Overflow)
	_ = c.shutKept(r, nil, session.CloseReason{Kind: session.CloseSlow, Reason: "more was sent than is kept for a client that is away"})
	return ErrBufferExceed
}

// weighKeptLocked counts what a session keeps for the cap of all, in large steps: most messages
// touch nothing that sessions share.
func (c *Conn) weighKeptLocked(r *resumable) {
	if d := r.Out.Own() - int(r.weight); d >= keepUnit || d <= -keepUnit || r.Out.Own() == 0 && d != 0 {
		r.weight += int32(d)
		c.gate.resumer.kept.Add(int64(d))
	}
}

// refuseKept is what happens to output for which the carrier's queue has no room. It has the lock,
// and gives it back.
func (c *Conn) refuseKept(err error) error {
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
	_ = c.shutKept(c.res.Load(), kickPacket("slow consumer"), session.CloseReason{Kind: session.CloseSlow, Reason: "its send queue is full"})
	return err
}

// shutKept ends a session that can be resumed, and the connection that carries it, behind the last
// packet. It has the front's lock, and gives it back.
func (c *Conn) shutKept(r *resumable, last []byte, why session.CloseReason) error {
	if r.over {
		c.mu.Unlock()
		return ErrCloseClosedSession
	}
	if r.leaving {
		return c.endElsewhere(r, last, why)
	}
	r.over = true
	c.sess.SetCloseReason(why)
	b := r.carrier
	r.carrier = nil
	r.Out.Clear()
	c.weighKeptLocked(r)
	waited := r.stopTimerLocked()
	if b != nil {
		if b != c {
			b.mu.Lock()
		}
		if !b.closing {
			b.shutLocked(last)
		}
		b.unlockUnless(c)
	}
	c.mu.Unlock()
	if b != nil {
		b.leave()
	}
	c.tellEnd()
	if b != nil {
		b.part()
	}
	if waited {
		c.gate.returned(c)
	}
	return nil
}

// enter begins to serve what the client has sent, for a session that can be resumed.
func (c *Conn) enter() error {
	r := c.res.Load()
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

// reader returns the connection whose reader serves what the session's client has sent.
func (c *Conn) reader() *Conn {
	if r := c.res.Load(); r != nil {
		if at := r.reader.Load(); at != nil {
			return at
		}
	}
	return c
}

// exit ends what enter has begun.
func (c *Conn) exit() {
	if c.entered {
		c.entered = false
		c.res.Load().serving.Unlock()
	}
}

var (
	// errReplaced ends the reading of a connection whose client has come on another.
	errReplaced = errors.New("replaced by a newer connection of the same session")
	// errLeft ends the reading of a WebSocket that was closed without a goodbye.
	errLeft = errors.New("closed by the client without a goodbye")
)

// received counts a data packet of n bytes, and tells the client from time to time.
func (c *Conn) received(n int) {
	if r := c.res.Load(); r != nil && r.Receive(n) {
		c.beat(r)
	}
}

// beat sends a heartbeat that says how many data packets came.
func (c *Conn) beat(r *resumable) {
	body := resume.AppendCount(make([]byte, 0, 10), r.Received())
	c.control(newFrame(codec.AppendPacket(nil, codec.Heartbeat, body), manner{when: soon}))
}

// control sends on this connection what is no message, and is not counted.
func (c *Conn) control(f *frame) {
	c.mu.Lock()
	if c.admitLocked(len(f.wire), &f.manner) != nil { // it ends, or reads nothing
		c.mu.Unlock()
		return
	}
	list, _ := c.queueCountedLocked(f, nil)
	c.mu.Unlock()
	c.gate.hub.add(list, c)
}

// beaten takes what a client's heartbeat says.
func (c *Conn) beaten(body []byte) error {
	r := c.res.Load()
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
	f.weighKeptLocked(r)
	return nil
}
