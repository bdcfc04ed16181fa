package nano

import (
	"context"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/session"
)

// Errors of a Group's methods.
var (
	// ErrCloseClosedGroup is returned by Close for a group that is closed.
	ErrCloseClosedGroup = fault.New(fault.NotFound, "close of a closed group")
	// ErrClosedGroup is returned for what a closed group cannot do.
	ErrClosedGroup = fault.New(fault.NotFound, "the group is closed")
	// ErrMemberNotFound is returned when no member is the one asked for.
	ErrMemberNotFound = fault.New(fault.NotFound, "no such member in the group")
	// ErrSessionDuplication is returned by Add for a session that is a member.
	ErrSessionDuplication = fault.New(fault.Exists, "the session is a member of the group already")
)

// Error is an error with a code that reaches the client, if it accepts errors, when a handler returns it.
type Error = component.Error

// Errorf makes an Error. It formats as fmt.Errorf does, %w included.
func Errorf(code, format string, a ...any) *Error { return component.Errorf(code, format, a...) }

// Refuse makes the error with which a handshake validator refuses a client: the code and reason are in the answer,
// after which the connection closes. The protocol uses 500 for a handshake that failed and 501 for a client that is
// too old.
func Refuse(code int, reason string) error { return &session.Refusal{Code: code, Reason: reason} }

// MessageID returns the id of the request that a handler's context belongs to, 0 for a notify: what a handler that
// answers later passes to Session.ResponseMID, or to Session.FailMID with an error. The context must be the handler's, or made from it.
func MessageID(ctx context.Context) uint64 {
	_, _, mid, _ := dispatch.CallOf(ctx)
	return mid
}

// Route returns the route of the message that a handler's context belongs to.
func Route(ctx context.Context) string {
	_, route, _, _ := dispatch.CallOf(ctx)
	return route
}

// GateOf returns the service address of the gate that a session's client is connected to. It is "" for a client of this node,
// and for a session without a client, such as that of a call between nodes (Call, Notify).
func GateOf(s *session.Session) string { return cluster.GateOf(s) }

// SessionOf returns the session whose message a handler's context belongs to, or nil.
func SessionOf(ctx context.Context) *session.Session {
	s, _, _, _ := dispatch.CallOf(ctx)
	return s
}
