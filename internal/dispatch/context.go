package dispatch

import (
	"context"

	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// callContext is the context of one handler call: that of the session or of the caller, and
// what a handler may ask about its call. It keeps nothing of the call, which is pooled.
type callContext struct {
	context.Context
	table  *Table
	route  *route
	entity Entity
	mid    uint64
	sched  *scheduler.Scheduler // runs the handler; nil: one of the application's own does
}

type callKey struct{}

// Value finds the call, its scheduler, and else what the context around it holds.
func (c *callContext) Value(key any) any {
	switch key {
	case callKey{}:
		return c
	case scheduler.ContextKey{}:
		return c.sched
	}
	return c.Context.Value(key)
}

// callOf returns the call whose handler has the context; nil if it is no handler's.
func callOf(ctx context.Context) *callContext {
	c, _ := ctx.Value(callKey{}).(*callContext)
	return c
}

// OwnerOf returns the Config.Owner of the table whose handler has the context; nil if the
// context is no handler's.
func OwnerOf(ctx context.Context) any {
	if c := callOf(ctx); c != nil {
		return c.table.cfg.Owner
	}
	return nil
}

// CallOf returns what the context of a handler says about its call; ok is false if the context
// is no handler's.
func CallOf(ctx context.Context) (s *session.Session, route string, mid uint64, ok bool) {
	c := callOf(ctx)
	if c == nil {
		return nil, "", 0, false
	}
	return c.entity.Session(), c.route.name, c.mid, true
}

// Await calls wait, and lets the scheduler of its caller run others meanwhile.
//
// The context of a handler says which scheduler that is. A context may also reach a task, a
// timer or a goroutine, and some handlers have none: if it is not the turn of the scheduler in
// ctx, [scheduler.Current] looks for the one that runs the caller. Where there is none, Await
// is wait alone.
//
// After Await, LastMid and Response of a handler's session are those of its call again.
func Await(ctx context.Context, wait func()) {
	c, at := callOf(ctx), scheduler.FromContext(ctx)
	if at == nil || !at.HasTurn() {
		at = scheduler.Current()
	}
	if at == nil {
		wait()
		return
	}
	if c == nil || c.sched != nil && c.sched != at { // no handler's, or a task elsewhere
		at.Await(wait)
		return
	}
	p, ok := c.entity.(Answerer)
	if !ok {
		at.Await(wait)
		return
	}
	answered := p.Answered()
	at.Await(wait)
	p.Return(c.mid, answered)
	if by, ok := moved(c.entity).(Answerer); ok {
		by.Return(c.mid, answered)
	}
}
