package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/session"
)

// Failure is the payload of a failed request, for clients that accept errors, unless the
// application shapes it otherwise. The names are those of the protocol.
type Failure struct {
	Code  string `json:"code"`
	Error string `json:"error"`
}

// Fail answers request mid of p with an error, as if its handler had returned it.
func (t *Table) Fail(p Entity, mid uint64, route string, err error) {
	t.fail(context.Background(), p, mid, route, err)
}

// Refuse answers request mid of p with an error of the node: no handler answers the request.
func (t *Table) Refuse(p Entity, mid uint64, route string, err error) {
	t.refuse(context.Background(), p, mid, route, err)
}

// fail logs and counts the error of a handler, and answers with it. What a handler tells clients on
// purpose is logged at level debug; an error of the framework that it returned is a warning.
func (t *Table) fail(ctx context.Context, p Entity, mid uint64, route string, err error) {
	level := slog.LevelError
	if e := (*component.Error)(nil); errors.As(err, &e) && e.Code != component.CodeInternal {
		level = slog.LevelDebug
	} else if _, _, ok := fault.Of(err); ok && e == nil {
		level = slog.LevelWarn
	}
	t.log(ctx, level, "message failed", p, mid, route, err)
	t.answer(p, mid, route, err)
}

// refuse ends a message that reaches no handler.
func (t *Table) refuse(ctx context.Context, p Entity, mid uint64, route string, err error) {
	level, event := slog.LevelWarn, "message refused"
	if public(err).Code == component.CodeInternal { // the application's own code has failed on the way
		level, event = slog.LevelError, "message failed"
	}
	t.log(ctx, level, event, p, mid, route, err)
	t.answer(p, mid, route, err)
}

func (t *Table) log(ctx context.Context, level slog.Level, event string, p Entity, mid uint64, route string, err error) {
	s := p.Session()
	attrs := []slog.Attr{
		slog.String("route", route), slog.String("code", public(err).Code),
		slog.Int64("session", s.ID()), slog.Int64("uid", s.UID()),
		slog.Uint64("mid", mid), slog.Any("err", cause{t, route, err}),
	}
	if c := (*crash)(nil); errors.As(err, &c) {
		attrs = append(attrs, slog.String("stack", string(c.stack)))
	}
	t.cfg.Log.LogAttrs(ctx, level, event, attrs...)
}

// answer counts a message that failed, and sends the error to the entity.
func (t *Table) answer(p Entity, mid uint64, route string, err error) {
	t.of(t.routes[route]).errors.Add(public(err).Code)
	if mid == 0 {
		return
	}
	t.Answered(p, mid) // or is to have none
	err = withCode(err)
	if c, ok := p.(CallingNode); ok { // a node: what the application shapes is for clients
		c.FailWith(mid, err)
		return
	}
	p.Fail(mid, t.failure(p.Session(), route, err))
}

// failure returns the payload of a failed request. A shape that cannot be encoded costs itself.
func (t *Table) failure(s *session.Session, route string, err error) []byte {
	payload, bad := t.serializeFailure(t.shape(s, route, err))
	if bad != nil {
		t.cfg.Log.Warn("error shape was not encoded", "route", route, "err", bad)
		payload, _ = t.serializeFailure(DefaultShape(err)) // JSON can carry two strings
	}
	return payload
}

// serializeFailure makes an error's payload, in JSON where the serializer cannot carry it.
func (t *Table) serializeFailure(v any) ([]byte, error) {
	if payload, err := Serialize(t.cfg.Serializer, v); err == nil {
		return payload, nil
	}
	return Serialize(json.NewSerializer(), v)
}

func (t *Table) shape(s *session.Session, route string, err error) (payload any) {
	defer func() {
		if v := recover(); v != nil {
			t.cfg.Log.Error("error shape function panicked", "route", route, "panic", v)
			payload = DefaultShape(err)
		}
	}()
	if t.cfg.Shape != nil {
		return t.cfg.Shape(s, route, err)
	}
	return DefaultShape(err)
}

// DefaultShape returns the [Failure] of an error: with the code and message of a component.Error or
// of an error of the framework. The text of any other error was not written for clients: they get
// the code "internal" only.
func DefaultShape(err error) any {
	e := public(err)
	return &Failure{Code: e.Code, Error: e.Message}
}

// public returns what clients may know of an error.
func public(err error) *component.Error {
	if e := (*component.Error)(nil); errors.As(err, &e) {
		return e
	}
	if code, text, ok := fault.Of(err); ok {
		return &component.Error{Code: code, Message: text}
	}
	return &component.Error{Code: component.CodeInternal, Message: "internal error"}
}

// CodeOf returns the code of an error, as clients see it.
func CodeOf(err error) string { return public(err).Code }

// refused is an error with one text for the log and another for clients.
type refused struct {
	error
	public *component.Error
}

func (r *refused) Unwrap() []error { return []error{r.error, r.public} }

// withCode makes an error of the framework a component.Error, too, for functions that shape errors.
func withCode(err error) error {
	if e := (*component.Error)(nil); errors.As(err, &e) {
		return err
	}
	if _, _, ok := fault.Of(err); ok {
		return &refused{err, public(err)}
	}
	return err
}

// crash is a panic of the application before its handler. It wraps nothing: the value of a panic is
// not for clients.
type crash struct {
	what  string
	value any
	stack []byte
}

func (c *crash) Error() string { return fmt.Sprintf("%s panicked: %v", c.what, c.value) }

// cause is an error on its way to the log. A hint is looked for only when the line is written.
type cause struct {
	table *Table
	route string
	err   error
}

// LogValue makes the text.
func (c cause) LogValue() slog.Value { return slog.StringValue(c.Error()) }

// Error is the error's text, and what a route that nobody has may have been meant to be.
func (c cause) Error() string {
	text := c.err.Error()
	if public(c.err).Code == component.CodeNotFound && !c.table.Has(c.route) {
		if similar := meant(c.table, c.route); similar != "" {
			text += fmt.Sprintf("; did you mean %q?", similar)
		}
	}
	if errors.Is(c.err, protobuf.ErrWrongValueType) {
		text += "; the serializer is protobuf, which is the default: for JSON use nano.WithSerializer(json.NewSerializer())"
	}
	return text
}
