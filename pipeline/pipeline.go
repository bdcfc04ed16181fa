package pipeline

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/session"
)

// Message is what filters see.
type Message = codec.Message

// Func is a filter. It may change msg until it returns. The bytes of msg.Data are borrowed: a
// filter may replace the slice, but must not write into it, and must copy what it keeps. Filters
// run on several goroutines at once; those for the inbound messages of one session run one after
// the other.
type Func func(s *session.Session, msg *Message) error

// Channel holds the filters of one direction. The channels of this package may be used by any
// number of goroutines at once, and have the method Empty() bool, see [Empty].
type Channel interface {
	// PushFront adds a filter before all others. It does not run for messages that are being
	// processed. A nil filter is ignored.
	PushFront(h Func)
	// PushBack adds a filter after all others, in the same way.
	PushBack(h Func)
	// Process runs the filters in order up to the first error, and returns it. A panic is an error,
	// a [PanicError].
	Process(s *session.Session, msg *Message) error
}

// Pipeline is the filters of both directions.
type Pipeline interface {
	// Outbound returns the filters of what goes to clients.
	Outbound() Channel
	// Inbound returns the filters of what comes from clients.
	Inbound() Channel
}

// New returns a Pipeline without filters.
func New() Pipeline { return new(pipeline) }

// Empty reports whether c has no filters, so that nobody needs to make a [Message] for it. It
// reports false for a channel without a method Empty() bool, as one of the application's own may
// be.
func Empty(c Channel) bool {
	if c == nil {
		return true
	}
	e, ok := c.(interface{ Empty() bool })
	return ok && e.Empty()
}

// PanicError is what Process returns for a filter that panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where
}

// Error returns the value of the panic, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("pipeline: a filter panicked: %v", e.Value) }

// Unwrap returns the value of the panic if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

type pipeline struct {
	outbound, inbound channel
}

func (p *pipeline) Outbound() Channel { return &p.outbound }
func (p *pipeline) Inbound() Channel  { return &p.inbound }

// channel keeps its filters in a slice that is replaced, never changed, so
// that Process reads it without a lock.
type channel struct {
	filters atomic.Pointer[[]Func]
	mu      sync.Mutex // for those who replace filters
}

func (c *channel) list() []Func {
	if p := c.filters.Load(); p != nil {
		return *p
	}
	return nil
}

// Empty reports whether there are no filters.
func (c *channel) Empty() bool { return c.filters.Load() == nil }

func (c *channel) PushFront(h Func) { c.insert(h, true) }
func (c *channel) PushBack(h Func)  { c.insert(h, false) }

func (c *channel) insert(h Func, front bool) {
	if h == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.list()
	at := len(old)
	if front {
		at = 0
	}
	filters := slices.Insert(slices.Clone(old), at, h)
	c.filters.Store(&filters)
}

func (c *channel) Process(s *session.Session, msg *Message) (err error) {
	filters := c.list()
	if len(filters) == 0 {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	for _, f := range filters {
		if err := f(s, msg); err != nil {
			return err
		}
	}
	return nil
}
