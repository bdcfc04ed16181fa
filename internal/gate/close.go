package gate

import (
	"encoding/json"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// linger is how long a connection whose output is complete waits for the client to close its side:
// a socket closed with input unread is reset, and a reset may overtake what the client has not
// read.
const linger = time.Second

// Close ends the session: it flushes what is queued within the flush timeout, and then closes the
// connection.
func (c *Conn) Close() error { return c.shut(nil, session.CloseReason{Kind: session.CloseByServer}) }

// Kick sends the client the reason and ends the session as Close does.
func (c *Conn) Kick(reason string) error { return c.kick(session.CloseKicked, reason) }

func (c *Conn) kick(kind session.CloseKind, reason string) error {
	if err := c.shut(kickPacket(reason), session.CloseReason{Kind: kind, Reason: reason}); err != nil {
		return err
	}
	c.gate.counters.Kicked.Add(1)
	return nil
}

func kickPacket(reason string) []byte {
	body, _ := json.Marshal(struct {
		Reason string `json:"reason"`
	}{reason})
	return codec.AppendPacket(nil, codec.Kick, body)
}

// because notes why the session ends, if that has no reason yet.
func (c *Conn) because(kind session.CloseKind, reason string) {
	if c.outlives() { // it goes on without this connection
		return
	}
	c.sess.SetCloseReason(session.CloseReason{Kind: kind, Reason: reason})
}

// shut begins the end, once, unless it has begun for another reason.
func (c *Conn) shut(last []byte, why session.CloseReason) error {
	c.mu.Lock()
	if r := c.res.Load(); r != nil {
		if r.front != c {
			c.mu.Unlock()
			r.front.mu.Lock()
		}
		return r.front.shutKept(r, last, why)
	}
	if c.closing {
		c.mu.Unlock()
		return ErrCloseClosedSession
	}
	c.sess.SetCloseReason(why)
	c.shutLocked(last)
	c.mu.Unlock()
	c.gone()
	return nil
}

// shutLocked queues the last packet, nil for none, and closes the queue. gone must follow, without
// the lock.
func (c *Conn) shutLocked(last []byte) {
	c.closing = true
	c.transitLocked().closedAt = time.Now()
	if c.held { // nothing may go before the handshake's answer, and there will be none
		c.dropLocked()
		c.held = false
	} else if last != nil {
		if c.websocket {
			f := newFrame(last, manner{when: atFirst})
			last = f.wire
			if c.merges {
				last = f.packet()
			}
		}
		o := c.outLocked()
		if c.busyLocked() { // the kick is not to wait for what may be dropped
			c.skippedLocked(o.dropClass(session.DeliverLatest) + o.dropClass(session.DeliverUnlessBusy))
		}
		o.addShared(last)
	}
	if c.websocket {
		code := c.transitLocked().closeCode
		if code == 0 {
			code = wsframe.CloseNormal
		}
		c.outLocked().addTail(wsframe.AppendClose(nil, int(code), ""))
	}
	c.setTimerLocked(c.gate.cfg.FlushTimeout, c.cut)
}

// gone tells everybody that the session has ended, and sees that its output is flushed.
func (c *Conn) gone() {
	c.leave()
	c.owner().tellEnd()
	c.part()
}

// leave ends the service of what comes.
func (c *Conn) leave() {
	c.phase.Store(uint32(leaving))
	c.gate.wheel.remove(c)
}

// tellEnd tells everybody, once, that the session has ended.
func (c *Conn) tellEnd() {
	c.mu.Lock()
	again := c.ending
	c.ending = true
	c.mu.Unlock()
	if again {
		return
	}
	c.gate.counters.Closed.Add(1)
	c.gate.counters.ends.add(c.sess.CloseReason().Kind)
	c.gate.cfg.Closed(c.sess)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = true
	if c.transit != nil && c.transit.ended != nil {
		close(c.transit.ended)
	}
}

// part sees that what is queued is flushed, for a connection that no session needs any more.
func (c *Conn) part() {
	c.mu.Lock()
	c.parted = true
	list := never
	if !c.writing && !c.first {
		list, c.first = atFirst, true
	}
	c.mu.Unlock()
	c.gate.hub.add(list, c)
	c.removeIfDone()
}

// closeWith notes the code for the WebSocket close frame, if that is not queued yet.
func (c *Conn) closeWith(code int) {
	c.mu.Lock()
	c.transitLocked().closeCode = uint16(code)
	c.mu.Unlock()
}

// pong answers a WebSocket ping. Before the handshake's answer it goes ahead of what is queued; of
// several pings that are not answered yet the last one is.
func (c *Conn) pong(payload []byte) {
	f := wsframe.AppendFrame(nil, wsframe.OpPong, payload)
	c.mu.Lock()
	if c.admitLocked(len(f), &manner{when: atFirst}) != nil {
		c.mu.Unlock()
		return
	}
	switch {
	case c.held:
		c.transitLocked().ahead = f
	case c.merges:
		c.outLocked().addPre(f)
	default:
		c.outLocked().addFrame(f)
	}
	list, _ := c.listLocked(atFirst, 0)
	c.mu.Unlock()
	c.gate.hub.add(list, c)
}

// dropLocked forgets what is queued.
func (c *Conn) dropLocked() {
	c.chain = nil
	if c.transit != nil {
		c.transit.ahead = nil
	}
	if c.out != nil {
		c.out.release()
		c.out = nil
	}
}

// endOutput is called when everything is written and nothing will be added.
func (c *Conn) endOutput() {
	c.mu.Lock()
	if c.flushed || c.wasCut {
		c.mu.Unlock()
		return
	}
	c.flushed = true
	if c.readDone {
		c.mu.Unlock()
		c.cut()
		return
	}
	c.setTimerLocked(min(linger, c.gate.cfg.FlushTimeout), c.lingered)
	c.mu.Unlock()
	if err := c.sock.CloseWrite(); err != nil {
		c.cut()
	}
}

// readEnded is called when the reader has stopped; flush says that what is queued may still find a
// reader.
func (c *Conn) readEnded(flush bool) {
	c.mu.Lock()
	c.readDone = true
	cut := !flush || c.flushed
	c.mu.Unlock()
	if flush {
		_ = c.shut(nil, session.CloseReason{Kind: session.CloseByClient}) // if it is closing already, the flush goes on
	}
	if cut {
		c.cut()
	}
	c.removeIfDone()
}

// cut closes the socket, whatever is queued.
func (c *Conn) cut() {
	c.mu.Lock()
	if c.wasCut {
		c.mu.Unlock()
		return
	}
	c.wasCut = true
	first := !c.closing
	c.closing = true
	abort := c.abort || !c.flushed && (c.writing || c.queuedLocked()) // what is dropped here is not to stay in the kernel
	c.dropLocked()
	c.weighLocked(0)
	c.setTimerLocked(0, nil)
	c.mu.Unlock()
	if abort {
		c.sock.Discard()
	}
	_ = c.sock.Close()
	switch {
	case !first:
	case c.lost():
		c.leave()
		c.part()
	default:
		c.gone()
	}
	c.removeIfDone()
}

// removeIfDone forgets the connection when its reader has stopped, nobody writes, its socket is
// closed and no session needs it.
func (c *Conn) removeIfDone() {
	c.mu.Lock()
	done := c.readDone && c.wasCut && c.parted && !c.writing && !c.removed
	if done {
		c.removed = true
	}
	c.mu.Unlock()
	if done {
		c.gate.remove(c)
	}
}
