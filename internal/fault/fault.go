// Package fault makes the framework's own errors: values with a name, as errors.New makes them,
// that also have a code. A handler that returns one, wrapped or not, answers its client with the
// code and the text, and not with "internal".
package fault

import (
	"context"
	"errors"
	"strings"
)

// The codes; package component has them for applications.
const (
	NotFound    = "not_found"
	Invalid     = "invalid_argument"
	Exists      = "already_exists"
	Exhausted   = "resource_exhausted"
	Unavailable = "unavailable"
	Deadline    = "deadline_exceeded"
)

// ErrBrokenPipe is cluster.ErrBrokenPipe. It stands here because package mock has it, too.
var ErrBrokenPipe = New(Unavailable, "cluster: the session's connection is closed")

// Error is an error with a code. It is immutable.
type Error struct {
	code, text string
	public     string // text without the package's name
}

// New returns an error that is equal to no other. The text begins with the name of a package and a
// colon. Clients see what comes after that, so it holds nothing of the application's.
func New(code, text string) error {
	e := &Error{code, text, text}
	if name, rest, ok := strings.Cut(text, ": "); ok && !strings.Contains(name, " ") {
		e.public = rest
	}
	return e
}

// Error returns the text.
func (e *Error) Error() string { return e.text }

// Public returns the text of err without the package's name of the first such error that it wraps.
func Public(err error) string {
	text := err.Error()
	if e := (*Error)(nil); errors.As(err, &e) {
		text = strings.Replace(text, e.text, e.public, 1)
	}
	return text
}

// Of returns the code and the text for clients of the first such error that err is or wraps. A
// context that has ended is one, too.
func Of(err error) (code, text string, ok bool) {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.code, e.public, true
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline, "no answer in time", true
	case errors.Is(err, context.Canceled):
		return Deadline, "nobody waits for the answer any more", true
	}
	return "", "", false
}
