package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/log"
)

// Errors of this package.
var (
	// ErrClosed is returned by a scheduler that is closed or closing. It took nothing.
	ErrClosed = fault.New(fault.Unavailable, "scheduler: closed")
	// ErrStopped is returned by Submit when the caller's stop channel ended the wait for room.
	ErrStopped = fault.New(fault.Unavailable, "scheduler: stopped while waiting for room")
	// ErrRunning is returned by Configure for a running scheduler: close it and wait first.
	ErrRunning = fault.New(fault.Exists, "scheduler: a running scheduler cannot be configured")
)

// base is what times are counted from: a monotonic clock in one word. Within a
// testing/synctest bubble, whose clock is another, these times may be negative.
var base = time.Now()

func now() time.Duration { return time.Since(base) }

// Task is a function that a scheduler runs.
type Task func()

// Hook is a function without arguments. It exists for programs of v0.5 that name the type;
// nothing in this package takes one.
type Hook func()

// LocalScheduler runs tasks one after another, in the order in which they were scheduled. A
// component may have one of the application's own type; [Scheduler] is one. Schedule may be
// called from any goroutine and must not wait for the task.
type LocalScheduler interface {
	Schedule(Task)
}

// Job is work with a name. The loop calls Name once and then Run, and keeps nothing of the job
// meanwhile: a job may go back to its pool within Run.
type Job interface {
	// Run does the work.
	Run()
	// Name is for reports: the route of a message, for example. It should return a string that
	// exists already, because the loop calls it for every job.
	Name() string
}

// taskJob makes a Job of a Task. A func is one pointer, so the conversion to
// an interface allocates nothing.
type taskJob func()

func (t taskJob) Run()         { t() }
func (t taskJob) Name() string { return "task" }

// life is where a scheduler stands between New and Close.
type life uint8

const (
	lifeOpen    life = iota // takes tasks and timers, loop not running
	lifeRunning             // loop running
	lifeClosing             // loop running what is left
	lifeClosed              // takes nothing
)

// Scheduler runs jobs, tasks and timers, one at a time: on one goroutine, as long as none of them
// calls Await. All methods may be called from any goroutine, and by what it runs, but for Submit,
// SubmitTo and Wait. A Scheduler must not be copied; make one with [New].
type Scheduler struct {
	// mu guards its life, what waits and the loop's figures. It may be held when timers.mu is
	// taken, never the other way round. No foreign code is called under either.
	// What each push writes stands first, and a cache line away from what the loop uses for each
	// job.
	mu      sync.Mutex
	life    life
	parked  bool // the loop waits on wake; who clears this sends on it
	backlog backlog
	dropped uint64
	wake    chan struct{} // one a run
	done    chan struct{} // closed when the run is over; one a run

	log     *slog.Logger // limited: what is called may fail each time
	cfg     config       // changes only when the loop does not run, which reads it without mu
	spread  uint32       // see Spread; constant
	ids     atomic.Int64
	closing atomic.Bool // life == lifeClosing

	loop   loop
	timers timers
}

// New makes a scheduler. It takes tasks and timers at once, and runs them from [Scheduler.Start]
// or [Scheduler.Run] on.
func New(opts ...Option) *Scheduler {
	logger := log.Default()
	s := &Scheduler{log: logger, spread: rand.Uint32()}
	s.configure(makeConfig(opts, logger))
	s.loop.s = s
	s.loop.more = func() bool { return s.backlog.pending.Load() || s.loop.due.Load() || s.closing.Load() }
	return s
}

// Configure replaces all settings: what no option names gets its default. Jobs and timers stay. A
// closed scheduler is open again afterwards, and keeps tasks and timers for the next Run. While
// the loop is running, Configure changes nothing and returns [ErrRunning].
func (s *Scheduler) Configure(opts ...Option) error {
	cfg := makeConfig(opts, s.log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == lifeRunning || s.life == lifeClosing {
		return ErrRunning
	}
	s.configure(cfg)
	s.openLocked()
	return nil
}

func (s *Scheduler) configure(cfg config) {
	s.cfg = cfg
	s.backlog.limit, s.backlog.awaits = cfg.limit, cfg.awaits
}

// Run runs the loop on the calling goroutine until [Scheduler.Close]. If the loop is running
// already, Run returns at once. It can be called again after Wait has returned. The goroutine has
// the scheduler's profiler labels meanwhile, and none afterwards. After a call of Await, other
// goroutines may run the loop while this one waits for its end. To give the loop a goroutine of
// its own, call [Scheduler.Start] instead of "go Run": a Close right after Start ends the loop.
func (s *Scheduler) Run() {
	if done := s.enter(); done != nil {
		s.loop.run()
		<-done
	}
}

// Start runs the loop on a new goroutine until [Scheduler.Close]. If the loop is
// running already, Start does nothing.
func (s *Scheduler) Start() {
	if s.enter() != nil {
		go s.loop.run()
	}
}

// Close begins the end of the scheduler and returns at once: call [Scheduler.Wait]
// to wait for the end. From now on the scheduler drops and counts what is pushed,
// and its timers are stopped. It still runs what was queued before, and calls in
// [Scheduler.Await] come back and run to their end. A scheduler that never ran
// drops its queue. Anybody may call Close, at any time and again: a task, a timer
// and a report of this scheduler, too.
func (s *Scheduler) Close() {
	s.mu.Lock()
	defer s.unlockAndWake()
	switch s.life {
	case lifeOpen:
		s.life = lifeClosed
		s.dropped += uint64(s.backlog.drop())
		s.timers.close()
	case lifeRunning:
		s.life = lifeClosing
		s.closing.Store(true)
		s.timers.close()
		s.backlog.close()
	}
}

// Wait waits until the scheduler has ended: somebody has called [Scheduler.Close],
// and all that was queued before has run. It returns nil then, and at once if the
// loop is not running; if ctx ends first, it returns an error that wraps its cause.
// What this scheduler runs must not call Wait: it would wait for itself.
func (s *Scheduler) Wait(ctx context.Context) error {
	s.mu.Lock()
	done := s.done
	running := s.life == lifeRunning || s.life == lifeClosing
	s.mu.Unlock()
	if !running {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		st := s.Stats()
		return fmt.Errorf("scheduler: wait for %s to end (queued: %d, awaiting: %d, running: %q): %w",
			st.Name, st.Queued, st.Awaiting, st.Running, context.Cause(ctx))
	}
}

// PushTask queues a task. It never waits, so a task may push any number of tasks. The tasks of
// one goroutine run in the order in which it pushed them, and after all that was queued before
// them, in lanes too. Only a lane that may have no more calls in [Scheduler.Await] does not keep
// the task waiting: those calls may wait for it. After Close the task is dropped and counted.
func (s *Scheduler) PushTask(t Task) {
	if t == nil {
		s.log.Error("scheduler: PushTask was called without a task", "scheduler", s.Stats().Name)
		return
	}
	came := s.backlog.stamp()
	s.mu.Lock()
	if s.life > lifeRunning {
		s.dropped++
		s.mu.Unlock()
		return
	}
	s.backlog.pushOne(came, taskJob(t))
	s.unlockAndWake()
}

// Schedule is [Scheduler.PushTask]. It makes a Scheduler a [LocalScheduler].
func (s *Scheduler) Schedule(t Task) { s.PushTask(t) }

// unlockAndWake gives up mu and wakes the loop if it is parked. At most one
// caller finds it parked, so the send has its place in the channel.
func (s *Scheduler) unlockAndWake() {
	if !s.parked {
		s.mu.Unlock()
		return
	}
	s.parked = false
	wake := s.wake
	s.mu.Unlock()
	wake <- struct{}{}
}

// openLocked makes a closed scheduler take tasks and timers again.
func (s *Scheduler) openLocked() {
	if s.life == lifeClosed {
		s.life = lifeOpen
		s.timers.open()
	}
}

// enter claims the loop for the caller, who must run it. It returns what is
// closed at the end of the run, or nil if the loop is running already.
func (s *Scheduler) enter() (done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == lifeRunning || s.life == lifeClosing {
		return nil
	}
	s.openLocked()
	s.life = lifeRunning
	s.wake = make(chan struct{}, 1)
	s.done = make(chan struct{})
	s.loop.profile = s.loop.labelled() //nolint:fatcontext // made of the background's, anew for each run
	s.loop.watch = newWatch(s)
	if s.timers.run(s.loop.ring) {
		s.loop.due.Store(true)
	}
	return s.done
}

// leave is the end of a run, called on the loop.
func (s *Scheduler) leave() {
	s.loop.watch.stop()
	s.mu.Lock()
	s.life = lifeClosed
	s.closing.Store(false)
	s.backlog.reset()
	s.loop.endLocked()
	done := s.done
	s.mu.Unlock()
	close(done)
}

// Stats are the figures of a scheduler.
type Stats struct {
	Name   string // see WithName
	Queued int    // jobs and tasks that wait to be run
	// Wait is how long the oldest job of the last batch had waited, or the oldest in the queue has
	// waited so far, whichever is more.
	Wait     time.Duration
	Busy     time.Duration // time in which it ran something, since it was made
	Executed uint64        // jobs and tasks that were run
	Dropped  uint64        // jobs and tasks that came after Close, or before a Close without a run
	Panics   uint64        // calls that panicked, timers and hooks too
	Running  string        // name of the call that is running; empty if none is
	Since    time.Time     // when the batch of that call began; zero if none is running
	Timers   int           // timers that are not stopped
	Awaiting int           // calls in Await whose wait has not ended
}

// Stats returns the present figures. It waits for no call, and works for a loop that hangs.
func (s *Scheduler) Stats() Stats {
	timers := s.timers.len()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Name: s.cfg.name, Queued: s.backlog.len(), Dropped: s.dropped, Timers: timers}
	t := now()
	if oldest := s.backlog.since(); oldest != math.MinInt64 {
		st.Wait = t - oldest
	}
	s.loop.statsLocked(&st, t)
	return st
}
