package dispatch

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// call is one handler call on its way through a scheduler. Calls are pooled: nothing may keep one.
type call struct {
	table *Table
	route *route
	peer  Peer
	mid   uint64
	arg   any
	raw   []byte
	meter Meter // nil, or to be told that the call has left the queue
	cost  int
	err   error  // not nil: the message was refused, and this is its answer, in the order of the others
	name  string // of the route, where there is no route
}

// Meter is told when messages that were counted somewhere have left the queue: cost bytes of them. It is called from any
// goroutine.
type Meter interface{ Spent(cost int) }

var calls = sync.Pool{New: func() any { return new(call) }}

// Name is the route, for the scheduler's reports.
func (c *call) Name() string {
	if c.route == nil {
		return "message refused"
	}
	return c.route.name
}

// Run calls the handler and answers. It is what a scheduler runs.
func (c *call) Run() {
	defer c.end()
	c.spend()
	if c.err != nil {
		c.peer.Enter(c.mid)
		c.table.refuse(c.peer, c.mid, c.name, c.err)
		return
	}
	s := c.peer.Session()
	h := c.route.handler
	if p, ok := c.peer.(Awaited); ok && p.Over() {
		c.table.fail(c.peer, c.mid, c.route.name, component.Errorf(component.CodeDeadline, "nobody waits for the answer any more"))
		return
	}
	c.peer.Enter(c.mid)
	ctx := context.Background()
	awaited := false
	if h.NeedsContext {
		var p Awaited
		if p, awaited = c.peer.(Awaited); awaited {
			var returned func()
			ctx, returned = p.Begin()
			defer returned()
		} else {
			ctx = s.Context()
		}
		ctx = &callContext{Context: ctx, table: c.table, route: c.route, peer: c.peer, session: s, mid: c.mid}
	}
	reply, err := h.Call(ctx, s, c.arg, c.raw)
	switch {
	case err != nil:
		if awaited && ctx.Err() != nil && errors.Is(err, ctx.Err()) { // nobody's fault here
			err = component.Errorf(component.CodeDeadline, "nobody waits for the answer any more: %w", err)
		}
		c.table.fail(c.peer, c.mid, c.route.name, err)
	case h.HasReply && c.mid != 0:
		if reply == nil {
			if a, ok := c.peer.(interface{ Answered() uint64 }); ok && a.Answered() == c.mid {
				return // the handler has answered by itself
			}
			reply = reflect.Zero(h.Reply).Interface()
		}
		if err := c.peer.ResponseMid(c.mid, reply); err != nil {
			c.table.fail(c.peer, c.mid, c.route.name, fmt.Errorf("answer with %T: %w", reply, err))
		}
	case c.mid != 0:
		c.table.watch(c.peer, c.mid, c.route)
	}
}

// end recovers from a panic of the handler, which costs this call only, and gives the call back.
func (c *call) end() {
	if v := recover(); v != nil {
		c.table.cfg.Log.Error("handler panicked", "route", c.route.name, "panic", v, "stack", string(debug.Stack()))
		c.table.fail(c.peer, c.mid, c.route.name, component.Errorf(component.CodeInternal, "internal error"))
	}
	c.free()
}

// spend tells the meter, once.
func (c *call) spend() {
	if m := c.meter; m != nil {
		c.meter = nil
		m.Spent(c.cost)
	}
}

// callContext is a session's context with what a handler may ask about its call.
type callContext struct {
	context.Context
	table   *Table
	route   *route
	peer    Peer
	session *session.Session
	mid     uint64
}

type callKey struct{}

// Value finds the call itself, and else what the session's context holds.
func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// OwnerOf returns the Config.Owner of the table whose handler has the context, nil if it is no handler's.
func OwnerOf(ctx context.Context) any {
	if c, ok := ctx.Value(callKey{}).(*callContext); ok {
		return c.table.cfg.Owner
	}
	return nil
}

// Await calls wait. Called by what a scheduler runs, be it a handler, a task or a timer of any of them, it lets that
// scheduler run other calls meanwhile; after it the LastMid and Response of the session of a handler, whose context ctx
// is then, are again those of its call. A scheduler of the application's own cannot give turns away.
func Await(ctx context.Context, wait func()) {
	at := scheduler.Current()
	if at == nil {
		wait()
		return
	}
	c, ok := ctx.Value(callKey{}).(*callContext)
	if !ok || !c.runsOn(at) {
		at.Await(wait)
		return
	}
	p, ok := c.peer.(interface {
		Answered() uint64
		Return(mid, answered uint64)
	})
	if !ok {
		at.Await(wait)
		return
	}
	answered := p.Answered()
	at.Await(wait)
	p.Return(c.mid, answered)
}

// runsOn tells whether the handler runs on s, if it is what s runs: a task may have the context of a handler that runs
// elsewhere, or ran before.
func (c *callContext) runsOn(s *scheduler.Scheduler) bool {
	at := c.route.sched
	if at == nil {
		at, _ = c.session.Value(c.route.byName).(scheduler.LocalScheduler)
	}
	main, ok := at.(*scheduler.Scheduler)
	return main == s || !ok // one of the application's own may run its calls on s
}

// CallOf returns what a handler's context knows of its call.
func CallOf(ctx context.Context) (s *session.Session, route string, mid uint64, ok bool) {
	c, ok := ctx.Value(callKey{}).(*callContext)
	if !ok {
		return nil, "", 0, false
	}
	return c.session, c.route.name, c.mid, true
}

// isEmpty spares a message's copy when no filter will look at it.
func isEmpty(c any) bool {
	e, ok := c.(interface{ Empty() bool })
	return ok && e.Empty()
}

// filter runs the inbound filters. Those of a Channel of the application's own may panic: that costs this message.
func (t *Table) filter(s *session.Session, m *codec.Message) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &pipeline.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return t.inbound.Process(s, m)
}

// refusal gives an error of a filter the code that says so, unless it has one. Its text is for the log: it was
// not written for clients. A filter that panicked has not refused anything.
func refusal(err error) error {
	var p *pipeline.PanicError
	if errors.As(err, &p) {
		return &crash{"inbound filter", p.Value, p.Stack}
	}
	var e *component.Error
	if errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("%w: %w", component.Errorf(component.CodeRefused, "refused"), err)
}

// find looks a route up without making a string of it when there is a handler.
func (t *Table) find(v codec.View) (*route, string) {
	if v.Compressed {
		name, err := v.RouteString(t.cfg.Dictionary)
		if err != nil {
			return nil, ""
		}
		return t.routes[name], name
	}
	if r := t.routes[string(v.Route)]; r != nil {
		return r, r.name
	}
	return nil, string(v.Route)
}

// payload is the message's data, unpacked if need be. The result may alias what was read.
func (t *Table) payload(v codec.View) ([]byte, error) {
	if !v.Gzip {
		return v.Data, nil
	}
	u := unpackers.Get().(*unpacker)
	defer unpackers.Put(u)
	u.packed.Reset(v.Data)
	defer u.packed.Reset(nil) // a pool keeps nothing of what was read
	if err := u.gzip.Reset(&u.packed); err != nil {
		return nil, component.Errorf(component.CodeInvalid, "payload is marked as gzip and is not: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(&u.gzip, int64(t.cfg.MaxPayload)+1))
	if err != nil {
		return nil, component.Errorf(component.CodeInvalid, "payload does not unpack: %w", err)
	}
	if len(data) > t.cfg.MaxPayload {
		return nil, fmt.Errorf("%w: %w", errBomb, component.Errorf(component.CodeInvalid, "payload unpacks to more than %d bytes", t.cfg.MaxPayload))
	}
	return data, nil
}

// errBomb is the error of a payload that was packed to cost more than it may.
var errBomb = errors.New("gzip bomb")

// unpacker is a gzip reader, which is worth keeping: its tables are 40 KiB.
type unpacker struct {
	packed bytes.Reader
	gzip   gzip.Reader
}

var unpackers = sync.Pool{New: func() any { return new(unpacker) }}

// elsewhere serves a message that no local handler has.
func (t *Table) elsewhere(p Peer, m *codec.Message) error {
	_, sent := p.(Sent)
	if t.cfg.Remote == nil || sent { // two nodes without the handler would send it to each other for good
		return component.Errorf(component.CodeNotFound, "no handler for route %q", m.Route)
	}
	return t.cfg.Remote(p, m)
}

// add makes the call and puts it where it will run.
func (b *Batch) add(p Peer, r *route, mid uint64, data []byte) {
	if err := r.check(p); err != nil {
		b.refuse(p, r, mid, r.name, err)
		return
	}
	c, err := b.table.prepare(p, r, mid, data)
	if err != nil {
		b.refuse(p, r, mid, r.name, err)
		return
	}
	b.put(c, r)
}

// schedule gives a call to a scheduler of the application's. With an error the call is not given back: who
// panicked may have kept it.
func schedule(p Peer, r *route, c *call) error { return place(p, r, c.Run) }

// place gives a task to the scheduler of a route.
func place(p Peer, r *route, task scheduler.Task) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the scheduler of %s panicked: %v", r.name, v)
		}
	}()
	local, err := r.local(p)
	if err == nil {
		local.Schedule(task)
	}
	return err
}

// local is the scheduler that runs the route's calls for p's session.
func (r *route) local(p Peer) (scheduler.LocalScheduler, error) {
	if r.sched != nil {
		return r.sched, nil
	}
	switch l := p.Session().Value(r.byName).(type) {
	case scheduler.LocalScheduler:
		return l, nil
	case nil: // a client may send anything at any time: before it is in a room, say
		return nil, fmt.Errorf("session value %q is not set, which WithSchedulerName asks for: %w", r.byName,
			component.Errorf(component.CodeNotFound, "the session has no scheduler for %s", r.service()))
	default:
		return nil, fmt.Errorf("session value %q is a %T and no scheduler.LocalScheduler, which WithSchedulerName asks for", r.byName, l)
	}
}

// prepare makes the call with its argument. data is borrowed.
func (t *Table) prepare(p Peer, r *route, mid uint64, data []byte) (*call, error) {
	c := calls.Get().(*call)
	*c = call{table: t, route: r, peer: p, mid: mid}
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

// unmarshal makes the handler's argument; a panic of the application's serializer costs this message only.
func (t *Table) unmarshal(r *route, data []byte) (arg any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("serializer panicked on a payload for %s: %v", r.name, v)
		}
	}()
	arg = r.handler.New()
	if t.cfg.AliasesInput {
		data = slices.Clone(data)
	}
	if err := t.cfg.Serializer.Unmarshal(data, arg); err != nil {
		return nil, unreadable(r, err)
	}
	return arg, nil
}

// Notify calls the handler of a route on behalf of p's session, or has the message sent to where there is one.
// It never blocks, so handlers may call it.
func (t *Table) Notify(p Peer, name string, data []byte) error {
	if t.Has(name) || t.cfg.Remote == nil {
		return t.Schedule(p, codec.View{Type: codec.Notify, Route: []byte(name), Data: data})
	}
	return t.cfg.Remote(p, &codec.Message{Type: codec.Notify, Route: name, Data: data})
}

// Schedule calls the local handler of a message, without filters, and without ever blocking.
func (t *Table) Schedule(p Peer, v codec.View) error {
	r := t.routes[string(v.Route)]
	if r == nil {
		return component.Errorf(component.CodeNotFound, "no handler for route %q", v.Route)
	}
	if err := r.check(p); err != nil {
		return err
	}
	if v.Type == codec.Notify {
		v.ID = 0
	}
	c, err := t.prepare(p, r, v.ID, v.Data)
	if err != nil {
		return err
	}
	return schedule(p, r, c)
}

// closed is the error for a call that its scheduler has not taken. A room's may end at any time.
func (t *Table) closed(r *route, by *scheduler.Scheduler, err error) error {
	if by == t.cfg.Scheduler {
		return component.Errorf(component.CodeUnavailable, "the node is shutting down: %w", err)
	}
	return fmt.Errorf("%w: %w", component.Errorf(component.CodeUnavailable, "the scheduler of %s is closed", r.service()), err)
}
