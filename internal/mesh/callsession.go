package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// callSession is who handlers answer when another node, or code outside any session, has called:
// the network side of a session that lasts for one call.
type callSession struct {
	calls    *calls
	sess     *session.Session
	from     string // the node that calls; "" for this one
	way      *peer  // to it
	mid      uint64
	call     *pendingCall // of this node's own call
	deadline time.Time    // until when it waits; zero: it does not
	state    atomic.Uint32

	mu     sync.Mutex
	ctx    context.Context // of its handler, once that has begun
	cancel context.CancelFunc
	left   bool // it does not wait any more
}

// What has happened to a call.
const (
	callAnswered = 1 << iota
	callReturned // the handler has

	callOver = callAnswered | callReturned
)

// Begin makes the context of the handler, which has the caller's deadline.
func (c *callSession) Begin() (ctx context.Context, returned func()) {
	if c.deadline.IsZero() {
		return c.sess.Context(), func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx, c.cancel = context.WithDeadline(context.Background(), c.deadline)
	if c.left {
		c.cancel()
	}
	return c.ctx, func() { c.note(callReturned) }
}

// note notes what has happened. A handler may answer and go on, or return and answer later: its
// context ends after both.
func (c *callSession) note(what uint32) (first bool) {
	was := c.state.Or(what)
	if was != callOver && was|what == callOver {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.cancel != nil {
			c.cancel()
		}
	}
	return was&what == 0
}

// giveUp notes that nobody waits for the call any more.
func (c *callSession) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	if c.cancel != nil {
		c.cancel()
	}
}

// Over tells whether nobody waits for the call any more, so that its handler need not run.
func (c *callSession) Over() bool {
	if c.deadline.IsZero() {
		return false
	}
	c.mu.Lock()
	over := c.left || !time.Now().Before(c.deadline)
	c.mu.Unlock()
	if over {
		c.calls.refusals.Late.Add(1)
	}
	return over
}

// Answered returns the call's id once it is answered.
func (c *callSession) Answered() uint64 {
	if c.state.Load()&callAnswered == 0 {
		return 0
	}
	return c.mid
}

// Return has nothing to go back to: the session is of one call.
func (c *callSession) Return(uint64, uint64) {}

// Sent says that another node has sent the call here.
func (c *callSession) Sent() {}

func (c *callSession) Session() *session.Session { return c.sess }
func (c *callSession) Enter(uint64)              {}
func (c *callSession) LastMid() uint64           { return c.mid }
func (c *callSession) Response(v any) error      { return c.ResponseMid(c.mid, v) }
func (c *callSession) Close() error              { return nil }

// RemoteAddr returns the address of the node that calls.
func (c *callSession) RemoteAddr() net.Addr {
	if c.from == "" {
		return nodeAddr(c.calls.addr)
	}
	return nodeAddr(c.from)
}

var errNoClient = fault.New(fault.Invalid, "cluster: there is no client: the handler was called by a node, not by a session")

// Push fails: there is nobody to push to.
func (c *callSession) Push(string, any) error { return errNoClient }

// RPC sends a notify to whichever node serves the route.
func (c *callSession) RPC(route string, v any) error {
	return c.calls.Notify(context.Background(), route, v)
}

// ResponseMid answers the call.
func (c *callSession) ResponseMid(mid uint64, v any) error {
	if c.mid == 0 || mid != c.mid {
		return gate.ErrSessionOnNotify
	}
	data, err := c.calls.serialize(v)
	if err != nil {
		return err
	}
	return c.reply(data, 0)
}

// FailMid answers the call as if its handler had returned err.
func (c *callSession) FailMid(mid uint64, err error) error {
	if c.mid == 0 || mid != c.mid {
		return gate.ErrSessionOnNotify
	}
	c.calls.table.Fail(c, mid, "", err)
	return nil
}

// Fail answers the call with an error.
func (c *callSession) Fail(mid uint64, payload []byte) {
	if mid == 0 {
		return
	}
	if err := c.reply(payload, flagError); err != nil {
		c.calls.log.Debug("a call's error was not sent", "peer", c.from, "err", err)
	}
}

// FailWith answers the call with an error, in the shape that nodes read.
func (c *callSession) FailWith(mid uint64, err error) {
	payload, _ := json.Marshal(dispatch.DefaultShape(err)) // two strings can be encoded
	c.Fail(mid, payload)
}

func (c *callSession) reply(data []byte, flags byte) error {
	if !c.note(callAnswered) {
		return nil // a call has one outcome
	}
	err := c.sendReply(data, flags)
	if err != nil {
		c.state.And(^uint32(callAnswered)) // the error is its outcome, if that can be sent
		return err
	}
	c.calls.table.Answered(c, c.mid)
	return nil
}

func (c *callSession) sendReply(data []byte, flags byte) error {
	if c.call != nil {
		if flags&flagError != 0 {
			c.call.end(nil, failureOf(data))
		} else {
			c.call.end(bytes.Clone(data), nil)
		}
		return nil
	}
	p := c.calls.peers.at(c.from)
	if p == nil || p != c.way {
		return fmt.Errorf("%w: the calling node %s is gone", gate.ErrBrokenPipe, c.from)
	}
	if err := p.send(&link.Frame{Kind: link.Reply, Flags: flags, ID: c.mid, Data: data}); err != nil {
		return err
	}
	p.served.end(c.mid)
	return nil
}
