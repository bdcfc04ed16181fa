package scheduler

import (
	"context"
	"errors"
	"runtime/debug"
	"runtime/pprof"
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

var errGoexit = errors.New("the call ended its goroutine with runtime.Goexit")

// mark publishes what the loop is about to do: a phase, and how many jobs of the
// batch are done. Two calls in a row never give the same word.
func (s *Scheduler) mark(p phase, index int) {
	s.seq++
	s.state.Store(uint64(s.seq)<<32 | uint64(uint32(index)<<phaseBits) | uint64(p))
}

func unmark(state uint64) (p phase, index int) {
	return phase(state & phaseMask), int(uint32(state) >> phaseBits)
}

// callLocked names the call of a state that was read under mu.
func (s *Scheduler) callLocked(p phase, index int) string {
	switch p {
	case phaseJob:
		if index < len(s.names) {
			return s.names[index]
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

// loop is the scheduler's goroutine. It returns at the end of the run, or when
// a call that was in Await is the loop from now on.
func (s *Scheduler) loop() {
	over := false
	defer func() {
		if !over {
			// A call ended this goroutine (runtime.Goexit, as a failed test
			// does). That costs the call, not the scheduler.
			s.leaveTurn()
			go s.loop()
		}
	}()
	s.takeTurn(goroutineID())
	pprof.SetGoroutineLabels(s.profile)

	s.work()
	for s.heir == nil && s.take() {
		s.work()
	}
	over = true
	pprof.SetGoroutineLabels(context.Background())
	if s.heir != nil {
		s.pass()
	} else {
		s.leave()
	}
}

// work does what is left of a batch, or as much of it as there is before the
// turn goes to another goroutine.
func (s *Scheduler) work() {
	for {
		switch s.stage {
		case stageBegin:
			s.stage = stageJobs
			if s.cfg.begin != nil {
				s.hook(phaseBegin, s.cfg.begin)
			}
		case stageJobs:
			s.runJobs()
			if s.heir != nil {
				return
			}
			if s.pos == len(s.batch) {
				s.stage = stageEnd
			}
		case stageEnd:
			s.stage = stageIdle
			if s.cfg.end != nil {
				s.hook(phaseEnd, s.cfg.end)
			}
		case stageIdle:
			s.stage = stageDone
			if s.cfg.idle != nil {
				s.hook(phaseAfter, s.afterBatch)
			}
		default:
			s.mark(phaseIdle, len(s.batch))
			return
		}
	}
}

// runJobs runs the batch up to its end, to the first panic or to a call that is
// to be resumed. Timers that come due meanwhile are not kept waiting for the end.
func (s *Scheduler) runJobs() {
	ok := false
	defer func() {
		if s.lost {
			s.lost = false
		} else if !ok {
			name := "job"
			if s.named == s.pos && s.pos > 0 {
				name = s.names[s.pos-1]
			}
			s.failed(name, recover())
		}
	}()
	for {
		if s.due.Load() {
			if s.heir != nil {
				break
			}
			s.sweep()
		}
		i := s.pos
		if i == len(s.batch) {
			break
		}
		job := s.batch[i]
		s.batch[i] = nil // the job's memory ends with the job, not with the batch
		s.pos = i + 1
		s.names[i] = job.Name()
		s.named = i + 1
		s.mark(phaseJob, i)
		if i == 0 {
			s.watch.rouse()
		}
		job.Run()
	}
	ok = true
}

func (s *Scheduler) afterBatch() { s.cfg.idle(s.more) }

// hook calls a function of the configuration.
func (s *Scheduler) hook(p phase, fn func()) {
	ok := false
	defer func() {
		if !ok {
			s.failed(s.callLocked(p, 0), recover())
		}
	}()
	s.mark(p, s.pos)
	s.watch.rouse()
	fn()
	ok = true
}

// failed reports a call that did not return. A nil v is a runtime.Goexit.
func (s *Scheduler) failed(name string, v any) {
	s.panics.Add(1)
	if v == nil {
		v = errGoexit
	}
	stack := debug.Stack()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("report of a panic panicked",
				"scheduler", s.cfg.name, "call", name, "panic", v, "report", p, "stack", string(stack))
		}
	}()
	s.cfg.onPanic(name, v, stack)
}
