// Package dispatch finds the handler of a message and runs it on a scheduler.
//
// A [Table] is made when a node starts, and never changes. The reader of a connection turns what
// one read has brought into a [Batch], and submits it under one lock of the scheduler. Each message
// is decoded (decode.go), becomes a call (call.go), and its handler gets a context (context.go).
package dispatch

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// Config is what [New] needs.
type Config struct {
	Services   []*component.Service
	Scheduler  *scheduler.Scheduler // runs the handlers of components without one of their own
	Serializer serialize.Serializer
	Pipeline   pipeline.Pipeline // may be nil
	Forwarded  pipeline.Func     // sees the messages that Remote gets; may be nil
	Dictionary *codec.Dictionary
	MaxPayload int                                                   // bytes that a gzip payload may have when it is decompressed
	Shape      func(s *session.Session, route string, err error) any // nil: Failure
	// AliasesInput says that Serializer may keep parts of its input, so that each payload is
	// copied.
	AliasesInput bool
	Log          *slog.Logger
	Debug        bool         // log every message
	MessageLog   *slog.Logger // where Debug logs them; nil: Log
	Owner        any          // whose table it is, for OwnerOf
	// Unanswered is how long after its handler has returned a request may be without an answer
	// before that is logged; 0: it is never logged.
	Unanswered time.Duration
	// Elsewhere returns the services of other nodes, for hints in the log. It may be nil.
	Elsewhere func() []string
	// Remote sends messages for which there is no local handler to another node. It may be nil. The
	// message is its own.
	// It ends the span, with the message's outcome.
	Remote func(p Entity, m *codec.Message, span tracing.Span) error
	Tracer tracing.Tracer // nil: nothing is traced
}

// Table maps routes to handlers. Safe for concurrent use.
type Table struct {
	cfg     Config
	routes  map[string]*route
	inbound pipeline.Channel // nil when no filter can be in it

	forwarded pipeline.Channel // of messages that go to another node

	unrouted   messages      // those without a handler here
	ignored    atomic.Uint64 // messages of types that only a server sends
	unsummed   unsummed
	unanswered unanswered
	spans      Spans
}

// route is one handler with all that a call needs.
type route struct {
	name    string
	handler *component.Handler
	sched   scheduler.LocalScheduler // nil: the session's value byName
	main    *scheduler.Scheduler     // sched, when batches can be submitted to it
	byName  string
	silent  *atomic.Bool // it was told that a request had no answer
	figures *figures
}

// ServiceOf returns the service of a route: the part before its last dot.
func ServiceOf(route string) (string, error) {
	if i := strings.LastIndexByte(route, '.'); i > 0 {
		return route[:i], nil
	}
	return "", component.Errorf(component.CodeInvalid, "route %q is not Service.Method", route)
}

// service returns the service of the route; New has made its name.
func (r *route) service() string {
	service, _ := ServiceOf(r.name)
	return service
}

// check refuses a client's message to a handler that is for nodes.
func (r *route) check(p Entity) error {
	if !r.handler.NodesOnly {
		return nil
	}
	if _, ok := p.(CallingNode); ok {
		return nil
	}
	return component.Errorf(component.CodeRefused, "route %q is for nodes only", r.name)
}

// New makes a table and checks it.
func New(cfg Config) (*Table, error) {
	t := &Table{cfg: cfg, routes: make(map[string]*route)}
	t.unanswered.after, t.unanswered.log = cfg.Unanswered, cfg.Log
	t.spans = Spans{tracer: cfg.Tracer, log: cfg.Log, routes: t.routes}
	t.cfg.MessageLog = cmp.Or(cfg.MessageLog, cfg.Log)
	if cfg.Pipeline != nil {
		t.inbound = cfg.Pipeline.Inbound()
	}
	t.forwarded = pipeline.New().Inbound()
	t.forwarded.PushBack(cfg.Forwarded)
	var errs []error
	for _, svc := range cfg.Services {
		r := route{sched: cfg.Scheduler, byName: svc.SchedName}
		if svc.Scheduler != nil {
			r.sched = svc.Scheduler
		}
		if r.byName != "" {
			if svc.Scheduler != nil {
				errs = append(errs, fmt.Errorf("dispatch: component %s: WithScheduler and WithSchedulerName(%q) contradict each other", svc.Name, r.byName))
			}
			r.sched = nil
		}
		r.main, _ = r.sched.(*scheduler.Scheduler)
		for name, h := range svc.Handlers {
			rt := r
			rt.name, rt.handler, rt.silent, rt.figures = svc.Name+"."+name, h, new(atomic.Bool), new(figures)
			if len(rt.name) > 255 {
				errs = append(errs, fmt.Errorf("dispatch: route %.40s... has %d bytes: a route is at most 255 bytes long", rt.name, len(rt.name)))
			}
			t.routes[rt.name] = &rt
		}
	}
	return t, errors.Join(errs...)
}

// Before runs task before the calls of a route that are added for p from now on, if they do not run
// on the node's scheduler.
func (t *Table) Before(p Entity, route []byte, task scheduler.Task) {
	r := t.routes[string(route)]
	if r == nil || r.main != nil && r.main == t.cfg.Scheduler {
		return
	}
	if l, ok := p.(Laned); ok {
		main := r.main
		if r.sched == nil {
			main, _ = p.Session().Value(r.byName).(*scheduler.Scheduler)
		}
		if main != nil {
			main.PushTaskTo(l.Lane(), task)
			return
		}
	}
	local, err := r.local(p)
	if err == nil {
		err = r.place(local, task)
	}
	if err != nil {
		t.cfg.Log.Debug("task before a call dropped", "route", r.name, "err", err) // and so is the call
	}
}

// Has reports whether a handler of this node serves the route.
func (t *Table) Has(route string) bool { return t.routes[route] != nil }

// Spans returns the tracer of the node.
func (t *Table) Spans() *Spans { return &t.spans }

// Begin returns an empty batch; Submit gives it back.
func (t *Table) Begin() *Batch {
	b := batches.Get().(*Batch)
	b.table = t
	return b
}

// BeginMetered returns an empty batch that never waits for a full scheduler: its senders bound what
// they send, as meters tell them.
func (t *Table) BeginMetered() *Batch {
	b := t.Begin()
	b.posts = true
	return b
}

// Answered notes that request mid of p has its answer. It is called for each answer.
func (t *Table) Answered(p Entity, mid uint64) { t.unanswered.answered(p, mid) }

// Close ends the watch over requests that have no answer.
func (t *Table) Close() { t.unanswered.close() }

// SettlesAtEndOfBatch says that the node's scheduler calls Settle at the end of each batch. It is
// called before there are messages.
func (t *Table) SettlesAtEndOfBatch() { t.unsummed.by = t.cfg.Scheduler }

// Settle adds up the times of the calls that the node's scheduler has run since it was called last.
// So the sums cost a batch what they would else cost each call.
func (t *Table) Settle() { t.unsummed.settle() }

// Totals are the counts of all routes together.
type Totals struct{ Requests, Notifies, Failed, Ignored uint64 }

// Totals returns the counts of all routes together.
func (t *Table) Totals() Totals {
	all := Totals{Ignored: t.ignored.Load()}
	add := func(m *messages) {
		all.Requests += m.requests.Load()
		all.Notifies += m.notifies.Load()
		all.Failed += m.errors.Total()
	}
	for _, r := range t.routes {
		add(&r.figures.messages)
	}
	add(&t.unrouted)
	return all
}

// Figures fills in what the table has counted.
func (t *Table) Figures(s *metrics.Snapshot) {
	s.Routes = make([]metrics.Route, 0, len(t.routes))
	for name, r := range t.routes {
		s.Routes = append(s.Routes, r.figures.snapshot(name))
	}
	slices.SortFunc(s.Routes, func(a, b metrics.Route) int { return cmp.Compare(a.Name, b.Name) })
	s.Elsewhere, s.Ignored = t.unrouted.snapshot(), t.ignored.Load()
}

// of returns the counts of a route, which is nil for one that the node has no handler for.
func (t *Table) of(r *route) *messages {
	if r == nil {
		return &t.unrouted
	}
	return &r.figures.messages
}
