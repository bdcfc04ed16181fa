package mock

import (
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/lonng/nano/internal/fault"
)

var (
	// ErrClosed is returned by what sends after the session's end. It is cluster.ErrBrokenPipe, as on
	// a node.
	ErrClosed = fault.ErrBrokenPipe
	// ErrNotify is returned by a response to a notify: its id is 0.
	ErrNotify = fault.New(fault.Invalid, "mock: a response to a notify")

	errAnswered = fault.New(fault.Exists, "mock: the request has its answer")
)

// Pushed is one push.
type Pushed struct {
	Route string
	Value any
}

// Responded is one response.
type Responded struct {
	MID   uint64
	Value any
}

// Failed is one response that is an error.
type Failed struct {
	MID uint64
	Err error
}

// Called is one RPC.
type Called struct {
	Route string
	Value any
}

// NetworkEntity is a session.NetworkEntity that records what is sent. Its methods may be called
// from any goroutine. It copies bytes, as a node does, and keeps other values, which a node would
// serialize, as they are. The zero value is ready: it is handling a request with the id 1.
type NetworkEntity struct {
	mu        sync.Mutex
	mid       *uint64 // nil: 1
	pushes    []Pushed
	responses []Responded
	last      any            // of Response
	byID      map[uint64]any // what FindResponseByMID finds
	failures  []Failed
	calls     []Called
	done      chan struct{} // made on demand
	closed    bool
	kicked    bool
	reason    string
}

// NewNetworkEntity returns an entity that is handling a request with the id 1.
func NewNetworkEntity() *NetworkEntity { return new(NetworkEntity) }

// own returns v, copied if it is bytes: they are the caller's again.
func own(v any) any {
	if b, ok := v.([]byte); ok {
		return slices.Clone(b)
	}
	return v
}

// Push records a push.
func (n *NetworkEntity) Push(route string, v any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("mock: push %s: %w", route, ErrClosed)
	}
	n.pushes = append(n.pushes, Pushed{Route: route, Value: own(v)})
	return nil
}

// RPC records a call.
func (n *NetworkEntity) RPC(route string, v any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("mock: call %s: %w", route, ErrClosed)
	}
	n.calls = append(n.calls, Called{Route: route, Value: own(v)})
	return nil
}

// LastMid returns the id of the message whose handler runs: 1, or what SetLastMid has set.
func (n *NetworkEntity) LastMid() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lastMidLocked()
}

func (n *NetworkEntity) lastMidLocked() uint64 {
	if n.mid == nil {
		return 1
	}
	return *n.mid
}

// SetLastMid sets the id of the message whose handler runs; 0 is a notify.
func (n *NetworkEntity) SetLastMid(mid uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mid = &mid
}

// Response records a response to the message whose handler runs.
func (n *NetworkEntity) Response(v any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	v = own(v)
	if err := n.respondLocked(n.lastMidLocked(), v, n.mid != nil); err != nil {
		return err
	}
	n.last = v
	return nil
}

// ResponseMid records the response to the message with the id mid. A second one is an error.
func (n *NetworkEntity) ResponseMid(mid uint64, v any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, answered := n.byID[mid]; answered {
		return fmt.Errorf("mock: answer request %d: %w", mid, errAnswered)
	}
	return n.respondLocked(mid, own(v), true)
}

func (n *NetworkEntity) respondLocked(mid uint64, v any, found bool) error {
	if n.closed {
		return fmt.Errorf("mock: answer request %d: %w", mid, ErrClosed)
	}
	if mid == 0 {
		return ErrNotify
	}
	n.responses = append(n.responses, Responded{MID: mid, Value: v})
	if found {
		if n.byID == nil {
			n.byID = make(map[uint64]any)
		}
		n.byID[mid] = v
	}
	return nil
}

// FailMid records an error that answers the message with the id mid.
func (n *NetworkEntity) FailMid(mid uint64, err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("mock: fail request %d: %w", mid, ErrClosed)
	}
	if mid == 0 {
		return ErrNotify
	}
	n.failures = append(n.failures, Failed{MID: mid, Err: err})
	return nil
}

// Close ends the session. It may be called again.
func (n *NetworkEntity) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closeLocked()
	return nil
}

// Kick ends the session and records the reason. For an ended session it returns [ErrClosed].
func (n *NetworkEntity) Kick(reason string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("mock: kick: %w", ErrClosed)
	}
	n.kicked, n.reason = true, reason
	n.closeLocked()
	return nil
}

func (n *NetworkEntity) closeLocked() {
	if n.closed {
		return
	}
	n.closed = true
	if n.done == nil {
		n.done = make(chan struct{})
	}
	close(n.done)
}

// RemoteAddr returns a [NetAddr].
func (n *NetworkEntity) RemoteAddr() net.Addr { return NetAddr{} }

// Done returns a channel that is closed when the session is closed or kicked.
func (n *NetworkEntity) Done() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done == nil {
		n.done = make(chan struct{})
	}
	return n.done
}

// Closed reports whether the session was closed or kicked.
func (n *NetworkEntity) Closed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// Kicked returns the reason of the kick; ok is false if there was none.
func (n *NetworkEntity) Kicked() (reason string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reason, n.kicked
}

// Pushes returns all pushes so far, in order.
func (n *NetworkEntity) Pushes() []Pushed {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.pushes)
}

// Responses returns all responses so far, in order.
func (n *NetworkEntity) Responses() []Responded {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.responses)
}

// Failures returns all errors of FailMid so far, in order. The error that a handler returns is not
// among them: the test calls the handler and has it.
func (n *NetworkEntity) Failures() []Failed {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.failures)
}

// Calls returns all RPCs so far, in order.
func (n *NetworkEntity) Calls() []Called {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

// FindResponseByMID returns the response to the message with the id mid; nil if there is none. As
// in v0.5, it finds answers by Response only after SetLastMid: see [NetworkEntity.LastResponse].
func (n *NetworkEntity) FindResponseByMID(mid uint64) any {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byID[mid]
}

// FindResponseByRoute returns the first push under route, nil if there is none.
func (n *NetworkEntity) FindResponseByRoute(route string) any {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pushes {
		if p.Route == route {
			return p.Value
		}
	}
	return nil
}

// LastResponse returns the latest response by Response, nil if there is none. As in v0.5, it does
// not find answers by ResponseMid: see [NetworkEntity.FindResponseByMID].
func (n *NetworkEntity) LastResponse() any {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}
