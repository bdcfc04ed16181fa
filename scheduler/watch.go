package scheduler

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	restInterval = 100 * time.Millisecond // between ticks, as long as no batch stalls
	alertTime    = time.Second            // how long the last batch that did is remembered
)

// watch looks at a running loop from outside, to tell of calls and batches that
// take long. It ticks while the loop is at work and sleeps after a tick that
// saw no work, so that a busy loop does not rouse it for each batch and an
// idle one costs nothing. It has no goroutine between ticks.
//
// A tick wakes a process that may have nothing else to do, so ticks are as close
// as stall asks for only after one has seen a batch that ran for so long: a loop
// that often does is seen soon.
type watch struct {
	s        *Scheduler
	slow     time.Duration
	stall    time.Duration
	interval time.Duration // between ticks that must not miss a stall
	rest     time.Duration // between others
	timer    *time.Timer
	awake    atomic.Bool  // a tick will come; who sets it resets timer
	alert    atomic.Int64 // until when the interval is kept

	mu       sync.Mutex // held by a tick
	stopped  bool
	state    uint64        // what the last tick saw
	since    time.Duration // since when
	reported bool          // as slow
	stalled  time.Duration // when onStall was called last
}

// newWatch makes the watch of one run; nil if there is nothing to watch for.
func newWatch(s *Scheduler) *watch {
	w := &watch{s: s, slow: s.cfg.slow, stall: s.cfg.stall, interval: math.MaxInt64, stalled: math.MinInt64}
	if w.slow == 0 && w.stall == 0 {
		return nil
	}
	if w.slow > 0 {
		w.interval = max(w.slow/4, precision)
	}
	w.rest = w.interval
	if w.stall > 0 {
		w.rest = min(w.interval, max(restInterval, w.stall))
		w.interval = min(w.interval, w.stall)
	}
	w.alert.Store(math.MinInt64)
	w.timer = time.AfterFunc(math.MaxInt64, w.tick)
	w.timer.Stop()
	return w
}

// rouse is called by the loop when it begins to work, after it has said so in
// its state: either the loop sees that the watch sleeps, or the watch sees that
// the loop works.
func (w *watch) rouse() {
	if w != nil && !w.awake.Load() {
		w.begin()
	}
}

func (w *watch) begin() {
	if w.awake.CompareAndSwap(false, true) {
		w.timer.Reset(w.pace(now()))
	}
}

// pace is the time to the next tick.
func (w *watch) pace(at time.Duration) time.Duration {
	if int64(at) < w.alert.Load() {
		return w.interval
	}
	return w.rest
}

// stop ends the ticks and waits for one that is under way.
func (w *watch) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.stopped = true
	w.timer.Stop()
	w.mu.Unlock()
}

func (w *watch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	s := w.s
	state := s.loop.state.Load()
	started := time.Duration(s.loop.started.Load()) // of this batch or a later one
	at := now()
	p, _ := unmark(state)
	changed := state != w.state
	if changed {
		w.state, w.since, w.reported = state, at, false
	}
	if p == phaseIdle {
		if !changed {
			w.sleep(state)
			return
		}
		w.timer.Reset(w.pace(at))
		return
	}

	next := w.pace(at)
	defer func() { w.timer.Reset(next) }()
	if w.stall > 0 && p != phaseAfter {
		age := at - max(started, w.stalled)
		if age >= w.stall {
			w.stalled, age = at, 0
			w.alert.Store(int64(at + alertTime))
			w.call(s.cfg.onStall)
		}
		next = min(next, max(w.stall-age, w.stall/4))
	}
	if w.slow > 0 && !w.reported {
		if age := at - w.since; age >= w.slow {
			w.reported = true
			w.report(state, age)
		} else {
			next = min(next, max(w.slow-age, precision))
		}
	}
}

// sleep ends the ticks until the loop works again; see rouse.
func (w *watch) sleep(state uint64) {
	w.awake.Store(false)
	if w.s.loop.state.Load() != state {
		w.begin()
	}
}

func (w *watch) report(state uint64, age time.Duration) {
	s := w.s
	stack := s.loop.stack()
	s.mu.Lock()
	if s.loop.state.Load() != state {
		s.mu.Unlock()
		return // it has just ended; what is on the stack is another call
	}
	p, index := unmark(state)
	r := Slow{Scheduler: s.cfg.name, Name: s.loop.callLocked(p, index), For: age, Stack: stack}
	s.mu.Unlock()
	w.call(func() { s.cfg.onSlow(r) })
}

// call calls a function of the user's, on the tick's goroutine.
func (w *watch) call(fn func()) {
	ok := false
	defer func() {
		if !ok {
			w.s.loop.failed("watch", recover())
		}
	}()
	fn()
	ok = true
}
