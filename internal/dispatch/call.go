package dispatch

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/tracing"
)

// call is one handler call on its way through a scheduler. Calls are pooled: nothing may keep one.
// Its file holds all that happens to it: it is made, scheduled, run and answered.
type call struct {
	table  *Table
	route  *route
	entity Entity
	mid    uint64
	arg    any
	raw    []byte
	sched  *scheduler.Scheduler // runs the call; nil: one of the application's own does
	meter  Meter                // nil, or to be told that the call has left the queue
	cost   int
	size   int    // bytes of the payload
	err    error  // not nil: the message was refused; this is its answer, in order with the others
	name   string // of the route, where there is no route
	trace  *callTrace

	came  time.Duration // when it was given to its scheduler, by scheduler.Clock
	began time.Duration // when its handler began
	times *times        // not nil: it has begun
}

var calls = sync.Pool{New: func() any { return new(call) }}

// Name returns the route, for the scheduler's reports.
func (c *call) Name() string {
	if c.route == nil {
		return "message refused"
	}
	return c.route.name
}

// Size is how many bytes the call holds while it waits: a decoded argument is about as large as its
// payload.
func (c *call) Size() int { return c.size }

// errNoRoom is for messages of other nodes, which nobody can have wait.
var errNoRoom error = component.Errorf(component.CodeExhausted, "too much waits for the handlers of this node")

// Refuse drops what the call holds. It runs in its turn, to answer.
func (c *call) Refuse() {
	if c.err == nil {
		c.err, c.name = errNoRoom, c.route.name
		c.arg, c.raw, c.size = nil, nil, 0
	}
}

// Came returns when the call was given to its scheduler.
func (c *call) Came() time.Duration { return c.came }

// Run calls the handler and answers. A scheduler runs it.
func (c *call) Run() {
	defer c.end()
	c.spend()
	if c.err != nil {
		c.entity.Enter(c.mid)
		c.refuse()
		return
	}
	s := c.entity.Session()
	h := c.route.handler
	if p, ok := c.entity.(CallingNode); ok && p.Over() {
		c.fail(c.begin(context.Background()), component.Errorf(component.CodeDeadline, "nobody waits for the answer any more"))
		return
	}
	c.startClock()
	enter(c.entity, c.mid)
	ctx := context.Background()
	awaited := false
	if h.NeedsContext {
		var p CallingNode
		if p, awaited = c.entity.(CallingNode); awaited {
			var returned func()
			ctx, returned = p.Begin()
			defer returned()
		} else {
			ctx = s.Context()
		}
	}
	ctx = c.begin(ctx)
	if h.NeedsContext {
		ctx = &callContext{Context: ctx, table: c.table, route: c.route, entity: c.entity, mid: c.mid, sched: c.sched}
	}
	reply, err := h.Call(ctx, s, c.arg, c.raw)
	switch {
	case err != nil:
		if awaited && ctx.Err() != nil && errors.Is(err, ctx.Err()) { // nobody's fault here
			err = component.Errorf(component.CodeDeadline, "nobody waits for the answer any more: %w", err)
		}
		c.fail(ctx, err)
	case h.HasReply && c.mid != 0:
		if hasAnswered(c.entity, c.mid) {
			return // the handler has answered by itself
		}
		if reply == nil {
			reply = reflect.Zero(h.Reply).Interface()
		}
		if err := c.entity.ResponseMid(c.mid, reply); err != nil {
			c.fail(ctx, fmt.Errorf("dispatch: answer with %T: %w", reply, err))
		}
	case c.mid != 0:
		c.table.unanswered.watch(c.entity, c.mid, c.route)
	}
}

// end recovers from a panic of the handler, or of the logger, which costs this call only, and frees
// the call.
func (c *call) end() {
	if v := recover(); v != nil {
		c.table.cfg.Log.Error("handler panicked",
			"route", c.routeName(), "panic", v, "stack", string(debug.Stack()))
		if c.route != nil {
			c.route.figures.panics.Add(1)
		}
		c.fail(context.Background(), component.Errorf(component.CodeInternal, "internal error"))
	}
	c.stopClock()
	c.finish(nil)
	c.free()
}

// fail answers with the error of the call. ctx is the handler's.
func (c *call) fail(ctx context.Context, err error) {
	c.table.fail(ctx, c.entity, c.mid, c.routeName(), err)
	c.finish(err)
}

// refuse answers a message that was refused.
func (c *call) refuse() {
	c.table.refuse(c.begin(context.Background()), c.entity, c.mid, c.routeName(), c.err)
	c.finish(c.err)
}

// routeName returns the route that the message names, whether there is one or not.
func (c *call) routeName() string {
	if c.route == nil {
		return c.name
	}
	return c.route.name
}

// spend tells the meter, once.
func (c *call) spend() {
	if m := c.meter; m != nil {
		c.meter = nil
		m.Spent(c.cost)
	}
}

// elsewhere serves a message that no local handler has. It returns the
// message's trace: nil if it has none.
func (t *Table) elsewhere(p Entity, m *codec.Message) (*callTrace, error) {
	if !t.goesOn(p) {
		return nil, component.Errorf(component.CodeNotFound, "no handler for route %q", m.Route)
	}
	if !t.spans.On() {
		return nil, t.cfg.Remote(p, m, tracing.Span{})
	}
	span := t.spans.Start(context.Background(), tracing.Operation{
		Kind: tracing.Forward, Route: m.Route, Request: m.Type == codec.Request && m.ID != 0, Session: p.Session(),
	})
	return &callTrace{span: tracing.Span{Context: span.Context}, started: true}, t.cfg.Remote(p, m, span)
}

// goesOn reports whether a message of p that no local handler has goes to another node.
func (t *Table) goesOn(p Entity) bool {
	_, sent := p.(Sent) // or two nodes without the handler would send it to and fro
	return t.cfg.Remote != nil && !sent
}

// schedule gives a call to the scheduler of its route. With an error the call is not given back
// to the pool: a scheduler that panicked may have kept it.
func (c *call) schedule() error {
	local, err := c.route.local(c.entity)
	if err != nil {
		return err
	}
	c.sched, _ = local.(*scheduler.Scheduler)
	c.came = scheduler.Clock()
	return c.route.place(local, c.Run)
}

// place gives a task to a scheduler, which may be the application's own and panic.
func (r *route) place(on scheduler.LocalScheduler, task scheduler.Task) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("dispatch: the scheduler of %s panicked: %v", r.name, v)
		}
	}()
	on.Schedule(task)
	return nil
}

// local returns the scheduler that runs the route's calls for p's session.
func (r *route) local(p Entity) (scheduler.LocalScheduler, error) {
	if r.sched != nil {
		return r.sched, nil
	}
	v := p.Session().Value(r.byName)
	if l, ok := v.(scheduler.LocalScheduler); ok {
		return l, nil
	}
	public := component.Errorf(component.CodeNotFound, "the session has no scheduler for %s", r.service())
	if v == nil { // a client may send anything at any time: before it is in a room, say
		return nil, fmt.Errorf("dispatch: WithSchedulerName(%q): the session has no such value: %w", r.byName, public)
	}
	return nil, fmt.Errorf("dispatch: WithSchedulerName(%q): the session's value is a %T, not a scheduler.LocalScheduler: %w",
		r.byName, v, public)
}

// prepare makes the call with its argument. data is borrowed.
func (t *Table) prepare(p Entity, r *route, mid uint64, data []byte) (*call, error) {
	c := calls.Get().(*call)
	*c = call{table: t, route: r, entity: p, mid: mid, size: len(data)}
	if r.handler.IsRawArg {
		c.raw = append(make([]byte, 0, len(data)), data...)
		return c, nil
	}
	arg, err := t.unmarshal(r, data)
	if err != nil {
		c.free()
		return nil, err
	}
	c.arg = arg
	return c, nil
}

func (c *call) free() {
	c.spend()
	*c = call{}
	calls.Put(c)
}

// Notify calls the handler of a route in the name of p's session, on this node or another. It never
// waits, so handlers may call it.
func (t *Table) Notify(p Entity, name string, data []byte) error {
	if t.Has(name) || t.cfg.Remote == nil {
		return t.Schedule(p, codec.View{Type: codec.Notify, Route: []byte(name), Data: data}, nil)
	}
	return t.cfg.Remote(p, &codec.Message{Type: codec.Notify, Route: name, Data: data}, tracing.Span{})
}

// Schedule calls the local handler of a message, without filters. It never waits. trace is the
// carrier of the span that the call belongs to.
func (t *Table) Schedule(p Entity, v codec.View, trace []byte) error {
	r := t.routes[string(v.Route)]
	if r == nil {
		return component.Errorf(component.CodeNotFound, "no handler for route %q", v.Route)
	}
	if err := r.check(p); err != nil {
		return err
	}
	r.figures.count(v.Type == codec.Request)
	if v.Type == codec.Notify {
		v.ID = 0
	}
	c, err := t.prepare(p, r, v.ID, v.Data)
	if err != nil {
		return err
	}
	c.traced(trace)
	return c.schedule()
}

// closed returns the error for a call that its scheduler has not taken: a room's may end at any
// time.
func (t *Table) closed(r *route, by *scheduler.Scheduler, err error) error {
	if by == t.cfg.Scheduler {
		return component.Errorf(component.CodeUnavailable, "the node is shutting down: %w", err)
	}
	public := component.Errorf(component.CodeUnavailable, "the scheduler of %s is closed", r.service())
	return fmt.Errorf("%w: %w", public, err)
}
