package scheduler

import (
	"context"
	"time"
)

// std is the instance behind the package functions. It also numbers the timers of all instances.
var std = New(WithName("default"))

func nextTimerID() int64 { return std.ids.Add(1) }

// Default returns the instance that the package functions use. A node that uses it configures
// it at its start and closes it at its end. Configure without options makes it as new again.
func Default() *Scheduler { return std }

// Sched runs the default scheduler on the calling goroutine until [Close]. A node calls it
// itself. See [Scheduler.Run].
func Sched() { std.Run() }

// Close ends the default scheduler and waits until it has ended, as in v0.5: see
// [Scheduler.Close] and [Scheduler.Wait]. A handler, a task or a timer of the default scheduler
// may call it too, and does not wait. The function given to [Scheduler.Await] must not call it.
func Close() {
	std.Close()
	if !std.HasTurn() {
		_ = std.Wait(context.Background()) // without an end of its own there is no error
	}
}

// PushTask queues a task on the default scheduler. See [Scheduler.PushTask].
func PushTask(task Task) { std.PushTask(task) }

// NewTimer makes a timer on the default scheduler. See [Scheduler.NewTimer].
func NewTimer(interval time.Duration, fn TimerFunc) *Timer {
	return std.NewTimer(interval, fn)
}

// NewCountTimer makes a timer with a number of calls on the default scheduler. See
// [Scheduler.NewCountTimer].
func NewCountTimer(interval time.Duration, count int, fn TimerFunc) *Timer {
	return std.NewCountTimer(interval, count, fn)
}

// NewAfterTimer makes a timer with one call on the default scheduler. See
// [Scheduler.NewAfterTimer].
func NewAfterTimer(duration time.Duration, fn TimerFunc) *Timer {
	return std.NewAfterTimer(duration, fn)
}

// NewCondTimer makes a timer with a condition on the default scheduler. See
// [Scheduler.NewCondTimer].
func NewCondTimer(condition TimerCondition, fn TimerFunc) *Timer {
	return std.NewCondTimer(condition, fn)
}
