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

// stack returns where the loop is, for reports. It asks for a profile, which the runtime takes
// without stopping the program for its length, and finds the loop by its label. Goroutines that
// handlers started have the label too, but do not come from loop; calls in Await do, but are in
// offTurn.
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

// turns holds the scheduler of each goroutine that runs a loop now. Goroutines belong to the
// process, and so does turns.
var turns sync.Map // uint64: *Scheduler

// Current returns the scheduler that runs its caller: a task, a timer, or a handler of v0.5's
// forms, which have no context that says it. A handler with a context uses [FromContext]. Current
// is nil on any other goroutine, and in the function given to Await.
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

// goroutineID returns the number of the calling goroutine. It takes a microsecond. It proves that
// a caller has the turn that it wants to give away: a context says which scheduler runs its
// handler, but the handler may pass it to goroutines and tasks, which have no turn to give.
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
