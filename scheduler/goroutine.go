package scheduler

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
)

// Labels of the loop's goroutine, and of those it starts, in profiles.
const (
	labelName = "nano_scheduler"
	labelID   = "nano_scheduler_id"
)

func (s *Scheduler) id() string { return fmt.Sprintf("%p", s) }

func (s *Scheduler) labelled() context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(labelName, s.cfg.name, labelID, s.id()))
}

// stack returns where the loop is. It asks for a profile, which the runtime
// takes without stopping the program for its length, and finds the loop by its
// label; goroutines that handlers started bear it too, but did not come from
// loop, and calls that are in Await did, but are in offTurn.
func (s *Scheduler) stack() string {
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return ""
	}
	label := fmt.Sprintf("%q:%q", labelID, s.id())
	for record := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(record, label) &&
			strings.Contains(record, "scheduler.(*Scheduler).loop+") &&
			!strings.Contains(record, "scheduler.(*Scheduler).offTurn+") {
			return record
		}
	}
	return ""
}

// turns holds, for each goroutine that runs a scheduler's loop now, the scheduler:
// goroutines belong to the process, and so does this.
var turns sync.Map // uint64: *Scheduler

// Current returns the scheduler that runs its caller, which is a task, a timer or a
// handler of v0.5's forms: they have no context that says it. A handler with a
// context uses [FromContext]. Current is nil on any other goroutine, also in the
// function that Await was given.
func Current() *Scheduler {
	s, _ := turns.Load(goroutineID())
	at, _ := s.(*Scheduler)
	return at
}

// takeTurn notes that goroutine id is the loop from now on.
func (s *Scheduler) takeTurn(id uint64) {
	turns.Store(id, s)
	s.loopID.Store(id)
}

// leaveTurn is called by the loop that is none any more.
func (s *Scheduler) leaveTurn() { turns.Delete(s.loopID.Swap(0)) }

// goroutineID returns the number of the calling goroutine. It is slow (a
// microsecond). It proves that a caller has the turn which it wants to give away: a
// context says whose turn it was, but a handler may hand its context to goroutines
// and tasks, which run at the same time and have no turn to give.
func goroutineID() uint64 {
	var buf [64]byte
	var id uint64
	const prefix = len("goroutine ")
	for _, c := range buf[prefix:runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
