package mesh

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// caller is who handlers answer when another node, or code outside any session, has called: the network side of a
// session that lasts for one call.
type caller struct {
	mesh     *Mesh
	sess     *session.Session
	from     string // the node that calls; "" for this one
	way      *peer  // to it
	mid      uint64
	call     *pending  // of this node's own call
	deadline time.Time // until when it waits; zero: it does not
	state    atomic.Uint32

	mu     sync.Mutex
	ctx    context.Context // of its handler, once that has begun
	cancel context.CancelFunc
	left   bool // it does not wait any more
}

// What has happened to a caller's call.
const (
	callAnswered = 1 << iota
	callReturned // the handler has

	callOver = callAnswered | callReturned
)

// Begin makes the context of the handler, which has the caller's deadline.
func (c *caller) Begin() (ctx context.Context, returned func()) {
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

// note notes what has happened. A handler may answer and go on, or return and answer later: its context ends after both.
func (c *caller) note(what uint32) (first bool) {
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
func (c *caller) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	if c.cancel != nil {
		c.cancel()
	}
}

// serves are the calls of another node that have no reply.
type serves struct {
	running map[uint64]*caller // by id
	sweep   int                // at how many to forget those that are over their time: some handlers never answer
}

// serve notes a call of the node.
func (p *peer) serve(c *caller, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	if p.running == nil {
		p.running = make(map[uint64]*caller)
	}
	if len(p.running) >= p.sweep {
		for id, c := range p.running {
			if c.deadline.Before(now) {
				delete(p.running, id)
			}
		}
		p.sweep = max(64, 2*len(p.running))
	}
	p.running[c.mid] = c
}

// abandon ends the calls of a node that is gone, and takes no more.
func (p *peer) abandon() {
	p.mu.Lock()
	p.gone = true
	running := p.running
	p.running = nil
	p.mu.Unlock()
	for _, c := range running {
		c.giveUp()
	}
}

// served forgets a call of the node, and returns it if it was known.
func (p *peer) served(id uint64) *caller {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.running[id]
	delete(p.running, id)
	return c
}

func (n *Mesh) newCaller(from *origin, mid uint64, call *pending) *caller {
	c := &caller{mesh: n, mid: mid, call: call}
	if from != nil {
		c.from, c.way = from.addr, from.way
	}
	c.sess = session.NewWithID(c, 0)
	c.sess.SetLifetime(session.NewLifetime()) // nobody is told of it
	return c
}

// takeCall takes a call of another node, or that it does not wait any more. Nodes with an earlier link tell how long they
// wait in the first eight bytes of a call's data.
func (n *Mesh) takeCall(from *origin, f *link.Frame, add addCall) {
	if from.unheard() {
		return
	}
	if f.Kind == link.Call && f.Flags&flagOff != 0 {
		if c := from.way.served(f.ID); c != nil {
			c.giveUp()
		}
		return
	}
	c := n.newCaller(from, f.ID, nil)
	v := codec.View{Type: codec.Notify, Route: f.Route, Data: f.Data}
	if f.Kind == link.Call {
		v.Type, v.ID = codec.Request, f.ID
		left := f.Left
		if left == 0 {
			if len(f.Data) < 8 {
				c.Fail(f.ID, dispatch.DefaultShape(component.Errorf(component.CodeInvalid, "the call has no deadline")))
				from.Spent(costOf(f))
				return
			}
			v.Data = f.Data[8:]
			left = time.Duration(min(binary.BigEndian.Uint64(f.Data), uint64(maxWait)))
		}
		now := time.Now()
		c.deadline = now.Add(min(left, maxWait))
		from.way.serve(c, now)
	}
	add(c, v, from, costOf(f))
}

// Over tells whether nobody waits for the call any more, so that its handler need not run.
func (c *caller) Over() bool {
	if c.deadline.IsZero() {
		return false
	}
	c.mu.Lock()
	over := c.left || !time.Now().Before(c.deadline)
	c.mu.Unlock()
	if over {
		c.mesh.refusals.Late.Add(1)
	}
	return over
}

// Sent says that another node has sent the call here.
func (c *caller) Sent() {}

func (c *caller) Session() *session.Session { return c.sess }
func (c *caller) Enter(uint64)              {}
func (c *caller) LastMid() uint64           { return c.mid }
func (c *caller) Response(v any) error      { return c.ResponseMid(c.mid, v) }
func (c *caller) Close() error              { return nil }

// RemoteAddr returns the address of the node that calls.
func (c *caller) RemoteAddr() net.Addr {
	if c.from == "" {
		return nodeAddr(c.mesh.addr)
	}
	return nodeAddr(c.from)
}

var errNoClient = fault.New(fault.Invalid, "there is no client: the handler was called by a node, not by a session")

// Push fails: there is nobody to push to.
func (c *caller) Push(string, any) error { return errNoClient }

// RPC sends a notify to whichever node serves the route.
func (c *caller) RPC(route string, v any) error {
	return c.mesh.Notify(route, v)
}

// ResponseMid answers the call.
func (c *caller) ResponseMid(mid uint64, v any) error {
	if c.mid == 0 || mid != c.mid {
		return gate.ErrSessionOnNotify
	}
	data, err := c.mesh.serialize(v)
	if err != nil {
		return err
	}
	return c.reply(data, 0)
}

// FailMid answers the call as if its handler had returned err.
func (c *caller) FailMid(mid uint64, err error) error {
	if c.mid == 0 || mid != c.mid {
		return gate.ErrSessionOnNotify
	}
	c.mesh.table.Fail(c, mid, "", err)
	return nil
}

// Fail answers the call with an error.
func (c *caller) Fail(mid uint64, payload any) {
	if mid == 0 {
		return
	}
	data, err := json.Marshal(payload)
	if err != nil {
		data, _ = json.Marshal(dispatch.DefaultShape(err))
	}
	if err := c.reply(data, flagError); err != nil {
		c.mesh.log.Debug("a call's error was not sent", "peer", c.from, "err", err)
	}
}

// FailWith answers the call with an error, in the shape that nodes read.
func (c *caller) FailWith(mid uint64, err error) { c.Fail(mid, dispatch.DefaultShape(err)) }

func (c *caller) reply(data []byte, flags byte) error {
	if !c.note(callAnswered) {
		return nil // a call has one outcome
	}
	if c.call != nil {
		if flags&flagError != 0 {
			c.call.end(nil, failureOf(data))
		} else {
			c.call.end(bytes.Clone(data), nil)
		}
		return nil
	}
	p := c.mesh.peer(c.from)
	if p == nil || p != c.way {
		return fmt.Errorf("%w: the calling node %s is gone", gate.ErrBrokenPipe, c.from)
	}
	p.served(c.mid)
	return p.send(&link.Frame{Kind: link.Reply, Flags: flags, ID: c.mid, Data: data})
}
