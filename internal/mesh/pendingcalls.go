package mesh

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
)

// pendingCall is a call of this node that waits for its reply.
type pendingCall struct {
	id   uint64
	once sync.Once
	done chan struct{}
	data []byte
	err  error

	answered func() // not nil: called when the reply comes, even after the end, or can come no more
}

func newPendingCall() *pendingCall { return &pendingCall{done: make(chan struct{})} }

// end reports whether it was the end, and not too late.
func (c *pendingCall) end(data []byte, err error) (first bool) {
	c.once.Do(func() {
		c.data, c.err = data, err
		first = true
		close(c.done)
	})
	return first
}

// failureOf makes the error that a call's error payload tells.
func failureOf(data []byte) error {
	var f dispatch.Failure
	if err := json.Unmarshal(data, &f); err != nil || f.Code == "" {
		return component.Errorf(component.CodeInternal, "the call failed: %s", data)
	}
	return &component.Error{Code: f.Code, Message: f.Error}
}

// pendingCalls are this node's calls to another that have no reply. The methods may be called
// concurrently.
type pendingCalls struct {
	mu     sync.Mutex
	closed bool
	byID   map[uint64]*pendingCall
	begun  uint64 // counts calls
}

// begin notes a call and gives it its id. It is false when there are to be no more.
func (c *pendingCalls) begin(call *pendingCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.byID == nil {
		c.byID = make(map[uint64]*pendingCall)
	}
	c.begun++
	call.id = c.begun
	c.byID[call.id] = call
	return true
}

// len returns how many there are.
func (c *pendingCalls) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID)
}

// remove forgets a call and returns it, nil if it is not known any more.
func (c *pendingCalls) remove(id uint64) *pendingCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.byID[id]
	delete(c.byID, id)
	return call
}

// fail ends all of them with an error: no reply comes any more.
func (c *pendingCalls) fail(err error) {
	c.mu.Lock()
	all := c.byID
	c.byID = nil
	c.mu.Unlock()
	for _, call := range all {
		call.end(nil, err)
		if call.answered != nil {
			call.answered()
		}
	}
}

// giveUp ends all of them with an error, and returns their ids. Replies may come yet: who has to
// know of that is told then.
func (c *pendingCalls) giveUp(err error) (ids []uint64) {
	c.mu.Lock()
	all := c.byID
	c.byID = nil
	for id, call := range all {
		if call.answered == nil {
			continue
		}
		if c.byID == nil {
			c.byID = make(map[uint64]*pendingCall)
		}
		c.byID[id] = call
	}
	c.mu.Unlock()
	for id, call := range all {
		call.end(nil, err)
		ids = append(ids, id)
	}
	return ids
}

// close refuses more calls. Those that were begun may have their replies yet.
func (c *pendingCalls) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// servedCalls are the calls of another node that this one has not answered: they end when their
// caller gives up, or is gone. The methods may be called concurrently.
type servedCalls struct {
	mu     sync.Mutex
	closed bool
	byID   map[uint64]*callSession
	sweep  int // at how many to forget those that are over their time: some handlers never answer
}

// begin notes a call.
func (c *servedCalls) begin(call *callSession, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if c.byID == nil {
		c.byID = make(map[uint64]*callSession)
	}
	if len(c.byID) >= c.sweep {
		for id, old := range c.byID {
			if old.deadline.Before(now) {
				delete(c.byID, id)
			}
		}
		c.sweep = max(64, 2*len(c.byID))
	}
	c.byID[call.mid] = call
}

// len returns how many there are that are not over their time.
func (c *servedCalls) len(now time.Time) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.byID {
		if call.deadline.After(now) {
			n++
		}
	}
	return n
}

// end forgets a call, and returns it if it was known.
func (c *servedCalls) end(id uint64) *callSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.byID[id]
	delete(c.byID, id)
	return call
}

// close notes no more calls.
func (c *servedCalls) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// abandon tells the handlers of all of them that nobody waits, and notes no more.
func (c *servedCalls) abandon() {
	c.mu.Lock()
	c.closed = true
	all := c.byID
	c.byID = nil
	c.mu.Unlock()
	for _, call := range all {
		call.giveUp()
	}
}
