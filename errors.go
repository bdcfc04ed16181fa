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
	// ErrCloseClosedGroup is the error of Close for a group that is closed already.
	ErrCloseClosedGroup = fault.New(fault.NotFound, "nano: the group is closed already")
	// ErrClosedGroup is the error of all other methods of a closed group.
	ErrClosedGroup = fault.New(fault.NotFound, "nano: the group is closed")
	// ErrMemberNotFound is the error of Member and FindMember if no member matches.
	ErrMemberNotFound = fault.New(fault.NotFound, "nano: the group has no such member")
	// ErrSessionDuplication is the error of Add for a session that is a member already.
	ErrSessionDuplication = fault.New(fault.Exists, "nano: the session is a member of the group already")
)

// Error is an error with a code and a text for the client. When a handler returns one, a client
// that accepts errors gets both.
type Error = component.Error

// Errorf returns an Error with a code, such as component.CodeInvalid, and a text. It formats the
// text as fmt.Errorf does, %w included.
func Errorf(code, format string, a ...any) *Error { return component.Errorf(code, format, a...) }

// Refuse returns the error with which a handshake validator refuses a client. The answer carries
// the code and the reason, and the connection closes after it. The protocol uses 500 for a
// handshake that failed and 501 for a client that is too old. After 503 the clients for Go and
// JavaScript try again later; after any other code they give up.
func Refuse(code int, reason string) error { return &session.Refusal{Code: code, Reason: reason} }

// MessageID returns the id of the request that a handler's context belongs to, or 0 for a notify. A
// handler that answers later passes it to Session.ResponseMID, or to Session.FailMID with an error.
// The context must be the handler's, or made from it.
func MessageID(ctx context.Context) uint64 {
	_, _, mid, _ := dispatch.CallOf(ctx)
	return mid
}

// Route returns the route of the message that a handler's context belongs to.
func Route(ctx context.Context) string {
	_, route, _, _ := dispatch.CallOf(ctx)
	return route
}

// GateOf returns the service address of the gate that a session's client is connected to. It
// returns "" for a client of this node, and for a session without a client, such as that of a call
// between nodes.
func GateOf(s *session.Session) string { return cluster.GateOf(s) }

// SessionOf returns the session of the message that a handler's context belongs to, or nil.
func SessionOf(ctx context.Context) *session.Session {
	s, _, _, _ := dispatch.CallOf(ctx)
	return s
}
