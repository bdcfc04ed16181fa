package otelnano

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// scope names the instrumentation.
const scope = "github.com/lonng/nano/contrib/otel"

// Tracer is a tracer for nano.WithTracer. One may serve several nodes. The methods may be called
// concurrently; the node calls them.
type Tracer struct {
	tracer       trace.Tracer
	propagator   propagation.TextMapPropagator
	clientParent bool
}

var _ tracing.Greeter = (*Tracer)(nil)

// Option sets something of a [Tracer].
type Option func(*config)

type config struct {
	provider     trace.TracerProvider
	propagator   propagation.TextMapPropagator
	clientParent bool
}

// WithTracerProvider sets where the spans go. It decides what is sampled: with a ParentBased
// sampler, the node at which a trace begins decides for all. Default: otel.GetTracerProvider when
// NewTracer is called.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *config) { c.provider = p }
}

// WithPropagator sets how trace context is written, between nodes and by clients. All nodes need
// the same. What does not fit into tracing.MaxCarrier bytes is left out, the largest entries of a
// baggage for instance. Default: propagation.TraceContext, which is W3C trace context.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagator = p }
}

// WithClientParent makes the spans of a client's messages children of the span whose context the
// client has sent in its handshake, and so parts of its trace. Use it for clients that are yours,
// as in a test: the client decides what is sampled if the sampler follows the parent. Default: the
// spans have links to that span, and each message begins a trace.
func WithClientParent() Option {
	return func(c *config) { c.clientParent = true }
}

// NewTracer returns a tracer. Nil arguments of options mean the default.
func NewTracer(opts ...Option) *Tracer {
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	if c.provider == nil {
		c.provider = otel.GetTracerProvider()
	}
	if c.propagator == nil {
		c.propagator = propagation.TraceContext{}
	}
	return &Tracer{
		tracer:       c.provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator:   c.propagator,
		clientParent: c.clientParent,
	}
}

// forwarding names the span of a message whose route only another node knows. A client chooses that
// text, and names of spans are to be few: the answer tells whether there is such a route.
const forwarding = "forward"

// unknown is the method of a route that nobody has, as the conventions want it.
const unknown = "_OTHER"

// Start begins a span. See [tracing.Tracer].
func (t *Tracer) Start(ctx context.Context, op tracing.Operation) tracing.Span {
	opts := make([]trace.SpanStartOption, 0, 4)
	ctx, link := t.parent(ctx, &op)
	if link.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: link}))
	}
	name, attrs := describe(&op)
	if !op.Received.IsZero() {
		attrs = append(attrs, attribute.Float64("nano.wait.duration", time.Since(op.Received).Seconds()))
		opts = append(opts, trace.WithTimestamp(op.Received))
	}
	opts = append(opts, trace.WithSpanKind(kindOf(&op)), trace.WithAttributes(attrs...))
	ctx, span := t.tracer.Start(ctx, name, opts...)
	out := tracing.Span{Context: ctx}
	if op.Kind != tracing.Handle {
		out.Carrier = t.inject(ctx)
	}
	if span.IsRecording() {
		out.End = func(err error) { end(span, &op, err) }
	}
	return out
}

// parent returns the context with the span's parent, and what the span has a link to.
func (t *Tracer) parent(ctx context.Context, op *tracing.Operation) (_ context.Context, link trace.SpanContext) {
	if len(op.Parent) > 0 {
		return t.extract(ctx, string(op.Parent)), link
	}
	if op.Session == nil || op.Nodes {
		return ctx, link
	}
	said, _ := op.Session.Value(clientKey).(string)
	if said == "" {
		return ctx, link
	}
	client := t.extract(ctx, said)
	if t.clientParent {
		return client, link
	}
	return ctx, trace.SpanContextFromContext(client)
}

// describe returns the name of an operation's span, and its attributes. op.Parent is not kept.
func describe(op *tracing.Operation) (name string, attrs []attribute.KeyValue) {
	op.Parent = nil
	attrs = make([]attribute.KeyValue, 0, 5)
	attrs = append(attrs, semconv.RPCSystemNameKey.String("nano"))
	switch {
	case op.Kind == tracing.Forward:
		name = forwarding
		attrs = append(attrs, semconv.RPCMethod(unknown), semconv.RPCMethodOriginal(op.Route))
	case op.Kind == tracing.Handle && !op.Known:
		name = unknown
		attrs = append(attrs, semconv.RPCMethod(unknown), semconv.RPCMethodOriginal(op.Route))
	default:
		name = op.Route
		attrs = append(attrs, semconv.RPCMethod(op.Route))
	}
	if op.Session != nil && op.Session.ID() != 0 {
		attrs = append(attrs, attribute.Int64("nano.session.id", op.Session.ID()))
	}
	return name, attrs
}

func kindOf(op *tracing.Operation) trace.SpanKind {
	switch {
	case op.Kind == tracing.Call:
		return trace.SpanKindClient
	case op.Kind == tracing.Notify:
		return trace.SpanKindProducer
	case op.Kind == tracing.Handle && op.Nodes && !op.Request:
		return trace.SpanKindConsumer
	}
	return trace.SpanKindServer
}

// Handshake keeps the trace context that a client sends in its handshake. See [tracing.Greeter].
func (t *Tracer) Handshake(s *session.Session, h *session.Handshake) {
	if said := t.said(h); said != "" {
		s.Set(clientKey, said)
	}
}
