package gate

import "time"

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
	until time.Time // when the client is too slow; conn.mu guards it once a write has begun
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

// write blocks until everything is written, or the client is too slow.
func (w *slowWriter) write(o *outbuf) error {
	for !o.empty() {
		n, err := w.conn.sock.WriteUntil(o.segs[o.next], w)
		o.skip(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// Until returns when the client is too slow, now that it has taken n more bytes: later by the time
// that those may last at the floor rate, and never later than the write timeout from now.
func (w *slowWriter) Until(n int) time.Time {
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	rate := time.Duration(patientRate)
	if c.queuedBytesLocked() > patienceTo {
		rate = floorRate
	}
	w.until = w.until.Add(time.Duration(n) * time.Second / rate)
	if most := time.Now().Add(c.gate.cfg.WriteTimeout); w.until.After(most) {
		w.until = most
	}
	return w.until
}
