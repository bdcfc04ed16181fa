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

func (l *loop) label() string { return fmt.Sprintf("%p", l.s) }

func (l *loop) labelled() context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(labelName, l.s.cfg.name, labelID, l.label()))
}

// stack returns where the loop is, for reports. It asks for a profile, which the runtime takes
// without stopping the program for its length, and finds the loop by its label. Goroutines that
// handlers started have the label too, but do not come from run; calls in Await do, but are in
// offTurn.
func (l *loop) stack() string {
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return ""
	}
	label := fmt.Sprintf("%q:%q", labelID, l.label())
	for record := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(record, label) &&
			strings.Contains(record, "scheduler.(*loop).run+") &&
			!strings.Contains(record, "scheduler.(*loop).offTurn+") {
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

// takeTurn notes that goroutine id has the turn from now on.
func (l *loop) takeTurn(id uint64) {
	turns.Store(id, l.s)
	l.id.Store(id)
}

// leaveTurn is called by the goroutine that has the turn, and has it no more.
func (l *loop) leaveTurn() { turns.Delete(l.id.Swap(0)) }

// hasTurn reports whether the calling goroutine has the turn.
func (l *loop) hasTurn() bool { return goroutineID() == l.id.Load() }

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
