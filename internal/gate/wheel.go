package gate

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	ticksPerBeat = 16 // how finely the wheel divides a heartbeat interval
	slots        = 64 // more than the farthest event, two intervals and a tick ahead
)

// wheel gives every connection its heartbeats and notices those that have fallen silent, with one goroutine
// for all. It turns only while there are connections. A connection is told by beat to send a heartbeat, once
// an interval on its own phase, and by silent that nothing came for two intervals.
type wheel struct {
	step time.Duration
	now  atomic.Int64 // ticks; what connections note as the time of their last sign of life

	mu      sync.Mutex
	slots   [slots]*Conn // heads of doubly linked lists
	count   int
	turning bool
	stopped bool
	quit    chan struct{}
	done    sync.WaitGroup
}

// spoke is a connection's place on the wheel; wheel.mu guards it, but for seen.
type spoke struct {
	prev, next *Conn
	slot       int8
	on         bool
	beat       int64 // tick of the next heartbeat

	seen atomic.Int64 // tick of the last sign of life
}

func newWheel(interval time.Duration) *wheel {
	return &wheel{step: max(interval/ticksPerBeat, time.Millisecond), quit: make(chan struct{})}
}

// add puts c on the wheel: its first heartbeat comes after one interval.
func (w *wheel) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || c.spoke.on {
		return
	}
	if !w.turning {
		w.turning = true
		w.done.Add(1)
		go w.turn()
	}
	now := w.now.Load()
	c.spoke.on = true
	c.spoke.beat = now + ticksPerBeat
	c.spoke.seen.Store(now)
	w.linkLocked(c, c.spoke.beat)
	w.count++
}

// remove takes c off the wheel.
func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.spoke.on {
		return
	}
	w.unlinkLocked(c)
	c.spoke.on = false
	w.count--
}

func (w *wheel) linkLocked(c *Conn, at int64) {
	i := int8(at % slots)
	c.spoke.slot, c.spoke.prev, c.spoke.next = i, nil, w.slots[i]
	if c.spoke.next != nil {
		c.spoke.next.spoke.prev = c
	}
	w.slots[i] = c
}

func (w *wheel) unlinkLocked(c *Conn) {
	s := &c.spoke
	if s.prev == nil {
		w.slots[s.slot] = s.next
	} else {
		s.prev.spoke.next = s.next
	}
	if s.next != nil {
		s.next.spoke.prev = s.prev
	}
	s.prev, s.next = nil, nil
}

// turn is the wheel's goroutine.
func (w *wheel) turn() {
	defer w.done.Done()
	t := time.NewTicker(w.step)
	defer t.Stop()
	last := time.Now()
	var beats, silent []*Conn
	for {
		select {
		case <-w.quit:
			return
		case at := <-t.C:
			// A ticker drops ticks that nobody took; the wheel makes them up, so that its time is the clock's. But no
			// more than one interval: if the whole process stood still, what clients sent lies unread.
			n := int(at.Sub(last) / w.step)
			last = last.Add(time.Duration(n) * w.step)
			w.mu.Lock()
			for range min(n, ticksPerBeat) {
				beats, silent = w.tickLocked(beats, silent)
			}
			idle := w.count == 0
			if idle {
				w.turning = false
			}
			w.mu.Unlock()
			for _, c := range silent {
				c.silent()
			}
			for _, c := range beats {
				c.heartbeat()
			}
			clear(beats)
			clear(silent)
			beats, silent = beats[:0], silent[:0]
			if idle {
				return
			}
		}
	}
}

// tickLocked goes on by one tick and collects what is due.
func (w *wheel) tickLocked(beats, silent []*Conn) (b, s []*Conn) {
	now := w.now.Add(1)
	c := w.slots[now%slots]
	w.slots[now%slots] = nil
	for c != nil {
		next := c.spoke.next
		gone := c.spoke.seen.Load() + 2*ticksPerBeat + 1
		if c.busy.Load() { // its reader waits for a scheduler: what the client sent may lie unread
			c.spoke.seen.Store(now)
			gone = now + 2*ticksPerBeat + 1
		}
		if now >= gone {
			c.spoke.on = false
			c.spoke.prev, c.spoke.next = nil, nil
			w.count--
			silent = append(silent, c)
			c = next
			continue
		}
		if now >= c.spoke.beat {
			c.spoke.beat += ticksPerBeat
			beats = append(beats, c)
		}
		w.linkLocked(c, min(c.spoke.beat, gone))
		c = next
	}
	return beats, silent
}

// stop ends the wheel's goroutine.
func (w *wheel) stop() {
	w.mu.Lock()
	if !w.stopped {
		w.stopped = true
		close(w.quit)
	}
	w.mu.Unlock()
	w.done.Wait()
}
