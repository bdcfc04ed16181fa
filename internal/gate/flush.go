package gate

import (
	"errors"
	"os"
	"time"

	"github.com/lonng/nano/session"
)

// Flush writes as much of the queue as it can without waiting. The hub calls it.
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
			go c.drain(nil)
			return
		}
		o := c.takeLocked()
		c.mu.Unlock()
		if c.deflates {
			c.gate.zip.deflate(o)
		}
		size, count := o.size, o.count
		stuck, err := c.writeNow(o)
		if stuck {
			c.mu.Lock()
			c.stuck = true
			c.mu.Unlock()
			go c.drain(o)
			return
		}
		o.release()
		if err != nil {
			c.writeFailed(err)
			return
		}
		c.gate.written(size, count)
		c.mu.Lock()
		c.writing, c.inFlight = false, 0
		c.weighLocked(c.queuedBytesLocked())
		if c.wasCut {
			c.mu.Unlock()
			c.removeIfDone()
			return
		}
	}
}

// writableLocked tells whether there is output that may go now.
func (c *Conn) writableLocked() bool { return c.aheadLocked() != nil || !c.held && c.queuedLocked() }

// takeLocked takes what may go now to write it: the queue, or what goes ahead of it.
func (c *Conn) takeLocked() *outbuf {
	var o *outbuf
	switch as := c.form(); {
	case c.aheadLocked() != nil:
		o = getOutbuf(false)
		o.addFrame(c.transit.ahead)
		c.transit.ahead = nil
	case c.chain != nil && c.chain.shared.Load() && c.chain.sizes.in(as) <= chainMax:
		o = getOutbuf(false) // the bytes are a whole message where the client takes one
		o.addFrame(c.chain.bytes(as))
		o.count, o.packed = c.chain.count, true
		c.chain = nil
	default:
		o = c.outLocked()
		c.out = nil
	}
	c.inFlight = o.size
	o.finish()
	return o
}

// writeNow writes as much as it can without waiting; stuck says that there is more.
func (c *Conn) writeNow(o *outbuf) (stuck bool, err error) {
	for !o.empty() {
		n, err := c.sock.WriteSome(o.segs[o.next:])
		if err != nil {
			return false, err
		}
		if n == 0 {
			return true, nil
		}
		o.skip(n)
	}
	return false, nil
}

// drain writes for a client that does not keep up, or whose connection has no descriptor: in a
// goroutine that lives until the queue is empty. It has the writing flag; o is the rest of a write
// that was begun.
func (c *Conn) drain(o *outbuf) {
	until := time.Now().Add(c.gate.cfg.WriteTimeout)
	for {
		if o == nil {
			c.mu.Lock()
			c.inFlight = 0
			c.weighLocked(c.queuedBytesLocked())
			if !c.writableLocked() || c.wasCut {
				c.writing, c.stuck, c.inFlight = false, false, 0
				closing := c.closing
				c.mu.Unlock()
				if closing {
					c.endOutput()
				}
				c.removeIfDone()
				return
			}
			o = c.takeLocked()
			c.mu.Unlock()
			if c.deflates {
				c.gate.zip.deflate(o)
			}
		}
		size, count := o.size, o.count
		err := c.writeAll(o, &until)
		o.release()
		o = nil
		if err != nil {
			c.writeFailed(err)
			return
		}
		c.gate.written(size, count)
	}
}

// writeAll blocks until everything is written, or the client is too slow: until is moved on by the
// time that what it takes may last at the floor rate, and is never later than the write timeout
// from now.
func (c *Conn) writeAll(o *outbuf, until *time.Time) error {
	for !o.empty() {
		unit := o.segs[o.next]
		unit = unit[:min(len(unit), writeUnit)]
		n, err := c.sock.WriteUntil(unit, *until)
		o.skip(n)
		now := time.Now()
		*until = until.Add(time.Duration(n) * time.Second / c.slowest())
		if most := now.Add(c.gate.cfg.WriteTimeout); until.After(most) {
			*until = most
		}
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && (!late || n == 0 || !now.Before(*until)) { // else some of it was taken
			return err
		}
	}
	return nil
}

// slowest is how many bytes a second the client has to take now.
func (c *Conn) slowest() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queuedBytesLocked() > patienceTo {
		return floorRate
	}
	return patientRate
}

// writeFailed ends a connection that cannot be written to.
func (c *Conn) writeFailed(err error) {
	c.gate.cfg.Log.Debug("connection ended: write failed", "session", c.owner().sess.ID(), "remote", c.peer(), "err", err)
	c.mu.Lock()
	c.writing, c.inFlight, c.abort = false, 0, true // the kernel is not to go on with the rest
	c.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.because(session.CloseSlow, "nothing was taken within the write timeout")
	} else {
		c.because(session.CloseNetwork, err.Error())
	}
	c.cut()
	c.removeIfDone()
}
