package scheduler

// Await lets the scheduler run other calls while wait blocks, for example for the reply of
// another node. It returns when wait has returned and it is this call's turn again. The
// scheduler still runs one call at any time, so the code before and after Await needs no locks.
// Await is for what the scheduler runs: a handler, a task, a timer.
//
// Other handlers, tasks and timers run between the call of Await and its return, as at an await
// in JavaScript. What was true before may not be true after: a player may have left, a room may
// be gone, the same timer may have fired again. Check again what the code after Await relies on.
//
// wait runs at the same time as other calls, so it must not touch what they share. Let it store
// its results in local variables. A panic in wait passes to the caller of Await, once it has its
// turn again.
//
// Calls come back in the order in which their waits ended, behind what was queued by then. A
// scheduler ends only when all calls in Await have come back, so wait should have a deadline.
//
// On any other goroutine Await only calls wait. So it does in the hooks of [WithBatch] and
// [WithIdle]: the loop waits meanwhile. A nil wait is logged as an error.
func (s *Scheduler) Await(wait func()) {
	if wait == nil {
		s.log.Error("scheduler: Await was called without a function", "scheduler", s.Stats().Name)
		return
	}
	if a := s.loop.yield(); a != nil {
		s.loop.offTurn(a, wait)
	} else {
		wait()
	}
}

// HasTurn reports whether its caller is what the scheduler runs now, so that [Scheduler.Await]
// would let others run.
func (s *Scheduler) HasTurn() bool { return s.loop.hasTurn() }

// awaiter is a call that gave up its turn. It is also the job that gives the turn back: the
// goroutine that runs this job ends at once, and the goroutine of the call, whose stack still has
// the loop that called it, is the loop from there on.
type awaiter struct {
	loop      *loop
	name      string
	goroutine uint64
	lane      *Lane         // of the job; nil: of none
	timer     bool          // called by a timer, which does not count as executed
	turn      chan struct{} // has room for the one send
}

// Run makes the goroutine that calls it return, up to pass. It pretends that a timer is due, which
// the loop checks before each job anyway: so jobs that do not await pay nothing for those that
// do.
func (a *awaiter) Run() {
	a.loop.heir = a
	a.loop.due.Store(true)
}

func (a *awaiter) Name() string { return a.name }

// yield gives the turn of the calling goroutine to a new one. It returns nil,
// and does nothing, if there is none to give up.
func (l *loop) yield() *awaiter {
	id := goroutineID()
	if id != l.id.Load() {
		return nil
	}
	p, index := unmark(l.state.Load())
	// A job that is being asked for its name is not running yet.
	if p != phaseJob && p != phaseTimer || l.named != l.pos {
		return nil
	}
	a := &awaiter{loop: l, goroutine: id, timer: p == phaseTimer, turn: make(chan struct{}, 1)}
	if !a.timer {
		a.lane = l.lane()
	}
	l.s.mu.Lock()
	a.name = l.callLocked(p, index)
	l.awaiting++
	l.s.backlog.await(a.lane)
	if !a.timer {
		l.executed-- // the resumed call is what will count
	}
	l.mark(phaseAwait, l.pos)
	l.s.mu.Unlock()
	if a.timer {
		l.due.Store(true) // there may be more of them to fire
	}
	l.leaveTurn()
	go l.run()
	return a
}

// offTurn calls wait without the turn and returns with it. Slow reports skip a goroutine that
// has offTurn on its stack, see stack.
//
//go:noinline
func (l *loop) offTurn(a *awaiter, wait func()) {
	defer l.regain(a) // also if wait panics or ends the goroutine
	wait()
}

// regain queues for the turn, also while the scheduler is closing, and takes it.
func (l *loop) regain(a *awaiter) {
	came := l.s.backlog.stamp()
	l.s.mu.Lock()
	l.awaiting--
	l.s.backlog.addOne(came, a)
	l.s.unlockAndWake()

	<-a.turn
	l.takeTurn(a.goroutine)
	l.readFor = 0 // time has gone by
	l.s.mu.Lock()
	l.s.backlog.resume(a.lane)
	l.resumed, l.resumedAt = a.lane, l.pos
	if a.timer {
		l.executed--
		l.mark(phaseTimer, l.pos)
	}
	l.s.mu.Unlock()
}

// pass hands the turn to the call that is to be resumed. The caller had it
// and must touch nothing of the loop any more.
func (l *loop) pass() {
	a := l.heir
	l.heir = nil
	l.leaveTurn()
	a.turn <- struct{}{}
}
