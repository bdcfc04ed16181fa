package gate

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/session"
)

const (
	ticksPerBeat = 16 // how finely the wheel divides a heartbeat interval
	slots        = 64 // more than the farthest event, which is the next heartbeat
)

// wheel gives every connection its heartbeats and notices those that have fallen silent, with one
// goroutine for all. It turns only while there are connections. A connection is told by beat to
// send a heartbeat, once an interval on its own phase, and by silent that nothing came for as many
// intervals as the gate allows.
type wheel struct {
	step    time.Duration
	allowed int64        // ticks that may pass without a sign of life
	now     atomic.Int64 // ticks; what connections note as the time of their last sign of life

	mu      sync.Mutex
	slots   [slots]*Conn // heads of doubly linked lists
	count   int
	spare   int64 // tick before which nobody is silent: the process stood still, and what clients sent lies unread
	turning bool
	stopped bool
	quit    chan struct{}
	done    sync.WaitGroup
}

// spoke is a connection's place on the wheel; wheel.mu guards it, but for seen.
type spoke struct {
	prev, next *Conn
	slot       int8
	phase      int8 // its heartbeats are at the ticks that leave this rest when divided by ticksPerBeat
	on         bool

	seen atomic.Uint32 // low bits of the tick of the last sign of life
}

// see notes a sign of life at a tick.
func (s *spoke) see(tick int64) { s.seen.Store(uint32(tick)) }

// lastSeen returns the tick of the last sign of life.
func (s *spoke) lastSeen(now int64) int64 { return now - int64(uint32(now)-s.seen.Load()) }

// nextBeat returns the tick of the next heartbeat.
func (s *spoke) nextBeat(now int64) int64 {
	return now + ticksPerBeat - (now-int64(s.phase))%ticksPerBeat
}

// newWheel makes a wheel that sends heartbeats once an interval and allows missed of those
// intervals that clients are told.
func newWheel(interval time.Duration, missed int) *wheel {
	step := max(interval/ticksPerBeat, time.Millisecond)
	told := time.Duration(toldSeconds(interval)) * time.Second
	perBeat := (told + step - 1) / step
	return &wheel{
		step:    step,
		allowed: int64(min(missed, 1<<31-1)) * int64(perBeat),
		quit:    make(chan struct{}),
	}
}

// toldSeconds is the interval that clients are told: whole seconds, rounded up. Clients in use fail
// on 0 and on fractions, and answer a heartbeat that many seconds after it came.
func toldSeconds(interval time.Duration) int64 {
	return max(1, int64(math.Ceil(interval.Seconds())))
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
		go w.run()
	}
	now := w.now.Load()
	c.spoke.on = true
	c.spoke.phase = int8(now % ticksPerBeat)
	c.spoke.see(now)
	w.linkLocked(c, c.spoke.nextBeat(now))
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

// run is the wheel's goroutine.
func (w *wheel) run() {
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
			// A ticker drops ticks that nobody took. The wheel makes them up, so that its time is
			// the clock's, but no more than one interval. After half an interval without a tick the
			// process has stood still: nobody is silent then until the readers have had an interval
			// to catch up.
			n := int(at.Sub(last) / w.step)
			last = last.Add(time.Duration(n) * w.step)
			w.mu.Lock()
			if n > ticksPerBeat/2 {
				w.spare = w.now.Load() + int64(min(n, ticksPerBeat)) + ticksPerBeat
			}
			for range min(n, ticksPerBeat) {
				beats, silent = w.tickLocked(beats, silent)
			}
			idle := w.count == 0
			if idle {
				w.turning = false
			}
			w.mu.Unlock()
			for _, c := range silent {
				w.silent(c)
			}
			var same sameBeats
			for _, c := range beats {
				w.heartbeat(c, &same)
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
		gone := max(c.spoke.lastSeen(now)+w.allowed+1, w.spare)
		if c.busy.Load() { // its reader waits for a scheduler: what the client sent may lie unread
			c.spoke.see(now)
			gone = now + w.allowed + 1
		}
		if now >= gone {
			c.spoke.on = false
			c.spoke.prev, c.spoke.next = nil, nil
			w.count--
			silent = append(silent, c)
			c = next
			continue
		}
		if now%ticksPerBeat == int64(c.spoke.phase) {
			beats = append(beats, c)
		}
		w.linkLocked(c, min(c.spoke.nextBeat(now), gone))
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

// heartbeatFrame is the same for everybody.
var heartbeatFrame = newFrame(codec.AppendPacket(nil, codec.Heartbeat, nil), manner{when: soon})

// sameBeats are what the heartbeats of one tick share.
type sameBeats struct {
	made   extensions
	counts map[uint64]*frame // of sessions that can be resumed, by what they say; made on demand
}

func (b *sameBeats) count(n uint64) *frame {
	if b.counts == nil {
		b.counts = make(map[uint64]*frame)
	}
	f := b.counts[n]
	if f == nil {
		f = countFrame(n)
		b.counts[n] = f
	}
	return f
}

// heartbeat sends a client its heartbeat.
func (w *wheel) heartbeat(c *Conn, same *sameBeats) {
	if r := c.res.Load(); r != nil {
		c.control(same.count(r.Received()), &same.made)
		return
	}
	list, _ := c.pushFrame(heartbeatFrame, &same.made) // an error says that the connection ends
	c.gate.flushes.add(list, c)
}

// silent ends a connection on which nothing came for as many heartbeats as are allowed.
func (w *wheel) silent(c *Conn) {
	c.gate.counters.Silent.Add(1)
	c.gate.cfg.Log.Debug("connection ended: no sign of life", "heartbeats", c.gate.cfg.MissedBeats, "session", c.owner().sess.ID(), "remote", c.peer())
	c.because(session.CloseSilent, "")
	c.cut()
}
