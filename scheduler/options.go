package scheduler

import (
	"log/slog"
	"time"
)

const (
	defaultName      = "scheduler"
	defaultLimit     = 16384
	defaultAwaits    = 16384
	defaultSlow      = time.Second
	defaultPrecision = time.Second
)

// Option changes one setting of a scheduler; see [New] and [Scheduler.Configure]. Of two options
// for the same setting, the last one wins.
type Option func(*config)

// config holds all settings. It changes only while the loop is not running.
type config struct {
	name       string
	limit      int
	awaits     int
	precision  time.Duration
	slow       time.Duration
	onSlow     func(Slow)
	stall      time.Duration
	onStall    func()
	begin, end func()
	idle       func(more func() bool)
	onPanic    func(name string, v any, stack []byte)
}

func makeConfig(opts []Option, log *slog.Logger) config {
	c := config{slow: defaultSlow}
	for _, o := range opts {
		if o != nil {
			o(&c)
		}
	}
	if c.name == "" {
		c.name = defaultName
	}
	if c.limit <= 0 {
		c.limit = defaultLimit
	}
	if c.awaits <= 0 {
		c.awaits = defaultAwaits
	}
	if c.precision <= 0 {
		c.precision = defaultPrecision
	}
	if c.slow < 0 {
		c.slow = 0
	}
	if c.slow > 0 && c.onSlow == nil {
		c.onSlow = slowLogger(log)
	}
	if c.stall <= 0 || c.onStall == nil {
		c.stall, c.onStall = 0, nil
	}
	if c.onPanic == nil {
		c.onPanic = panicLogger(log, c.name)
	}
	return c
}

// WithName sets the name in reports, [Stats] and goroutine labels. The default is "scheduler".
func WithName(name string) Option {
	return func(c *config) { c.name = name }
}

// WithLimit sets how many jobs may be queued before [Scheduler.Submit] waits. Submit takes all of
// its jobs at once, so the queue may exceed the limit by one call. Tasks ([Scheduler.PushTask])
// count, but never wait. The default, also for n <= 0, is 16384.
func WithLimit(n int) Option {
	return func(c *config) { c.limit = n }
}

// WithAwaiting sets how many calls may be in [Scheduler.Await] before the scheduler holds lanes
// back: from then on, a lane with a call in Await runs no other, and a lane without one runs one.
// Each call in Await holds a goroutine, so this bounds their memory. Tasks, timers and jobs
// without a lane count, and are never held back. The default, also for n <= 0, is 16384.
func WithAwaiting(n int) Option {
	return func(c *config) { c.awaits = n }
}

// WithSlow sets how long a call may run before the scheduler reports it, once per call and while
// it is still running. report runs on another goroutine than the call and may use any method of
// the scheduler but [Scheduler.Wait]. With a nil report, the scheduler logs a warning by
// [log/slog], at most one per second and call. The default is 1 s; 0 turns reports off.
//
// A shorter call is never reported. A longer one may run for a quarter more than d before it is.
func WithSlow(d time.Duration, report func(Slow)) Option {
	return func(c *config) { c.slow, c.onSlow = d, report }
}

// WithPanic sets the function that the scheduler calls after a panic of a call, on the goroutine
// that panicked. name is the job's name, "task", "timer" or a hook. A call that ends its
// goroutine by [runtime.Goexit] is reported in the same way. The default, also for nil, logs an
// error by [log/slog], at most one per second and name.
func WithPanic(report func(name string, v any, stack []byte)) Option {
	return func(c *config) { c.onPanic = report }
}

// WithPrecision sets how often the scheduler checks the conditions of [Scheduler.NewCondTimer].
// The default, also for d <= 0, is 1 s. Other timers do not depend on it.
func WithPrecision(d time.Duration) Option {
	return func(c *config) { c.precision = d }
}

// Slow is the report of a call that runs for too long.
type Slow struct {
	Scheduler string        // name of the scheduler
	Name      string        // name of the job: its route, "task", "timer"
	For       time.Duration // how long it has been running, at least
	Stack     string        // where it is now; empty if it could not be found
}

func slowLogger(log *slog.Logger) func(Slow) {
	return func(r Slow) {
		log.Warn("scheduler held up by a slow call",
			"scheduler", r.Scheduler, "call", r.Name, "for", r.For, "stack", r.Stack)
	}
}

func panicLogger(log *slog.Logger, scheduler string) func(string, any, []byte) {
	return func(name string, v any, stack []byte) {
		log.Error("call panicked",
			"scheduler", scheduler, "call", name, "panic", v, "stack", string(stack))
	}
}
