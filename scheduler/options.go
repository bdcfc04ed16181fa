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

// Option changes one setting of a scheduler; see [New] and
// [Scheduler.Configure]. Of two options for the same setting the later counts.
type Option func(*config)

// config is what the options fold into. It only changes while the loop is not
// running.
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

// WithName sets the name that reports, [Stats] and goroutine labels carry.
// The default is "scheduler".
func WithName(name string) Option {
	return func(c *config) { c.name = name }
}

// WithLimit sets how many jobs may be queued before [Scheduler.Submit] waits.
// A batch is taken whole, so the last one may exceed the limit. Tasks
// ([Scheduler.PushTask]) count, but never wait themselves. The default, also
// for n <= 0, is 16384.
func WithLimit(n int) Option {
	return func(c *config) { c.limit = n }
}

// WithAwaiting sets how many calls may be in [Scheduler.Await] before lanes are held
// back: from then on a lane that has such a call runs no other, and one that has
// none runs one. Each call in Await holds a goroutine, so this bounds what they
// take together. Tasks, timers and jobs without a lane count, and are not held back. The default, also for n <= 0, is 16384.
func WithAwaiting(n int) Option {
	return func(c *config) { c.awaits = n }
}

// WithSlow sets after what time a call that is still running is reported, once
// a call. The report function runs on a goroutine of the scheduler's, never on
// the loop, and may call any method. With a nil function the report is logged
// by [log/slog] as a warning, each call at most once a second. The default is 1 s; 0 turns reports off.
//
// A call that is shorter is never reported; one that is longer may run for a
// quarter more than d before it is.
func WithSlow(d time.Duration, report func(Slow)) Option {
	return func(c *config) { c.slow, c.onSlow = d, report }
}

// WithPanic sets who hears of a panic in a call: name is the job's name,
// "task", "timer" or one of the hooks. It is called on the goroutine that panicked,
// nearly always the loop. The default, also for nil, logs an error by
// [log/slog], for each name at most one a second. A call that ends its goroutine with [runtime.Goexit] is reported
// in the same way.
func WithPanic(report func(name string, v any, stack []byte)) Option {
	return func(c *config) { c.onPanic = report }
}

// WithPrecision sets how often the conditions of [Scheduler.NewCondTimer] are
// checked. The default, also for d <= 0, is 1 s. Timers with an interval do not
// depend on it.
func WithPrecision(d time.Duration) Option {
	return func(c *config) { c.precision = d }
}

// Slow tells of a call that is running for too long.
type Slow struct {
	Scheduler string        // name of the scheduler
	Name      string        // name of the job: its route, "task", "timer"
	For       time.Duration // how long it has been running, at least
	Stack     string        // where it is now; empty if it could not be found
}

func slowLogger(log *slog.Logger) func(Slow) {
	return func(r Slow) {
		log.Warn("nano/scheduler: a call is slow", "scheduler", r.Scheduler, "call", r.Name, "for", r.For, "stack", r.Stack)
	}
}

func panicLogger(log *slog.Logger, scheduler string) func(string, any, []byte) {
	return func(name string, v any, stack []byte) {
		log.Error("nano/scheduler: a call panicked", "scheduler", scheduler, "call", name, "panic", v, "stack", string(stack))
	}
}
