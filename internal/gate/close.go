package gate

import (
	"encoding/json"
	"time"

	"github.com/lonng/nano/codec"
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
		return r.shut(last, why)
	}
	if c.closing {
		c.mu.Unlock()
		return ErrCloseClosedSession
	}
	c.sess.SetCloseReason(why)
	c.shutLocked(last, c.cut)
	c.mu.Unlock()
	c.depart(c.owner())
	return nil
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
	c.weighLocked()
	c.setTimerLocked(0, nil)
	c.mu.Unlock()
	if abort {
		c.sock.Discard()
	}
	_ = c.sock.Close()
	switch {
	case !first:
	case c.res.Load().lost(c):
		c.depart(nil)
	default:
		c.depart(c.owner())
	}
	c.gate.remove(c)
}

// depart ends the service of what comes, tells the end of a session, nil for none, and sees that
// what is queued is flushed: no session needs the connection any more.
func (c *Conn) depart(of *Conn) {
	c.phase.Store(uint32(leaving))
	c.gate.wheel.remove(c)
	if of != nil {
		of.tellEnd()
	}
	c.mu.Lock()
	c.parted = true
	list := never
	if !c.writing && !c.first {
		list, c.first = atFirst, true
	}
	c.mu.Unlock()
	c.gate.flushes.add(list, c)
	c.gate.remove(c)
}

// lingered is called when a client has had its time to close after the last output. What the kernel
// has not sent yet may have the rest of the flush timeout; then it is dropped.
func (c *Conn) lingered() {
	c.mu.Lock()
	left := c.gate.cfg.FlushTimeout - time.Since(c.transitLocked().closedAt)
	c.mu.Unlock()
	if c.sock.Unsent() == 0 {
		c.cut()
		return
	}
	if left > 0 {
		c.mu.Lock()
		c.setTimerLocked(left, c.lingered)
		c.mu.Unlock()
		return
	}
	c.mu.Lock()
	c.abort = true
	c.mu.Unlock()
	c.cut()
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
