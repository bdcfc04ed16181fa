package otelnano

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// Trace context is text between nodes: a line key=value for each entry that the propagator sets.

// clientKey is the session value that holds the trace context of a client, in that form.
const clientKey = "nano.trace"

// inject returns the trace context of ctx.
func (t *Tracer) inject(ctx context.Context) []byte {
	entries := propagation.MapCarrier{}
	t.propagator.Inject(ctx, entries)
	return []byte(encode(entries))
}

// encode leaves out what does not fit.
func encode(entries map[string]string) string {
	var b strings.Builder
	for _, key := range slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		return len(entries[a]) - len(entries[b])
	}) {
		value := entries[key]
		if strings.ContainsAny(key, "=\n") || strings.Contains(value, "\n") || b.Len()+len(key)+len(value)+2 > tracing.MaxCarrier {
			continue
		}
		b.WriteString(key)
		b.WriteByte('=')
		b.WriteString(value)
		b.WriteByte('\n')
	}
	return b.String()
}

// extract returns ctx with the trace context that another node or a client has sent, and without a
// span of its own.
func (t *Tracer) extract(ctx context.Context, text string) context.Context {
	entries := propagation.MapCarrier{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			entries[key] = value
		}
	}
	return t.propagator.Extract(trace.ContextWithSpanContext(ctx, trace.SpanContext{}), entries)
}

// said returns the trace context of a client: from the "sys" part of its handshake, the "user"
// part, or the header of the request that was upgraded. It is empty unless it is valid.
func (t *Tracer) said(h *session.Handshake) string {
	entries := make(map[string]string)
	if h.Request != nil {
		for _, key := range t.propagator.Fields() {
			if v := h.Request.Header.Get(key); v != "" {
				entries[key] = v
			}
		}
	}
	t.saidInBody(h.Payload, entries)
	if len(entries) == 0 {
		return ""
	}
	text := encode(entries)
	if !trace.SpanContextFromContext(t.extract(context.Background(), text)).IsValid() {
		return ""
	}
	return text
}

// saidInBody adds what the body of a handshake says. Most bodies say nothing, and are not parsed.
func (t *Tracer) saidInBody(body []byte, entries map[string]string) {
	if !slices.ContainsFunc(t.propagator.Fields(), func(key string) bool { return bytes.Contains(body, []byte(key)) }) {
		return
	}
	var said struct {
		Sys, User json.RawMessage
	}
	if json.Unmarshal(body, &said) != nil {
		return
	}
	for _, part := range []json.RawMessage{said.User, said.Sys} { // the latter wins
		var values map[string]any
		if json.Unmarshal(part, &values) != nil {
			continue
		}
		for _, key := range t.propagator.Fields() {
			if v, ok := values[key].(string); ok && v != "" {
				entries[key] = v
			}
		}
	}
}
