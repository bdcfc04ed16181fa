package otelnano

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/tracing"
)

// end ends the span of an operation.
func end(span trace.Span, op *tracing.Operation, err error) {
	defer span.End()
	code := codeOf(err)
	if op.Kind == tracing.Forward && op.Request && !unanswered(code) {
		span.SetName(op.Route) // a handler has answered: there is such a route
		span.SetAttributes(semconv.RPCMethod(op.Route))
	}
	if err == nil {
		return
	}
	span.SetAttributes(semconv.RPCResponseStatusCode(code), semconv.ErrorTypeKey.String(code))
	if kind := kindOf(op); kind != trace.SpanKindServer && kind != trace.SpanKindConsumer || serverFails(code) {
		span.SetStatus(codes.Error, err.Error())
	}
}

// codeCanceled is the code of a context that was cancelled, which clients do not see.
const codeCanceled = "canceled"

// codeOf returns the code that clients see of an error; "" for none.
func codeOf(err error) string {
	var e *component.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return component.CodeDeadline
	case errors.Is(err, context.Canceled):
		return codeCanceled
	}
	return component.CodeInternal
}

// unanswered tells whether a code may mean that no handler has answered.
func unanswered(code string) bool {
	switch code {
	case component.CodeNotFound, component.CodeUnavailable, component.CodeDeadline, component.CodeExhausted, codeCanceled:
		return true
	}
	return false
}

// serverFails tells whether a code says that the server has failed, and not that the client has
// asked for what it cannot have.
func serverFails(code string) bool {
	switch code {
	case component.CodeInternal, component.CodeUnavailable, component.CodeDeadline:
		return true
	}
	return false
}
