package scheduler

import (
	"context"
	"errors"
	"math/bits"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"time"
)

// stage is how far a batch is. It is moved on before foreign code is called,
// so that a loop which lost its goroutine there goes on behind that call.
type stage uint8

const (
	stageDone stage = iota
	stageBegin
	stageJobs
	stageEnd
	stageIdle
)

// phase is what the loop is doing right now, for those who look at it.
type phase uint8

const (
	phaseIdle phase = iota // nothing of others
	phaseJob
	phaseTimer
	phaseBegin
	phaseEnd
	phaseAfter // the idle hook
	phaseAwait // nothing yet: a call is giving its turn to a new loop

	phaseBits = 3
	phaseMask = 1<<phaseBits - 1
)

var errGoexit = errors.New("scheduler: the call ended its goroutine with runtime.Goexit")

// loop runs what waits for a scheduler, batch by batch, and is where all is kept about the call
// that runs. A goroutine has the turn: it runs the loop, until a call in Await gives the turn to a
// new one. All state is here, so any of them can go on.
type loop struct {
	s *Scheduler

	// Scheduler.mu guards these, which others read.
	wait     time.Duration // how long the first of the last batch had waited
	busy     time.Duration // time in batches, without the one since began
	began    time.Duration // when the loop began to work without a pause
	working  bool          // it does
	size     int           // len(batch)
	executed uint64        // jobs of the batches before this one
	awaiting int           // calls in Await whose wait has not ended
	// names are those of the batch's jobs. The slice changes under mu; names[i] is written before
	// state tells of i, and read under mu after it.
	names []string

	due     atomic.Bool   // a timer is due, or a call is to be resumed
	panics  atomic.Uint64 // calls that panicked
	state   atomic.Uint64 // what the loop is doing, see mark
	started atomic.Int64  // now() when the batch began
	id      atomic.Uint64 // of the goroutine that has the turn

	// What stands here belongs to the goroutine that has the turn.
	batch []Job
	runs  []laneRun // the lanes of the batch's jobs
	pos   int       // next of batch to run
	named int       // how many of batch have given their name
	stage stage     // how far the batch is
	lost  bool      // a timer is ending the goroutine, and has been reported
	seq   uint32    // counts calls, so that two in a row differ
	// readAt is the last reading of the clock, and the moment at which job readFor of the batch
	// begins; see Scheduler.JobBegan.
	readAt  time.Duration
	readFor int
	// resumed is the lane of the call that has come back from Await and runs as job resumedAt of
	// the batch.
	resumed   *Lane
	resumedAt int
	// heir is the call that is to be resumed: this goroutine returns up to run, which hands over
	// the turn.
	heir *awaiter

	watch   *watch          // one a run
	profile context.Context // the goroutine's profiler labels; one a run
	more    func() bool     // given to the idle hook; constant
}

// mark publishes what the loop is about to do: a phase, and how many jobs of the
// batch are done. Two calls in a row never give the same word.
func (l *loop) mark(p phase, index int) {
	l.seq++
	l.state.Store(uint64(l.seq)<<32 | uint64(uint32(index)<<phaseBits) | uint64(p))
}

func unmark(state uint64) (p phase, index int) {
	return phase(state & phaseMask), int(uint32(state) >> phaseBits)
}

// callLocked names the call of a state that was read under mu.
func (l *loop) callLocked(p phase, index int) string {
	switch p {
	case phaseJob:
		if index < len(l.names) {
			return l.names[index]
		}
		return "job"
	case phaseTimer:
		return "timer"
	case phaseBegin:
		return "batch begin"
	case phaseEnd:
		return "batch end"
	case phaseAfter:
		return "idle"
	case phaseAwait:
		return "await"
	}
	return ""
}

// run is the scheduler's goroutine. It returns at the end of the scheduler's run, or when
// a call that was in Await is the loop from now on.
func (l *loop) run() {
	over := false
	defer func() {
		if !over {
			// A call ended this goroutine (runtime.Goexit, as a failed test
			// does). That costs the call, not the scheduler.
			l.leaveTurn()
			go l.run()
		}
	}()
	l.takeTurn(goroutineID())
	pprof.SetGoroutineLabels(l.profile)

	l.work()
	for l.heir == nil && l.take() {
		l.work()
	}
	over = true
	pprof.SetGoroutineLabels(context.Background())
	if l.heir != nil {
		l.pass()
	} else {
		l.s.leave()
	}
}

// take takes the next batch: all that is queued, and what lanes give by turns; it is empty if only
// timers are due. It parks while there is nothing, and returns false at the end of the run, which
// comes after that of the last call in Await.
func (l *loop) take() bool {
	s, b := l.s, &l.s.backlog
	clear(l.runs)
	var oldest time.Duration
	s.mu.Lock()
	for {
		if l.runs, oldest = b.gather(l.runs[:0]); len(b.queue) > 0 {
			break
		}
		if s.life == lifeClosing && l.awaiting == 0 {
			l.restLocked(now())
			s.mu.Unlock()
			return false
		}
		if l.due.Load() {
			break
		}
		l.restLocked(now())
		s.parked = true
		b.pending.Store(false) // what lanes hold back does not count
		s.mu.Unlock()
		<-s.wake
		s.mu.Lock()
	}

	l.executed += uint64(len(l.batch))
	l.mark(phaseIdle, 0)
	t := now()
	l.batch = b.take(l.batch, t)
	l.size, l.pos, l.named = len(l.batch), 0, 0
	l.resumed, l.resumedAt = nil, 0
	if n := len(l.names); n < l.size || n > keep && l.size <= n/4 {
		l.names = make([]string, max(64, 1<<bits.Len(uint(l.size))))
	}
	l.started.Store(int64(t))
	l.readAt, l.readFor = t, 1
	l.restLocked(t)
	l.began, l.working = t, true
	if l.size > 0 {
		l.wait = t - oldest
	}
	s.mu.Unlock()
	l.stage = stageBegin
	return true
}

// restLocked counts the time since the loop began to work, until t.
func (l *loop) restLocked(t time.Duration) {
	if l.working {
		l.busy += t - l.began
		l.working = false
	}
}

// statsLocked adds the loop's figures at the time t.
func (l *loop) statsLocked(st *Stats, t time.Duration) {
	phase, index := unmark(l.state.Load())
	st.Queued += l.size - index
	if phase == phaseJob {
		st.Queued--
	}
	st.Wait = max(st.Wait, l.wait)
	st.Busy = l.busy
	if l.working {
		st.Busy += t - l.began
	}
	st.Executed = l.executed + uint64(index)
	st.Panics = l.panics.Load()
	st.Running = l.callLocked(phase, index)
	st.Awaiting = l.awaiting
	if phase != phaseIdle {
		st.Since = time.Now().Add(time.Duration(l.started.Load()) - t)
	}
}

// endLocked forgets the last batch, at the end of a run.
func (l *loop) endLocked() {
	l.due.Store(false)
	l.executed += uint64(len(l.batch))
	l.batch, l.runs, l.names, l.size, l.pos, l.readFor = nil, nil, nil, 0, 0, 0
	l.resumed, l.resumedAt = nil, 0
	l.mark(phaseIdle, 0)
	l.leaveTurn()
}

// work does what is left of a batch, or as much of it as there is before the
// turn goes to another goroutine.
func (l *loop) work() {
	for {
		switch l.stage {
		case stageBegin:
			l.stage = stageJobs
			if l.s.cfg.begin != nil {
				l.hook(phaseBegin, l.s.cfg.begin)
			}
		case stageJobs:
			l.runJobs()
			if l.heir != nil {
				return
			}
			if l.pos == len(l.batch) {
				l.stage = stageEnd
			}
		case stageEnd:
			l.stage = stageIdle
			if l.s.cfg.end != nil {
				l.hook(phaseEnd, l.s.cfg.end)
			}
		case stageIdle:
			l.stage = stageDone
			if l.s.cfg.idle != nil {
				l.hook(phaseAfter, l.afterBatch)
			}
		default:
			l.mark(phaseIdle, len(l.batch))
			return
		}
	}
}

// runJobs runs the batch up to its end, to the first panic or to a call that is
// to be resumed. Timers that come due meanwhile are not kept waiting for the end.
func (l *loop) runJobs() {
	ok := false
	defer func() {
		if l.lost {
			l.lost = false
		} else if !ok {
			name := "job"
			if l.named == l.pos && l.pos > 0 {
				name = l.names[l.pos-1]
			}
			l.failed(name, recover())
		}
	}()
	for {
		if l.due.Load() {
			if l.heir != nil {
				break
			}
			l.sweep()
		}
		i := l.pos
		if i == len(l.batch) {
			break
		}
		job := l.batch[i]
		l.batch[i] = nil // the job's memory ends with the job, not with the batch
		l.pos = i + 1
		l.names[i] = job.Name()
		l.named = i + 1
		l.mark(phaseJob, i)
		if i == 0 {
			l.watch.rouse()
		}
		job.Run()
	}
	ok = true
}

func (l *loop) afterBatch() { l.s.cfg.idle(l.more) }

// hook calls a function of the configuration.
func (l *loop) hook(p phase, fn func()) {
	ok := false
	defer func() {
		if !ok {
			l.failed(l.callLocked(p, 0), recover())
		}
	}()
	l.mark(p, l.pos)
	l.watch.rouse()
	fn()
	ok = true
}

// failed reports a call that did not return. A nil v is a runtime.Goexit.
func (l *loop) failed(name string, v any) {
	l.panics.Add(1)
	if v == nil {
		v = errGoexit
	}
	stack := debug.Stack()
	defer func() {
		if p := recover(); p != nil {
			l.s.log.Error("report of a panic panicked",
				"scheduler", l.s.cfg.name, "call", name, "panic", v, "report", p, "stack", string(stack))
		}
	}()
	l.s.cfg.onPanic(name, v, stack)
}

// ring is called by the runtime when the earliest timer is due.
func (l *loop) ring() {
	l.due.Store(true)
	l.s.mu.Lock()
	l.s.unlockAndWake()
}

// sweep fires each timer that is due, once. Timers which come due meanwhile are
// for the next sweep, so that jobs get their turn.
func (l *loop) sweep() {
	l.due.Store(false)
	ts := &l.s.timers
	ts.sweep()
	at := now()
	for t := ts.nextDue(at); t != nil; t = ts.nextDue(at) {
		l.fire(t)
		l.readFor = 0 // time has gone by
	}
}

func (l *loop) fire(t *Timer) {
	ok := false
	defer func() {
		if !ok {
			v := recover()
			l.failed("timer", v)
			if v == nil { // the goroutine is lost (runtime.Goexit); another one sweeps on
				l.lost = true
				l.due.Store(true)
			}
		}
	}()
	l.mark(phaseTimer, l.pos)
	l.watch.rouse()
	if t.cond == nil || t.cond.Check(time.Now()) {
		t.fn()
	}
	ok = true
}

// jobBegan is Scheduler.JobBegan.
func (l *loop) jobBegan() time.Duration {
	if l.readFor != l.pos {
		l.readAt, l.readFor = now(), l.pos
	}
	return l.readAt
}

// jobEnded is Scheduler.JobEnded.
func (l *loop) jobEnded() time.Duration {
	l.readAt, l.readFor = now(), l.pos+1
	return l.readAt
}

// lane returns the lane of the job that runs; nil if it has none.
func (l *loop) lane() *Lane {
	if l.resumedAt == l.pos {
		return l.resumed
	}
	i, _ := slices.BinarySearchFunc(l.runs, l.pos, func(r laneRun, pos int) int { return r.end - pos })
	if i == len(l.runs) {
		return nil
	}
	return l.runs[i].lane
}
