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
	if a := s.yield(); a != nil {
		s.offTurn(a, wait)
	} else {
		wait()
	}
}

// HasTurn reports whether its caller is what the scheduler runs now, so that [Scheduler.Await]
// would let others run.
func (s *Scheduler) HasTurn() bool { return goroutineID() == s.loopID.Load() }

// awaiter is a call that gave up its turn. It is also the job that gives the turn back: the
// loop that runs this job ends at once, and the goroutine of the call, whose stack still has the
// loop that called it, is the loop from there on. All state of a loop is in the Scheduler, so
// any of them can go on.
type awaiter struct {
	s         *Scheduler
	name      string
	goroutine uint64
	lane      *Lane         // of the job; nil: of none
	timer     bool          // called by a timer, which does not count as executed
	turn      chan struct{} // has room for the one send
}

// Run makes the loop that calls it return, up to pass. It pretends that a timer is due, which
// the loop checks before each job anyway: so jobs that do not await pay nothing for those that
// do.
func (a *awaiter) Run() {
	a.s.heir = a
	a.s.due.Store(true)
}

func (a *awaiter) Name() string { return a.name }

// yield gives the turn of the calling goroutine to a new loop. It returns nil,
// and does nothing, if there is none to give up.
func (s *Scheduler) yield() *awaiter {
	id := goroutineID()
	if id != s.loopID.Load() {
		return nil
	}
	p, index := unmark(s.state.Load())
	// A job that is being asked for its name is not running yet.
	if p != phaseJob && p != phaseTimer || s.named != s.pos {
		return nil
	}
	a := &awaiter{s: s, goroutine: id, timer: p == phaseTimer, turn: make(chan struct{}, 1)}
	s.mu.Lock()
	a.name = s.callLocked(p, index)
	s.awaiting++
	a.lane = s.awaitLocked(a.timer)
	if !a.timer {
		s.executed-- // the resumed call is what will count
	}
	s.mark(phaseAwait, s.pos)
	s.mu.Unlock()
	if a.timer {
		s.due.Store(true) // there may be more of them to fire
	}
	s.leaveTurn()
	go s.loop()
	return a
}

// offTurn calls wait without the turn and returns with it. Slow reports skip a goroutine that
// has offTurn on its stack, see stack.
//
//go:noinline
func (s *Scheduler) offTurn(a *awaiter, wait func()) {
	defer s.regain(a) // also if wait panics or ends the goroutine
	wait()
}

// regain queues for the turn, also while the scheduler is closing, and takes it.
func (s *Scheduler) regain(a *awaiter) {
	came := s.stamp()
	s.mu.Lock()
	s.awaiting--
	if len(s.queue) == 0 {
		s.firstLocked(came)
	}
	s.queue = append(s.queue, a)
	s.unlockAndWake()

	<-a.turn
	s.takeTurn(a.goroutine)
	s.readFor = 0 // time has gone by
	s.mu.Lock()
	s.resumeLocked(a.lane)
	s.resumed, s.resumedAt = a.lane, s.pos
	if a.timer {
		s.executed--
		s.mark(phaseTimer, s.pos)
	}
	s.mu.Unlock()
}

// pass hands the turn to the call that is to be resumed. The caller was the loop
// and must touch nothing of it any more.
func (s *Scheduler) pass() {
	a := s.heir
	s.heir = nil
	s.leaveTurn()
	a.turn <- struct{}{}
}
