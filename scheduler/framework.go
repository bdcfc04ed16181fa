package scheduler

import (
	"math"
	"sync/atomic"
	"time"
)

// What stands in this file is for the node, not for applications: how messages come in, in order
// and with pressure back to the network, and when output is flushed. An application pushes tasks
// and makes timers.

// ContextKey is the key under which the context of a handler holds its *[Scheduler]. The node
// makes those contexts; an application calls [FromContext].
type ContextKey struct{}

// Lane keeps the jobs of one source in order: those of a session, for example. The scheduler
// takes jobs of different lanes by turns, so that a thousand jobs of one session do not delay
// the single job of another. A lane may be used with several schedulers, which know nothing of
// each other. Make a lane with [Scheduler.NewLane], or [Scheduler.InitLane] for one that is part of
// another struct. All else is done by methods of [Scheduler]. A lane in which nothing waits holds
// nothing but itself.
type Lane struct {
	home   *backlog // finds the lane's queue without looking it up; constant
	latest atomic.Pointer[Scheduler]
	queue  *laneQueue // at home, guarded as home is; nil: nothing waits

	waiting int32 // see NewLane; constant
	ended   atomic.Bool
}

// NewLane makes a lane for the jobs of one source, most of which are for s. On each scheduler,
// at most waiting of its calls are in [Scheduler.Await] at a time: the next job of the lane runs
// when one of them has come back. 0 or less means no bound.
func (s *Scheduler) NewLane(waiting int) *Lane {
	l := new(Lane)
	s.InitLane(l, waiting)
	return l
}

// InitLane makes l what [Scheduler.NewLane] returns. Call it once, before anybody else has l, and
// do not copy l afterwards.
func (s *Scheduler) InitLane(l *Lane, waiting int) {
	if waiting <= 0 {
		waiting = math.MaxInt32
	}
	l.home, l.waiting = &s.backlog, int32(min(waiting, math.MaxInt32))
}

// Latest returns the scheduler that was given jobs of the lane last; nil if none was.
func (l *Lane) Latest() *Scheduler { return l.latest.Load() }

// use notes that s is given jobs.
func (l *Lane) use(s *Scheduler) {
	if l.latest.Load() != s {
		l.latest.Store(s)
	}
}

// Sized is a [Job] that holds memory until it has run: a message. A lane in which 1 MiB of such
// jobs waits takes no more from [Scheduler.SubmitTo], and neither does any lane in which a job
// waits when all lanes of the scheduler hold 256 MiB.
type Sized interface {
	// Size returns how many bytes the job holds. It does not change while the job waits.
	Size() int
}

// Refusable is a [Sized] job that [Scheduler.PostTo] may refuse. It runs in its turn all the same,
// and holds nothing until then.
type Refusable interface {
	Sized
	// Refuse has Run say that there was no room. It is called before the job waits, and Size
	// returns 0 after it.
	Refuse()
}

// Stamped is a [Job] that knows when it came, by [Clock]. Where the first of some jobs does, the
// scheduler does not read the clock for them.
type Stamped interface {
	// Came returns when the job came.
	Came() time.Duration
}

// Submit queues jobs in order, all of them or none, under one lock. While the queue is at its
// limit, Submit waits for room. It returns [ErrStopped] when stop is closed first, and
// [ErrClosed] when the scheduler is closed. A nil stop waits for room only. Submit copies the
// slice, which is the caller's again. No element may be nil.
//
// Submit is for goroutines that read from the network. What the scheduler runs must not call
// it: with a full queue it would wait for itself. [Scheduler.PushTask] is for that.
func (s *Scheduler) Submit(jobs []Job, stop <-chan struct{}) error {
	return s.submit(jobs, stop, s.cfg.limit)
}

// Post is Submit without the wait: the queue grows beyond its limit, and the jobs come before
// those that wait in lanes. It is for callers whose input is bounded in another way, and may be
// called from anywhere.
func (s *Scheduler) Post(jobs []Job) error { return s.submit(jobs, nil, math.MaxInt) }

func (s *Scheduler) submit(jobs []Job, stop <-chan struct{}, limit int) error {
	if len(jobs) == 0 {
		return nil
	}
	came := s.backlog.stampOf(jobs)
	s.mu.Lock()
	for s.backlog.full(limit) && s.life <= lifeRunning {
		room := s.backlog.roomToCome()
		s.mu.Unlock()
		select {
		case <-room:
		case <-stop:
			return ErrStopped
		}
		came = s.backlog.stampOf(jobs)
		s.mu.Lock()
	}
	if s.life > lifeRunning {
		s.dropped += uint64(len(jobs))
		s.mu.Unlock()
		return ErrClosed
	}
	if limit == math.MaxInt {
		s.backlog.add(came, jobs...)
	} else {
		s.backlog.push(came, jobs...)
	}
	s.unlockAndWake()
	return nil
}

// SubmitTo queues jobs in a lane, in order, and returns how many it took. While the lane is full
// it waits for room. It returns [ErrStopped] when stop is closed first or the lane has ended (see
// [Scheduler.EndLane]), and [ErrClosed] when the scheduler is closed. SubmitTo calls stop only if
// it has to wait; a nil stop waits for room only. A nil lane makes it [Scheduler.Submit], whose
// rules hold here too.
func (s *Scheduler) SubmitTo(l *Lane, jobs []Job, stop func() <-chan struct{}) (n int, err error) {
	if l == nil {
		var quit <-chan struct{}
		if stop != nil {
			quit = stop()
		}
		if err := s.Submit(jobs, quit); err != nil {
			return 0, err
		}
		return len(jobs), nil
	}
	came := s.backlog.stampOf(jobs)
	s.mu.Lock()
	for {
		if s.life > lifeRunning {
			s.dropped += uint64(len(jobs) - n)
			s.mu.Unlock()
			return n, ErrClosed
		}
		if l.ended.Load() {
			s.mu.Unlock()
			return n, ErrStopped
		}
		q := s.backlog.queueOf(l)
		if some := s.backlog.roomIn(q, jobs[n:]); some > 0 {
			l.use(s)
			s.backlog.addTo(q, came, jobs[n:n+some]...)
			n += some
		}
		if n == len(jobs) {
			s.unlockAndWake()
			return n, nil
		}
		room := q.roomToCome()
		s.unlockAndWake()
		var quit <-chan struct{}
		if stop != nil {
			quit = stop()
		}
		select {
		case <-room:
		case <-quit:
			return n, ErrStopped
		}
		came = s.backlog.stampOf(jobs[n:]) // the others may be gone
		s.mu.Lock()
	}
}

// PostTo queues each job in the lane of the same index; a nil lane is for a job without one. It
// takes all or none, and never waits. See [Scheduler.Post]. Where all lanes hold 256 MiB, it
// refuses each [Refusable] job for a lane in which a job waits.
func (s *Scheduler) PostTo(lanes []*Lane, jobs []Job) error {
	came := s.backlog.stampOf(jobs)
	s.mu.Lock()
	if s.life > lifeRunning {
		s.dropped += uint64(len(jobs))
		s.mu.Unlock()
		return ErrClosed
	}
	for i, j := range jobs {
		if l := lanes[i]; l != nil {
			l.use(s)
			q := s.backlog.queueOf(l)
			if r, ok := j.(Refusable); ok && q.len() > 0 && s.backlog.lanes.bytes+r.Size() > allBytes {
				r.Refuse()
			}
			s.backlog.addTo(q, came, j)
		} else {
			s.backlog.addOne(came, j)
		}
	}
	s.unlockAndWake()
	return nil
}

// PushTaskTo queues a task behind the jobs that wait in a lane. It never waits. A nil lane makes
// it [Scheduler.PushTask].
func (s *Scheduler) PushTaskTo(l *Lane, t Task) { s.pushTo(l, t, false) }

// EndLane queues the last task of a lane, after which the lane takes no jobs. What waits before
// the task runs even if as many calls of the lane are in Await as may be.
func (s *Scheduler) EndLane(l *Lane, t Task) { s.pushTo(l, t, true) }

func (s *Scheduler) pushTo(l *Lane, t Task, last bool) {
	if l == nil || t == nil {
		s.PushTask(t)
		return
	}
	came := s.backlog.stamp()
	s.mu.Lock()
	if s.life > lifeRunning {
		s.dropped++
		s.mu.Unlock()
		return
	}
	q := s.backlog.queueOf(l)
	s.backlog.addTo(q, came, taskJob(t))
	if last {
		s.backlog.end(q)
	}
	s.unlockAndWake()
}

// Clock returns the time since the program began, by the monotonic clock.
func Clock() time.Duration { return now() }

// JobBegan returns when the job began that runs now, by [Clock]. A job calls it first of all. It
// does not read the clock where the job before has called JobEnded.
func (s *Scheduler) JobBegan() time.Duration { return s.loop.jobBegan() }

// JobEnded returns the time, by [Clock]. A job calls it last of all, with the turn.
func (s *Scheduler) JobEnded() time.Duration { return s.loop.jobEnded() }

// Spread returns a number by which what counts for all schedulers can be kept in several places, so
// that schedulers on different processors seldom write to the same.
func (s *Scheduler) Spread() uint32 { return s.spread }

// Closed reports whether the scheduler has ended, or was closed before it ran.
func (s *Scheduler) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life == lifeClosed
}

// Stack returns where the call is that runs now, as a profile of goroutines shows it; empty if none
// runs. It costs a profile of all goroutines: some milliseconds with many of them.
func (s *Scheduler) Stack() string {
	if p, _ := unmark(s.loop.state.Load()); p == phaseIdle {
		return ""
	}
	return s.loop.stack()
}

// WithStall sets a function that the scheduler calls while one batch has been running for longer
// than d, and again every d while it goes on. After a second without a stall, the next one is
// seen after 100 ms, or after d if that is more: to look often at a loop that is always quick
// would cost more than the loop. The function runs at the same time as the batch, on another
// goroutine. The default, also for d <= 0 or a nil function, is none.
func WithStall(d time.Duration, fn func()) Option {
	return func(c *config) { c.stall, c.onStall = d, fn }
}

// WithBatch sets functions that the loop calls before and after each batch: the jobs that it
// takes from the queue in one go, and the timers that are due. Either may be nil, which is the
// default.
func WithBatch(begin, end func()) Option {
	return func(c *config) { c.begin, c.end = begin, end }
}

// WithIdle sets a function that the loop calls after each batch: once the end function of
// [WithBatch] has returned, and before the loop looks for work or sleeps. The function may do
// work of its own as long as more returns false. more is cheap; it must not be used after the
// function has returned. The default is none.
func WithIdle(fn func(more func() bool)) Option {
	return func(c *config) { c.idle = fn }
}
