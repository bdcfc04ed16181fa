package nano

import (
	"log/slog"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// The policies of [WithBindPolicy].
const (
	BindKeepBoth  = session.BindKeepBoth  // both sessions stay, as in v0.5: the default
	BindKickOld   = session.BindKickOld   // the old session is kicked with the reason "signed in elsewhere"
	BindRefuseNew = session.BindRefuseNew // the new session's Bind returns session.ErrUIDTaken
)

// WithComponents sets the components that the node runs. Default: none.
func WithComponents(components *component.Components) Option {
	return func(o *cluster.Options) { o.Components = components }
}

// WithPipeline sets the filters of inbound and outbound messages. In a cluster, inbound filters run
// on the node that has the handler, and outbound filters on the client's gate. Default: none.
func WithPipeline(pipeline pipeline.Pipeline) Option {
	return func(o *cluster.Options) { o.Pipeline = pipeline }
}

// WithForwardFilter sets a filter of the messages that clients of this gate send to handlers of
// other nodes, which the filters of [WithPipeline] see there. It may refuse or change a message. The
// node is chosen afterwards, so the filter may decide by [session.Session.Router]. Default: none.
func WithForwardFilter(filter pipeline.Func) Option {
	return func(o *cluster.Options) { o.ForwardFilter = filter }
}

// WithSerializer sets the format of payloads. Default: protobuf.
func WithSerializer(serializer serialize.Serializer) Option {
	return func(o *cluster.Options) { o.Serializer = serializer }
}

// WithDictionary sets routes that are sent as two bytes. Clients learn them from the handshake. It
// may be used more than once, and adds routes. Default: none.
func WithDictionary(dict map[string]uint16) Option {
	return func(o *cluster.Options) {
		if o.Dictionary == nil {
			o.Dictionary = make(map[string]uint16, len(dict))
		}
		for route, code := range dict {
			o.Dictionary[route] = code
		}
	}
}

// WithScheduler sets the scheduler that runs the handlers. The node does not configure it, and
// starts it if it does not run yet. Close it after the node has stopped. Default: one of the node's
// own with New, scheduler.Default with Listen.
func WithScheduler(s *scheduler.Scheduler) Option {
	return func(o *cluster.Options) { o.Scheduler = s }
}

// WithLifetime sets the hooks that are told of the sessions. Default: the application's own with
// New (see [App.Lifetime]), session.Lifetime with Listen.
func WithLifetime(l *session.Lifetimes) Option {
	return func(o *cluster.Options) { o.Lifetime = l }
}

// WithProcessDefaults uses the default instances of v0.5 with New, as Listen does:
// scheduler.Default, session.Lifetime, service.Connections and http.DefaultServeMux. It helps to
// move a program from Listen to New step by step. One application at a time can use them. Default:
// New makes instances of its own.
func WithProcessDefaults() Option {
	return func(o *cluster.Options) {
		o.Scheduler, o.Lifetime = scheduler.Default(), session.Lifetime
		o.Connections = service.Connections
		if o.Pages == nil {
			o.Pages = http.DefaultServeMux
		}
	}
}

// WithBindPolicy sets what Bind does when another session has the user: [BindKeepBoth],
// [BindKickOld] or [BindRefuseNew]. Default: BindKeepBoth.
func WithBindPolicy(p session.BindPolicy) Option {
	return func(o *cluster.Options) { o.BindPolicy = p }
}

// WithSessionCalls sets how many handlers of one session may wait at a time, in a [Call] or in what
// else they give to [scheduler.Scheduler.Await]. While there are as many, the other messages of the
// session stay in its queue, and once that is full its client is not read: a client that floods a
// slow route costs no more goroutines than that. A handler that has returned does not count,
// whether or not it has answered. The number holds for each scheduler, on a backend as on a gate.
// Default: 256.
func WithSessionCalls(n int) Option {
	return func(o *cluster.Options) { o.SessionCalls = n }
}

// WithWaitingCalls sets how many handlers of all sessions may wait on one scheduler of the node at
// a time; see [WithSessionCalls]. Beyond it, a session that has a waiting handler starts no other,
// and one that has none starts one. Handlers that other nodes call, tasks and timers count, and are
// never held back. Default: 16,384.
func WithWaitingCalls(n int) Option {
	return func(o *cluster.Options) { o.WaitingCalls = n }
}

// WithSlowHandler sets the time after which a handler that is still running is logged, with its
// route and stack. Negative: never. Default: 1 s.
func WithSlowHandler(d time.Duration) Option {
	return func(o *cluster.Options) { o.SlowHandler = d }
}

// WithUnanswered sets the time after which a request is logged whose handler has returned without
// an answer, if nobody has answered it since. Each route is logged once. Negative: never. Default:
// 10 s.
func WithUnanswered(d time.Duration) Option {
	return func(o *cluster.Options) { o.Unanswered = d }
}

// WithTimerPrecision sets how often the conditions of scheduler.NewCondTimer are checked; at least
// 1 ms. Timers with an interval are precise to 1 ms whatever it is. Default: 1 s.
func WithTimerPrecision(precision time.Duration) Option {
	return func(o *cluster.Options) {
		o.TimerPrecision = precision
		if precision == 0 { // in the field, the default
			complain(o, "WithTimerPrecision: 0s is less than a millisecond: set at least that, or leave the option out for a second")
		}
	}
}

// WithShutdownTimeout sets how long the shutdown at the end of Run and Listen may take.
// [App.Shutdown] has a context instead. Default: 15 s.
func WithShutdownTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.ShutdownTimeout = d }
}

// WithSignals ends Run on these signals; without arguments, on SIGINT and SIGTERM. Default: none;
// Listen always ends on SIGINT, SIGQUIT and SIGTERM.
func WithSignals(signals ...os.Signal) Option {
	if len(signals) == 0 {
		signals = []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	}
	return func(o *cluster.Options) { o.Signals = signals }
}

// Drain says how a node is drained.
type Drain = cluster.Drain

// WithDrain has Run drain the node before it shuts it down, when one of the signals of the [Drain]
// arrives: see [App.Drain]. The node then ends when no session is left, after the timeout, or at
// the next signal. It also sets over how long App.Drain spreads what it asks of clients. Default:
// Run shuts down at once; SIGTERM, 30 s and 3 s in a Drain that does not say.
func WithDrain(d Drain) Option {
	return func(o *cluster.Options) { o.Drain = &d }
}

// WithSlog sets the logger of the node. Default: slog.Default.
func WithSlog(l *slog.Logger) Option {
	return func(o *cluster.Options) { o.Slog = l }
}

// WithLogger sets a logger of v0.5 for the node: any value with the three methods. Only Println is
// called. [WithSlog] comes first if both are set. Default: slog.Default.
//
// Deprecated: use [WithSlog].
func WithLogger(l cluster.Logger) Option {
	return func(o *cluster.Options) { o.Logger = l }
}

// WithTracer sets the tracer that is told of each message, handler, and call between nodes;
// contrib/otel has one for OpenTelemetry. A trace goes on at the next node, where that has a tracer
// too, with client's messages and with [Call] and [Notify]; nodes of v0.5 get none of it. Without a
// tracer, no message has a byte more. Default: none.
func WithTracer(t tracing.Tracer) Option {
	return func(o *cluster.Options) { o.Tracer = t }
}

// WithDebugMode logs every message, at the level debug. Default: off.
func WithDebugMode() Option {
	return func(o *cluster.Options) { o.Debug = true }
}
