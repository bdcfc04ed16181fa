package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lonng/nano/serialize"
)

// The errors of this package. They come wrapped: compare with errors.Is.
var (
	// ErrClosed: the client has ended, by Close or for the reason that Err returns, which is
	// wrapped beside it.
	ErrClosed = errors.New("client: closed")
	// ErrNotConnected: Connect was not called, or it failed.
	ErrNotConnected = errors.New("client: not connected")
	// ErrConnected: Connect was called during or after a call that was successful.
	ErrConnected = errors.New("client: connected already")
	// ErrLost: the connection ended while the request was in flight, and its session did not go
	// on. The server may have run it or not.
	ErrLost = errors.New("client: connection lost")
	// ErrAway: there was no connection, and none came within the time of WithAwayWait.
	ErrAway = errors.New("client: away")
	// ErrBusy: too much waits to be written, and Start does not wait.
	ErrBusy = errors.New("client: busy")
	// ErrTimeout: no answer came within the time of WithRequestTimeout. It is a
	// context.DeadlineExceeded, too.
	ErrTimeout = fmt.Errorf("client: no answer in time: %w", context.DeadlineExceeded)
	// ErrSilent: nothing came from the server for two of its heartbeat intervals.
	ErrSilent = errors.New("client: the server is silent")
	// ErrOverflow: handlers did not keep up with the pushes; see WithPushQueue.
	ErrOverflow = errors.New("client: too many pushes wait for their handlers")
	// ErrDrained: the server is drained, and has asked the client to come back on another
	// connection. Its session goes on.
	ErrDrained = errors.New("client: the server is drained")
	// ErrProtocol: the server sent what no server should send.
	ErrProtocol = errors.New("client: protocol error")
)

// Codes of errors that servers of this framework send. An application adds its own.
const (
	CodeNotFound        = "not_found"
	CodeInvalid         = "invalid_argument"
	CodeRefused         = "permission_denied"
	CodeInternal        = "internal"
	CodeUnavailable     = "unavailable"
	CodeDeadline        = "deadline_exceeded"
	CodeExists          = "already_exists"
	CodeUnauthenticated = "unauthenticated"
	CodeExhausted       = "resource_exhausted"
)

// Error is the server's answer to a request that failed there.
type Error struct {
	Code    string // empty if the payload could not be read
	Message string
	Payload []byte // the whole answer, for applications that shape their errors
}

// Error returns the code and the message.
func (e *Error) Error() string {
	switch {
	case e.Code == "" && e.Message == "":
		return fmt.Sprintf("request failed: %q", e.Payload)
	case e.Code == "":
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// CodeOf returns the code of the *Error in err's chain, or an empty string if there is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// KickError says that the server ended the session, and why.
type KickError struct {
	Reason string // as the server gave it; empty if it gave none
}

// Error returns the reason.
func (e *KickError) Error() string { return "client: kicked: " + e.Reason }

// RefusedError says that the server refused the handshake.
type RefusedError struct {
	Code   int // 500: the handshake failed; 501: the client is too old; others: the application's
	Reason string
}

// Error returns the code and the reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("client: handshake refused with code %d: %s", e.Code, e.Reason)
}

// failure reads the payload of an error response, as JSON or in the format of the serializer.
func failure(payload []byte, s serialize.Serializer) *Error {
	e := &Error{Payload: append([]byte(nil), payload...)}
	var said struct {
		Code    string `json:"code"`
		Message string `json:"error"`
	}
	if json.Unmarshal(payload, &said) == nil || s.Unmarshal(payload, &said) == nil {
		e.Code, e.Message = said.Code, said.Message
	}
	return e
}

// kicked reads the body of a kick.
func kicked(body []byte) *KickError {
	var said struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(body, &said) != nil {
		said.Reason = string(body) // a server that says it in words of its own
	}
	return &KickError{Reason: said.Reason}
}

// errorOf puts the error of ctx before err, which it has caused.
func errorOf(ctx context.Context, err error) error {
	if e := ctx.Err(); e != nil && !errors.Is(err, e) {
		return fmt.Errorf("%w (%w)", e, err)
	}
	return err
}
