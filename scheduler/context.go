package scheduler

import "context"

// FromContext returns the scheduler that runs the handler whose context ctx is. A handler uses
// it to push tasks, to make timers and to await where it runs. It is nil for a context of no
// handler, and where a scheduler of the application's own type runs the handler.
func FromContext(ctx context.Context) *Scheduler {
	s, _ := ctx.Value(ContextKey{}).(*Scheduler)
	return s
}
