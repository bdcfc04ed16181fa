package component

import (
	"errors"
	"fmt"

	"github.com/lonng/nano/internal/fault"
)

// The codes of the framework's errors for clients. An application may use others.
const (
	CodeNotFound        = "not_found"          // no such route, or no such thing
	CodeInvalid         = "invalid_argument"   // a payload that does not parse or makes no sense
	CodeRefused         = "permission_denied"  // a filter or handler said no
	CodeInternal        = "internal"           // a handler's error without a code, or its panic
	CodeUnavailable     = "unavailable"        // the node that serves the route is gone
	CodeDeadline        = "deadline_exceeded"  // no answer in time
	CodeExists          = "already_exists"     // what was to be made exists
	CodeUnauthenticated = "unauthenticated"    // the session has no user yet
	CodeExhausted       = "resource_exhausted" // a limit was reached
)

// Error is an error for the client. If a handler returns it, clients that accept errors get
// {"code": Code, "error": Message}. It must not change afterwards.
type Error struct {
	Code    string
	Message string

	cause error // for errors.Is and As on the node; never sent
}

// Errorf returns an [Error]. Format and arguments are those of fmt.Errorf: errors.Is and errors.As
// find what %w wraps, and its text is part of the message for the client: for an error of the
// framework, without the name of its package.
func Errorf(code, format string, a ...any) *Error {
	made := fmt.Errorf(format, a...)
	e := &Error{Code: code, Message: fault.Public(made)}
	if one := errors.Unwrap(made); one != nil {
		e.cause = one
	} else if _, many := made.(interface{ Unwrap() []error }); many {
		e.cause = made
	}
	return e
}

// Error returns the code and the message.
func (e *Error) Error() string {
	switch {
	case e == nil:
		return "component: no error"
	case e.Code == "":
		return e.Message
	default:
		return e.Code + ": " + e.Message
	}
}

// Unwrap returns what [Errorf] has wrapped; nil if nothing.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.cause
}
