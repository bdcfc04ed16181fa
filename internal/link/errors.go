package link

import (
	"errors"

	"github.com/lonng/nano/internal/fault"
)

// The errors of a link.
var (
	// ErrFull: MaxQueue bytes wait for the peer already.
	ErrFull = fault.New(fault.Exhausted, "link: queue is full")
	// ErrTooLarge: a frame is larger than MaxFrame, or than all that may wait.
	ErrTooLarge = fault.New(fault.Exhausted, "link: frame is too large")
	// ErrClosed: the Sender or Receiver was closed.
	ErrClosed = fault.New(fault.Unavailable, "link: closed")
	// ErrTimeout: the peer did not answer within DialTimeout.
	ErrTimeout = fault.New(fault.Unavailable, "link: peer does not answer")
	// ErrSilent: the peer has said nothing for Silence.
	ErrSilent = fault.New(fault.Unavailable, "link: peer is silent")
	// ErrMalformed: a batch is not a sequence of frames.
	ErrMalformed = errors.New("link: malformed frame")
	// ErrGap: a batch is missing before the one that arrived.
	ErrGap = errors.New("link: missing batch")
	// ErrAck: the peer acknowledged what was never sent.
	ErrAck = errors.New("link: acknowledgement of what was not sent")
	// ErrReplaced: the same sender has opened a newer stream.
	ErrReplaced = fault.New(fault.Unavailable, "link: replaced by a newer stream")

	errConfig = errors.New("link: configuration")
)
