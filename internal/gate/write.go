package gate

import (
	"errors"
	"fmt"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

const (
	hurryAt   = 64 << 10 // a queue of so many bytes is flushed before the batch ends
	writeUnit = 64 << 10 // what one call writes for a client that does not keep up
)

// Push queues a push and never blocks. It returns ErrBrokenPipe if the connection is closed,
// ErrBufferExceed if the queue is full, and another error if v or the route cannot be encoded.
func (c *Conn) Push(route string, v any) error {
	return c.send(codec.Push, 0, route, v, c.gate.mannerOf(route, v))
}

// PushAs is Push of a message whose class of delivery another node has found.
func (c *Conn) PushAs(route string, v any, class session.DeliveryClass, key string) error {
	return c.send(codec.Push, 0, route, v, c.gate.manner(route, class, key))
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
func (c *Conn) Fail(mid uint64, payload any) {
	if !c.SeesErrors() || !c.TakeAnswer(mid) {
		return
	}
	b, err := c.gate.serializeFailure(payload)
	if err == nil {
		err = c.enqueue(codec.Response, mid, "", b, codec.FlagError, manner{when: atFirst})
	}
	if errors.Is(err, errMoved) {
		c.movedTo().Fail(mid, payload)
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
	payload, err := c.gate.serialize(v)
	if err != nil {
		return err
	}
	return c.gate.cfg.Table.Notify(c, route, payload)
}

// send serializes, filters and queues.
func (c *Conn) send(t codec.Type, mid uint64, route string, v any, m manner) error {
	payload, err := c.gate.serialize(v)
	if err != nil {
		return err
	}
	as := route
	if out := c.gate.outbound; !pipeline.Empty(out) {
		msg := &codec.Message{Type: t, ID: mid, Route: route, Data: payload}
		if err := dispatch.Filter(out, c.sess, msg); err != nil {
			return fmt.Errorf("outbound filter: %w", err)
		}
		route, payload = msg.Route, msg.Data
	}
	err = c.enqueue(t, mid, route, payload, 0, m)
	if errors.Is(err, errMoved) {
		return c.sendOn(t, mid, as, v)
	}
	return err
}

// sendOn sends a message of a session that is at another gate by now. The filters of that gate see
// it once more.
func (c *Conn) sendOn(t codec.Type, mid uint64, route string, v any) error {
	if t == codec.Response {
		return c.movedTo().ResponseMid(mid, v)
	}
	return c.movedTo().Push(route, v)
}

// enqueue encodes a message behind what is queued. It is nil for one that is left out because the
// client does not keep up, as its class says.
func (c *Conn) enqueue(t codec.Type, mid uint64, route string, payload []byte, flags codec.Flags, m manner) error {
	if c.wantsGzip && flags == 0 {
		if packed, ok := c.gate.pack(payload); ok {
			payload, flags = packed, codec.FlagGzip
		}
	}
	if len(payload) > maxOut { // the sender's mistake, before it looks like a full queue
		return fmt.Errorf("%w: a payload of %d bytes", codec.ErrPacketTooLarge, len(payload))
	}
	c.mu.Lock()
	if r := c.res.Load(); r != nil {
		return c.enqueueKept(r, t, mid, route, payload, flags, m)
	}
	if c.skipsLocked(len(payload), &m) {
		c.mu.Unlock()
		return nil
	}
	if err := c.admitLocked(len(payload), &m); err != nil {
		return c.refuseUnlock(err)
	}
	before := c.waitingLocked()
	o := c.outLocked()
	var err error
	if m.droppable() {
		var b []byte
		if b, err = c.appendMessage(nil, t, mid, route, payload, flags); err == nil {
			c.replacedLocked(o.addLoose(b, &m))
		}
	} else {
		var b []byte
		b, err = c.appendMessage(o.begin(), t, mid, route, payload, flags)
		n := len(b) - len(o.own)
		o.end(b)
		if t == codec.Response && c.busyLocked() {
			o.overtake(n)
		}
	}
	list, hurry := c.listLocked(m.when, before)
	c.mu.Unlock()
	c.gate.hub.add(list, c)
	if hurry {
		c.gate.hub.hurry()
	}
	return err
}

// pushFrame queues a shared frame. The caller has to give the connection to the hub, with the
// urgency that it returns. made are the chains of the multicast that the frame belongs to; nil if
// there is none.
func (c *Conn) pushFrame(f *frame, made *extensions) (list urgency, err error) {
	c.mu.Lock()
	if f.gz != nil && c.wantsGzip {
		f = f.gz
	}
	if r := c.res.Load(); r != nil {
		return c.pushKept(r, f, made)
	}
	as := c.form()
	size := f.only.sizes.in(as)
	if c.skipsLocked(size, &f.manner) {
		c.mu.Unlock()
		return never, nil
	}
	if err := c.admitLocked(size, &f.manner); err != nil {
		return never, c.refuseUnlock(err)
	}
	before := c.waitingLocked()
	switch {
	case !c.queuedLocked():
		c.chain = &f.only
	case c.chain != nil && made != nil:
		c.chain = made.extend(c.chain, f)
		c.replacedLocked(c.chain.sizes.in(as) < before+size)
	case f.droppable():
		c.replacedLocked(c.outLocked().addLoose(f.in(as), &f.manner))
	default:
		c.outLocked().addShared(f.in(as))
	}
	list, hurry := c.listLocked(f.when, before)
	c.mu.Unlock()
	if hurry {
		c.gate.hub.hurry()
	}
	return list, nil
}

// form is how the connection writes packets.
func (c *Conn) form() form {
	switch {
	case !c.websocket:
		return formPackets
	case c.merges && c.deflates:
		return formDeflatedBatch
	case c.merges:
		return formBatch
	case c.deflates:
		return formDeflated
	}
	return formMessage
}

// appendMessage appends a data packet, in a WebSocket message of its own unless the client merges.
func (c *Conn) appendMessage(b []byte, t codec.Type, mid uint64, route string, payload []byte, flags codec.Flags) ([]byte, error) {
	if !c.websocket || c.merges {
		return codec.AppendData(b, t, mid, route, payload, flags, c.gate.cfg.Dictionary, maxOut)
	}
	// The header's length depends on the packet's: leave room by a guess and move the packet if it
	// was wrong.
	start := len(b)
	room := headerLen(len(payload) + len(route) + 8)
	var pad [10]byte
	b = append(b, pad[:room]...)
	b, err := codec.AppendData(b, t, mid, route, payload, flags, c.gate.cfg.Dictionary, maxOut)
	if err != nil {
		return b[:start], err
	}
	n := len(b) - start - room
	head := headerLen(n)
	if head != room {
		b = append(b, pad[:]...) // room for a move to either side
		copy(b[start+head:], b[start+room:start+room+n])
		b = b[:start+head+n]
	}
	wsframe.AppendHeader(b[:start], wsframe.OpBinary, n)
	return b, nil
}

// admitLocked tells whether n more bytes may be queued, and makes room for them where it can.
// Answers find room behind a queue that is full of pushes.
func (c *Conn) admitLocked(n int, m *manner) error {
	if c.closing {
		return ErrBrokenPipe
	}
	queued := c.queuedBytesLocked()
	limit := c.gate.cfg.SendQueue
	if m.when == atFirst {
		limit += limit / answerShare
	}
	if limit > 0 && queued > 0 && queued+n > limit {
		queued -= c.makeRoomLocked(m)
		if queued > 0 && queued+n > limit {
			return ErrBufferExceed
		}
	}
	if queued+n >= weighFrom {
		c.weighLocked(queued + n)
	}
	return nil
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
	c.shutLocked(kickPacket("slow consumer"))
	c.mu.Unlock()
	c.gate.counters.SlowKicked.Add(1)
	c.gate.cfg.Log.Warn("session kicked: its send queue is full", "session", c.sess.ID(), "uid", c.sess.UID(), "remote", c.RemoteAddr(), "bytes", c.gate.cfg.SendQueue)
	c.gone()
	return err
}

// queuedLocked tells whether there is output.
func (c *Conn) queuedLocked() bool { return c.chain != nil || c.out != nil }

// outLocked returns the queue to add to.
func (c *Conn) outLocked() *outbuf {
	if c.out == nil {
		c.out = getOutbuf(c.merges)
		if c.chain != nil {
			for _, f := range c.chain.frames() {
				if f.droppable() {
					c.out.addLoose(f.in(c.form()), &f.manner)
				} else {
					c.out.addShared(f.in(c.form()))
				}
			}
			c.chain = nil
		}
	}
	return c.out
}

// listLocked notes that there is output, where there were before bytes of it. The caller gives the
// connection to the hub with the urgency list. hurry says that the queue has become long: then it
// does not wait, and the hub must hurry.
func (c *Conn) listLocked(when urgency, before int) (list urgency, hurry bool) {
	if c.writing || c.held && c.aheadLocked() == nil {
		return never, false
	}
	hurry = before < hurryAt && c.waitingLocked() >= hurryAt
	switch {
	case when == atFirst:
		if !c.first {
			c.first, list = true, atFirst
		}
	case c.first || c.listed:
	case when == delayed && c.gate.hub.delay > 0 && !hurry:
		if now := c.gate.hub.round.Load(); c.round != now {
			c.round, list = now, delayed
		}
	default:
		c.listed, list = true, soon
	}
	return list, hurry
}
