package dispatch

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lonng/nano/tracing"
)

// callTrace is what a node with a tracer knows of a call beside the rest.
type callTrace struct {
	received time.Time
	parent   []byte // the carrier that came with the message
	span     tracing.Span
	started  bool // with a Context only: it has ended elsewhere
}

// Spans is the tracer of a node, if it has one. Its methods are safe for concurrent use.
type Spans struct {
	tracer tracing.Tracer // nil: nothing is traced
	log    *slog.Logger
	routes map[string]*route
}

// On tells whether the node has a tracer.
func (t *Spans) On() bool { return t.tracer != nil }

// Start begins a span. Its Context is never nil: without a tracer it is ctx, and all else is zero.
func (t *Spans) Start(ctx context.Context, op tracing.Operation) (span tracing.Span) {
	if t.tracer == nil {
		return tracing.Span{Context: ctx}
	}
	defer func() {
		if v := recover(); v != nil {
			t.log.Error("tracer panicked", "route", op.Route, "panic", v, "stack", string(debug.Stack()))
			span = tracing.Span{Context: ctx}
		}
	}()
	op.Known = t.routes[op.Route] != nil
	span = t.tracer.Start(ctx, op)
	if span.Context == nil {
		span.Context = ctx
	}
	if len(span.Carrier) > tracing.MaxCarrier {
		span.Carrier = nil
	}
	return span
}

// End ends a span. Who has it calls this once.
func (t *Spans) End(span tracing.Span, err error) {
	if span.End == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			t.log.Error("tracer panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if err != nil {
		err = withCode(err)
	}
	span.End(err)
}

// traced has a call traced, if there is a tracer. parent is borrowed.
func (c *call) traced(parent []byte) {
	if c.table.spans.On() {
		c.trace = &callTrace{received: time.Now(), parent: slices.Clone(parent)}
	}
}

// begin begins the span of a call, and returns ctx with it.
func (c *call) begin(ctx context.Context) context.Context {
	if c.trace == nil {
		return ctx
	}
	if c.trace.started { // it was on its way to another node before
		return c.trace.span.Context
	}
	c.trace.started = true
	_, node := c.entity.(CallingNode)
	c.trace.span = c.table.spans.Start(ctx, tracing.Operation{
		Kind: tracing.Handle, Route: c.routeName(), Request: c.mid != 0, Nodes: node, Session: c.entity.Session(),
		Received: c.trace.received, Parent: c.trace.parent,
	})
	return c.trace.span.Context
}

// finish ends the span of a call. The first outcome is that of the call.
func (c *call) finish(err error) {
	if c.trace == nil {
		return
	}
	c.table.spans.End(c.trace.span, err)
	c.trace.span.End = nil
}
