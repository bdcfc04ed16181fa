package scheduler

import (
	"math"
	"sync"
	"time"
)

// precision is the shortest interval of a timer.
const precision = time.Millisecond

// forever is the count of a timer without one.
const forever = -1

// TimerFunc is a function that a timer calls on its scheduler.
type TimerFunc func()

// TimerCondition decides when a timer of [Scheduler.NewCondTimer] fires.
type TimerCondition interface {
	// Check is called on the scheduler, with the time of the check.
	Check(now time.Time) bool
}

// Timer calls a function on its scheduler, once or repeatedly. Its methods may be called from any
// goroutine.
type Timer struct {
	id    int64
	sched *Scheduler // nil: was never valid
	fn    TimerFunc
	cond  TimerCondition

	// Guarded by sched.timers.mu.
	interval time.Duration
	deadline time.Duration // on the clock of now
	left     int           // calls that are left, or forever
	index    int           // place in the heap
}

// ID returns a number that no other timer of this process has.
func (t *Timer) ID() int64 { return t.id }

// Stop ends the timer. After a Stop on the scheduler, also by the timer's own function, the
// function is not called again. After a Stop from elsewhere, a call that has begun may still be
// running. Stopping a stopped timer has no effect.
func (t *Timer) Stop() {
	if t == nil || t.sched == nil {
		return
	}
	ts := &t.sched.timers
	ts.mu.Lock()
	if t.index != notQueued {
		ts.heap.remove(t.index)
	}
	ts.mu.Unlock()
}

// NewTimer makes a timer that calls fn every interval until it is stopped, the first time one
// interval from now. The precision is 1 ms, which is also the shortest interval. A scheduler that
// is late does not make up for missed calls: it calls fn once, and then at the next multiple of
// the interval. A nil fn, or an interval that is not positive, is logged as an error and makes a
// stopped timer. A timer made on a closed scheduler is stopped, too.
func (s *Scheduler) NewTimer(interval time.Duration, fn TimerFunc) *Timer {
	return s.newTimer("NewTimer", interval, forever, nil, fn)
}

// NewCountTimer is [Scheduler.NewTimer] for count calls, after which the timer stops. A count of
// -1 means no end, as in v0.5; any other count that is not positive is an error as in NewTimer.
func (s *Scheduler) NewCountTimer(interval time.Duration, count int, fn TimerFunc) *Timer {
	if count <= 0 && count != forever {
		return s.badTimer("NewCountTimer", "the count is not positive")
	}
	return s.newTimer("NewCountTimer", interval, count, nil, fn)
}

// NewAfterTimer makes a timer that calls fn once, after duration. For errors see
// [Scheduler.NewTimer].
func (s *Scheduler) NewAfterTimer(duration time.Duration, fn TimerFunc) *Timer {
	return s.newTimer("NewAfterTimer", duration, 1, nil, fn)
}

// NewCondTimer makes a timer that checks condition at regular times ([WithPrecision], 1 s by
// default) and calls fn each time it is true, until the timer is stopped. For errors see
// [Scheduler.NewTimer].
func (s *Scheduler) NewCondTimer(condition TimerCondition, fn TimerFunc) *Timer {
	if condition == nil {
		return s.badTimer("NewCondTimer", "there is no condition")
	}
	s.mu.Lock()
	every := s.cfg.precision
	s.mu.Unlock()
	return s.newTimer("NewCondTimer", every, forever, condition, fn)
}

func (s *Scheduler) newTimer(maker string, interval time.Duration, count int, cond TimerCondition, fn TimerFunc) *Timer {
	if fn == nil {
		return s.badTimer(maker, "there is no function")
	}
	if interval <= 0 {
		return s.badTimer(maker, "the interval is not positive")
	}
	t := &Timer{
		id:       nextTimerID(),
		sched:    s,
		fn:       fn,
		cond:     cond,
		interval: max(interval, precision),
		left:     count,
		index:    notQueued,
	}
	s.timers.add(t)
	return t
}

// badTimer returns a stopped timer in place of one with unusable arguments.
func (s *Scheduler) badTimer(maker, why string) *Timer {
	s.log.Error("scheduler: unusable timer was made and never fires",
		"scheduler", s.Stats().Name, "maker", maker, "reason", why)
	return &Timer{id: nextTimerID(), index: notQueued}
}

// timers holds the timers of one scheduler. One runtime timer is armed for the
// earliest of them, and only while the loop is running.
type timers struct {
	mu       sync.Mutex
	heap     timerHeap
	closed   bool
	ring     func()        // what the runtime timer calls; nil: the loop is not running
	clock    *time.Timer   // nil: not made yet
	armed    time.Duration // when clock will ring; 0: it will not
	sweeping bool          // the loop is among the timers and arms the clock when done
}

func (ts *timers) add(t *Timer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return
	}
	t.deadline = later(now(), t.interval)
	ts.heap.push(t)
	ts.armLocked()
}

func (ts *timers) len() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.heap)
}

// run lets timers fire from now on. If there are any, the caller must see to a
// sweep, which arms the clock.
func (ts *timers) run(ring func()) (some bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.ring = ring
	return len(ts.heap) > 0
}

// close stops all timers and takes no new ones.
func (ts *timers) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.closed = true
	for _, t := range ts.heap {
		t.index = notQueued
	}
	ts.heap, ts.ring, ts.armed, ts.sweeping = nil, nil, 0, false
	if ts.clock != nil {
		ts.clock.Stop()
		ts.clock = nil
	}
}

func (ts *timers) open() {
	ts.mu.Lock()
	ts.closed = false
	ts.mu.Unlock()
}

// armLocked sees to it that the clock rings when the earliest timer is due. A
// clock that rings too early does no harm, so it is never set to later.
func (ts *timers) armLocked() {
	if len(ts.heap) == 0 || ts.ring == nil || ts.sweeping {
		return
	}
	first := ts.heap[0].deadline
	if ts.armed != 0 && ts.armed <= first {
		return
	}
	ts.armed = first
	wait := max(first-now(), 0)
	if ts.clock == nil {
		ts.clock = time.AfterFunc(wait, ts.ring)
	} else {
		ts.clock.Reset(wait)
	}
}

// sweep begins a sweep: the clock is armed when nextDue finds no more.
func (ts *timers) sweep() {
	ts.mu.Lock()
	ts.armed, ts.sweeping = 0, true
	ts.mu.Unlock()
}

// nextDue takes the earliest timer that is due at the given time and puts it
// back for its next turn, or returns nil when none is left.
func (ts *timers) nextDue(at time.Duration) *Timer {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.heap) == 0 || ts.heap[0].deadline > at {
		ts.sweeping = false
		ts.armLocked()
		return nil
	}
	t := ts.heap[0]
	if t.left != forever {
		if t.left--; t.left == 0 {
			ts.heap.remove(0)
			return t
		}
	}
	missed := (at - t.deadline) / t.interval
	t.deadline = later(t.deadline+missed*t.interval, t.interval)
	ts.heap.fix(0)
	return t
}

// later adds two times that may be as long as the type allows.
func later(at, d time.Duration) time.Duration {
	if at > math.MaxInt64-d {
		return math.MaxInt64
	}
	return at + d
}
