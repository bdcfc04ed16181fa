package scheduler

import (
	"math"
	"math/bits"
	"time"
)

// keep is the capacity, in jobs, below which a buffer is never given back.
const keep = 1024

// PushTask queues a task. It never waits, so a task may push any number of tasks. The tasks of
// one goroutine run in the order in which it pushed them, and after all that was queued before
// them, in lanes too. Only a lane that may have no more calls in [Scheduler.Await] does not keep
// the task waiting: those calls may wait for it. After Close the task is dropped and counted.
func (s *Scheduler) PushTask(t Task) {
	if t == nil {
		s.log.Error("scheduler: PushTask was called without a task", "scheduler", s.Stats().Name)
		return
	}
	came := s.stamp()
	s.mu.Lock()
	if s.life > lifeRunning {
		s.dropped++
		s.mu.Unlock()
		return
	}
	if s.lanes.count > 0 {
		s.behindLocked(taskJob(t))
		s.unlockAndWake()
		return
	}
	if len(s.queue) == 0 {
		s.firstLocked(came)
	}
	s.queue = append(s.queue, taskJob(t))
	s.unlockAndWake()
}

// Schedule is [Scheduler.PushTask]. It makes a Scheduler a [LocalScheduler].
func (s *Scheduler) Schedule(t Task) { s.PushTask(t) }

func (s *Scheduler) submit(jobs []Job, stop <-chan struct{}, limit int) error {
	if len(jobs) == 0 {
		return nil
	}
	came := s.stampOf(jobs)
	s.mu.Lock()
	for len(s.queue) >= limit && s.life <= lifeRunning {
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-stop:
			return ErrStopped
		}
		came = s.stampOf(jobs)
		s.mu.Lock()
	}
	if s.life > lifeRunning {
		s.dropped += uint64(len(jobs))
		s.mu.Unlock()
		return ErrClosed
	}
	if s.lanes.count > 0 && limit != math.MaxInt {
		s.behindLocked(jobs...)
		s.unlockAndWake()
		return nil
	}
	if len(s.queue) == 0 {
		s.firstLocked(came)
	}
	s.queue = append(s.queue, jobs...)
	s.unlockAndWake()
	return nil
}

// stamp reads the clock for the one who will find the queue empty, before the
// lock is taken; all others need no time.
func (s *Scheduler) stamp() time.Duration {
	if s.pending.Load() {
		return 0
	}
	return now()
}

// stampOf is stamp for jobs that may know when they came.
func (s *Scheduler) stampOf(jobs []Job) time.Duration {
	if s.pending.Load() || len(jobs) == 0 {
		return 0
	}
	if j, ok := jobs[0].(Stamped); ok {
		return j.Came()
	}
	return now()
}

// firstLocked notes that the queue is no longer empty.
func (s *Scheduler) firstLocked(came time.Duration) {
	if came == 0 {
		came = now()
	}
	s.oldest = came
	s.pending.Store(true)
}

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

// letInLocked lets those go on who wait in Submit.
func (s *Scheduler) letInLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// take gives the loop its next batch: all that is queued, and what lanes give by
// turns; it is empty if only timers are due. It parks while there is nothing, and returns false at
// the end of the run, which comes after that of the last call in Await.
func (s *Scheduler) take() bool {
	s.mu.Lock()
	oldest := time.Duration(math.MaxInt64)
	for {
		if len(s.queue) > 0 {
			oldest = s.oldest
		}
		if oldest = s.gatherLocked(oldest); len(s.queue) > 0 {
			break
		}
		if s.life == lifeClosing && s.awaiting == 0 {
			s.restLocked(now())
			s.mu.Unlock()
			return false
		}
		if s.due.Load() {
			break
		}
		s.restLocked(now())
		s.parked = true
		s.pending.Store(false) // what lanes hold back does not count
		s.mu.Unlock()
		<-s.wake
		s.mu.Lock()
	}

	last, next := s.batch, s.queue
	s.executed += uint64(len(last))
	if cap(last) > keep && len(next) <= cap(last)/4 {
		last = nil
	}
	s.batch, s.queue = next, last[:0]
	s.pending.Store(s.lanes.count > 0)
	s.size, s.pos, s.named = len(next), 0, 0
	s.resumed, s.resumedAt = nil, 0
	if n := len(s.names); n < len(next) || n > keep && len(next) <= n/4 {
		s.names = make([]string, max(64, 1<<bits.Len(uint(len(next)))))
	}
	s.mark(phaseIdle, 0)
	t := now()
	s.started.Store(int64(t))
	s.readAt, s.readFor = t, 1
	s.restLocked(t)
	s.began, s.working = t, true
	if len(next) > 0 {
		s.wait = t - oldest
	}
	s.letInLocked()
	s.mu.Unlock()
	s.stage = stageBegin
	return true
}

// restLocked counts the time since the loop began to work, until t.
func (s *Scheduler) restLocked(t time.Duration) {
	if s.working {
		s.busy += t - s.began
		s.working = false
	}
}
