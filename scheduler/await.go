package scheduler

// Await lets the scheduler go on with other work while wait blocks, for a reply
// of another node, say. It returns when wait has returned and it is this call's
// turn again: still only one piece of the scheduler's work runs at any time, so
// the code before and after Await needs no locks. It is for what the scheduler
// runs: a job, a task, a timer.
//
// Between the call of Await and its return, other handlers, tasks and timers
// have run, as at an await in JavaScript. What was true before may not be true
// after: a player may have left, a room may be gone, the same timer may have
// fired again. Look again at what the code after Await relies on.
//
// wait runs without the turn, at the same time as the scheduler's work, so it
// must touch none of what that work shares. Its results are best left in
// variables of the call, which nobody else uses. A panic in wait passes to the
// caller of Await, once it has its turn again.
//
// Calls come back in the order in which their waits ended, behind what was
// queued by then. A scheduler ends only when all calls in Await have come back, so
// wait should have a deadline.
//
// On any other goroutine Await simply calls wait; so it does in the hooks of
// [WithBatch] and [WithIdle], where the loop waits along. A nil wait is logged
// as an error.
func (s *Scheduler) Await(wait func()) {
	if wait == nil {
		s.log.Error("nano/scheduler: Await without a function", "scheduler", s.Stats().Name)
		return
	}
	if a := s.yield(); a != nil {
		s.offTurn(a, wait)
	} else {
		wait()
	}
}

// HasTurn reports whether it is called by what the scheduler runs now, so that
// Await would let others run.
func (s *Scheduler) HasTurn() bool { return goroutineID() == s.loopID.Load() }

// awaiter is a call that gave up its turn. It is also the job that gives it
// back: the loop which runs that job ends at once, and the call's goroutine,
// whose stack still has the loop it was called by, is the loop from there on.
// All that a loop knows is in the Scheduler, so any of them can go on.
type awaiter struct {
	s         *Scheduler
	name      string
	goroutine uint64
	lane      *Lane         // of the job; nil: of none
	timer     bool          // called by a timer, which does not count as executed
	turn      chan struct{} // has room for the one send
}

// Run makes the loop that calls it return, up to pass. It says that a timer is
// due because the loop looks for that before each job anyway: jobs that do not
// await pay nothing for those that do.
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

// offTurn calls wait without the turn and returns with it. Reports know by its
// name on the stack that a goroutine does not have the turn, see stack.
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
