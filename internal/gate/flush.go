package gate

import (
	"errors"
	"os"
	"time"
)

const writeUnit = 64 << 10 // what one call writes for a client that does not keep up

// writeNow writes as much as it can without waiting; stuck says that there is more.
func (q *output) writeNow(o *outbuf) (stuck bool, err error) {
	for !o.empty() {
		n, err := q.sock.WriteSome(o.segs[o.next:])
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

// slowWriter writes for a client that does not keep up, or whose connection has no descriptor. It
// has the writing flag, and a goroutine until the queue is empty.
type slowWriter struct {
	conn  *Conn
	rest  *outbuf   // of a write that was begun; nil: of none
	until time.Time // when the client is too slow; see write
}

// run writes until the queue is empty.
func (w *slowWriter) run() {
	c := w.conn
	w.until = time.Now().Add(c.gate.cfg.WriteTimeout)
	for {
		o := w.rest
		w.rest = nil
		if o == nil {
			if o = w.next(); o == nil {
				return
			}
		}
		size, count := o.size, o.count
		err := w.write(o)
		o.release()
		if err != nil {
			c.writeFailed(err)
			return
		}
		c.gate.counters.written(size, count)
	}
}

// next takes what is to be written next. If that is nothing, the writing has ended.
func (w *slowWriter) next() *outbuf {
	c := w.conn
	c.mu.Lock()
	c.inFlight = weight{}
	c.weighLocked()
	if !c.writableLocked() || c.wasCut {
		c.writing, c.stuck = false, false
		closing := c.closing
		c.mu.Unlock()
		if closing {
			c.endOutput()
		}
		c.gate.remove(c)
		return nil
	}
	o := c.takeLocked()
	c.mu.Unlock()
	c.ready(o)
	return o
}

// write blocks until everything is written, or the client is too slow: until is moved on by the
// time that what it takes may last at the floor rate, and is never later than the write timeout
// from now.
func (w *slowWriter) write(o *outbuf) error {
	for !o.empty() {
		unit := o.segs[o.next]
		unit = unit[:min(len(unit), writeUnit)]
		n, err := w.conn.sock.WriteUntil(unit, w.until)
		o.skip(n)
		now := time.Now()
		w.until = w.until.Add(time.Duration(n) * time.Second / w.slowest())
		if most := now.Add(w.conn.gate.cfg.WriteTimeout); w.until.After(most) {
			w.until = most
		}
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && (!late || n == 0 || !now.Before(w.until)) { // else some of it was taken
			return err
		}
	}
	return nil
}

// slowest is how many bytes a second the client has to take now.
func (w *slowWriter) slowest() time.Duration {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	if w.conn.queuedBytesLocked() > patienceTo {
		return floorRate
	}
	return patientRate
}
