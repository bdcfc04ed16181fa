package wsframe

import (
	"errors"
	"fmt"
)

// Status codes of close frames.
const (
	CloseNormal        = 1000
	CloseGoingAway     = 1001
	CloseProtocolError = 1002
	CloseNoStatus      = 1005 // never sent: stands for a close frame without a code
	CloseInvalidData   = 1007
	ClosePolicy        = 1008
	CloseTooBig        = 1009
	CloseInternalError = 1011
	CloseTryLater      = 1013
)

// Error describes a fault in a peer's frames. All errors of a [Parser] are *Error.
type Error struct {
	Code   int    // the close code to answer with
	Reason string // for logs, and short enough for a close frame
}

// Error returns the fault in one line.
func (e *Error) Error() string {
	return fmt.Sprintf("websocket: %s (close code %d)", e.Reason, e.Code)
}

// CloseCode returns the close code to answer err with: that of an *Error in its
// chain, else [CloseInternalError].
func CloseCode(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CloseInternalError
}

func protocolError(reason string) *Error {
	return &Error{Code: CloseProtocolError, Reason: reason}
}
