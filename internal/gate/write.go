package gate

import (
	"errors"
	"fmt"
	"os"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

// Push queues a push and never blocks. It returns ErrBrokenPipe if the connection is closed,
// ErrBufferExceed if the queue is full, and another error if v or the route cannot be encoded.
func (c *Conn) Push(route string, v any) error {
	return c.send(codec.Push, 0, route, v, c.gate.encoder.mannerOf(route, v))
}

// PushAs is Push of a message whose class of delivery another node has found.
func (c *Conn) PushAs(route string, v any, class session.DeliveryClass, key string) error {
	return c.send(codec.Push, 0, route, v, c.gate.encoder.manner(route, class, key))
}

// Response answers the request whose handler runs; see LastMid.
func (c *Conn) Response(v any) error { return c.ResponseMid(c.LastMid(), v) }

// ResponseMid answers request mid.
func (c *Conn) ResponseMid(mid uint64, v any) error {
	if mid == 0 {
		return ErrSessionOnNotify
	}
	err := c.send(codec.Response, mid, "", v, manner{when: atFirst})
	if err == nil {
		c.NoteAnswer(mid)
		c.gate.cfg.Table.Answered(c, mid)
	}
	return err
}

// FailMid answers request mid as if its handler had returned err.
func (c *Conn) FailMid(mid uint64, err error) error {
	if mid == 0 {
		return ErrSessionOnNotify
	}
	if c.sess.Closed() {
		return ErrBrokenPipe
	}
	c.gate.cfg.Table.Fail(c, mid, "", err)
	return nil
}

// Fail answers request mid with an error, unless it was answered or the client does not see errors.
func (c *Conn) Fail(mid uint64, payload []byte) {
	if !c.SeesErrors() || !c.TakeAnswer(mid) {
		return
	}
	err := c.enqueue(codec.Response, mid, "", payload, codec.FlagError, manner{when: atFirst})
	if errors.Is(err, errMoved) {
		c.res.Load().movedTo().Fail(mid, payload)
		return
	}
	if err != nil {
		c.gate.cfg.Log.Debug("error response not sent", "session", c.sess.ID(), "mid", mid, "err", err)
	}
}

// SeesErrors reports whether failed requests of the client are answered. It is known from the
// handshake on.
func (c *Conn) SeesErrors() bool { return c.wantsErr || c.gate.cfg.ErrorsToAll }

// RPC sends a notify of this session to whichever node serves the route.
func (c *Conn) RPC(route string, v any) error {
	payload, err := c.gate.encoder.serialize(v)
	if err != nil {
		return err
	}
	return c.gate.cfg.Table.Notify(c, route, payload)
}

// send serializes, filters and queues.
func (c *Conn) send(t codec.Type, mid uint64, route string, v any, m manner) error {
	payload, err := c.gate.encoder.serialize(v)
	if err != nil {
		return err
	}
	as := route
	if out := c.gate.outbound; !pipeline.Empty(out) {
		msg := &codec.Message{Type: t, ID: mid, Route: route, Data: payload}
		if err := dispatch.Filter(out, c.sess, msg); err != nil {
			return fmt.Errorf("cluster: outbound filter: %w", err)
		}
		route, payload = msg.Route, msg.Data
	}
	err = c.enqueue(t, mid, route, payload, 0, m)
	if errors.Is(err, errMoved) {
		return sendOn(c.res.Load().movedTo(), t, mid, as, v)
	}
	return err
}

// enqueue encodes a message behind what is queued. It is nil for one that is left out because the
// client does not keep up, as its class says.
func (c *Conn) enqueue(t codec.Type, mid uint64, route string, payload []byte, flags codec.Flags, m manner) error {
	if c.wantsGzip && flags == 0 {
		if small, ok := c.gate.encoder.compress(payload); ok {
			payload, flags = small, codec.FlagGzip
		}
	}
	if len(payload) > maxOut { // the sender's mistake, before it looks like a full queue
		return fmt.Errorf("%w: a payload of %d bytes", codec.ErrPacketTooLarge, len(payload))
	}
	c.mu.Lock()
	if r := c.res.Load(); r != nil {
		return r.enqueue(c, t, mid, route, payload, flags, m)
	}
	if c.skipsLocked(len(payload), &m) {
		c.mu.Unlock()
		return nil
	}
	if err := c.admitLocked(len(payload), &m); err != nil {
		return c.refuseUnlock(err)
	}
	before := c.waitingLocked()
	err := c.queueMessageLocked(t, mid, route, payload, flags, &m)
	list, hurry := c.listLocked(m.when, before)
	c.mu.Unlock()
	c.gate.flushes.add(list, c)
	if hurry {
		c.gate.flushes.hurry()
	}
	return err
}

// pushFrame queues a shared frame. The caller has to give the connection to the flush queue, with
// the urgency that it returns. made are the chains of the multicast that the frame belongs to; nil
// if there is none.
func (c *Conn) pushFrame(f *frame, made *extensions) (list urgency, err error) {
	c.mu.Lock()
	if f.gz != nil && c.wantsGzip {
		f = f.gz
	}
	if r := c.res.Load(); r != nil {
		return r.push(c, f, made)
	}
	size := f.only.sizes.in(c.form())
	if c.skipsLocked(size, &f.manner) {
		c.mu.Unlock()
		return never, nil
	}
	if err := c.admitLocked(size, &f.manner); err != nil {
		return never, c.refuseUnlock(err)
	}
	list, hurry := c.queueFrameLocked(f, made)
	c.mu.Unlock()
	if hurry {
		c.gate.flushes.hurry()
	}
	return list, nil
}

// refuseUnlock is what happens to output that is not admitted.
func (c *Conn) refuseUnlock(err error) error {
	if !errors.Is(err, ErrBufferExceed) {
		c.mu.Unlock()
		return err
	}
	if c.gate.cfg.DropSlow {
		c.mu.Unlock()
		c.gate.counters.Dropped.Add(1)
		return err
	}
	c.because(session.CloseSlow, "its send queue is full")
	c.shutLocked(kickPacket("slow consumer"), c.cut)
	c.mu.Unlock()
	c.gate.counters.SlowKicked.Add(1)
	c.gate.cfg.Log.Warn("session kicked: its send queue is full", "session", c.sess.ID(), "uid", c.sess.UID(), "remote", c.RemoteAddr(), "bytes", c.gate.cfg.SendQueue)
	c.depart(c.owner())
	return err
}

// control sends on this connection what is no message, and is not counted. made is as in pushFrame.
func (c *Conn) control(f *frame, made *extensions) {
	c.mu.Lock()
	if c.admitLocked(len(f.wire), &f.manner) != nil { // it ends, or reads nothing
		c.mu.Unlock()
		return
	}
	list, _ := c.queueCountedLocked(f, made)
	c.mu.Unlock()
	c.gate.flushes.add(list, c)
}

// sendOn sends a message to the client of a session that is at another gate by now. The filters of
// that gate see it once more.
func sendOn(to dispatch.Entity, t codec.Type, mid uint64, route string, v any) error {
	if t == codec.Response {
		return to.ResponseMid(mid, v)
	}
	return to.Push(route, v)
}

// Flush writes as much of the queue as it can without waiting. The flush queue calls it.
func (c *Conn) Flush() {
	c.mu.Lock()
	c.listed, c.first = false, false
	for {
		if c.writing || c.held && c.aheadLocked() == nil || c.flushed || c.wasCut {
			c.mu.Unlock()
			return
		}
		if !c.writableLocked() && (!c.closing || !c.sock.Blocks()) {
			closing := c.closing
			c.mu.Unlock()
			if closing {
				c.endOutput()
			}
			return
		}
		c.writing = true
		if c.sock.Blocks() { // also to say goodbye may block: TLS has to write for it
			c.mu.Unlock()
			go (&slowWriter{conn: c}).run()
			return
		}
		o := c.takeLocked()
		c.mu.Unlock()
		c.ready(o)
		size, count := o.size, o.count
		stuck, err := c.writeNow(o)
		if stuck {
			c.mu.Lock()
			c.stuck = true
			c.mu.Unlock()
			go (&slowWriter{conn: c, rest: o}).run()
			return
		}
		o.release()
		if err != nil {
			c.writeFailed(err)
			return
		}
		c.gate.counters.written(size, count)
		c.mu.Lock()
		c.writing, c.inFlight = false, weight{}
		c.weighLocked()
		if c.wasCut {
			c.mu.Unlock()
			c.gate.remove(c)
			return
		}
	}
}

// writeFailed ends a connection that cannot be written to.
func (c *Conn) writeFailed(err error) {
	c.gate.cfg.Log.Debug("connection ended: write failed", "session", c.owner().sess.ID(), "remote", c.peer(), "err", err)
	c.mu.Lock()
	c.writing, c.inFlight, c.abort = false, weight{}, true // the kernel is not to go on with the rest
	c.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.because(session.CloseSlow, "nothing was taken within the write timeout")
	} else {
		c.because(session.CloseNetwork, err.Error())
	}
	c.cut()
	c.gate.remove(c)
}
