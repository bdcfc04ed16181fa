package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/session"
)

// addCall adds a message to a batch of handler calls.
type addCall = func(p dispatch.Peer, v codec.View, m dispatch.Meter, cost int)

// maxWait is how long a call of another node is believed to wait.
const maxWait = 30 * 24 * time.Hour

// DefaultCallTimeout is the deadline of a call whose context has none.
const DefaultCallTimeout = 5 * time.Second

// pending is a call that waits for its reply.
type pending struct {
	once sync.Once
	done chan struct{}
	data []byte
	err  error
}

// end reports whether it was the end, and not too late.
func (c *pending) end(data []byte, err error) (first bool) {
	c.once.Do(func() {
		c.data, c.err = data, err
		first = true
		close(c.done)
	})
	return first
}

// caller is who handlers answer when another node, or code outside any session, has called: the network side of a
// session that lasts for one call.
type caller struct {
	node     *Node
	sess     *session.Session
	from     string // the node that calls; "" for this one
	epoch    uint64
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

// takeOver takes the calls of the node over from the way to it that was before.
func (p *peer) takeOver(old *peer) {
	old.mu.Lock()
	defer old.mu.Unlock()
	p.serves, old.serves = old.serves, serves{}
}

// served forgets a call of the node, and returns it if it was known.
func (p *peer) served(id uint64) *caller {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.running[id]
	delete(p.running, id)
	return c
}

func (n *Node) newCaller(from *origin, mid uint64, call *pending) *caller {
	c := &caller{node: n, mid: mid, call: call}
	if from != nil {
		c.from, c.epoch = from.addr, from.epoch
	}
	c.sess = session.NewWithID(c, 0)
	c.sess.SetLifetime(session.NewLifetime()) // nobody is told of it
	return c
}

// takeCall takes a call of another node, or that it does not wait any more. The first eight data bytes of a call are the
// time that the caller still waits.
func (n *Node) takeCall(from *origin, f *link.Frame, add addCall) {
	if f.Kind == link.Call && f.Flags&flagOff != 0 {
		if p := n.peer(from.addr); p != nil && p.epoch == from.epoch {
			if c := p.served(f.ID); c != nil {
				c.giveUp()
			}
		}
		return
	}
	c := n.newCaller(from, f.ID, nil)
	v := codec.View{Type: codec.Notify, Route: f.Route, Data: f.Data}
	if f.Kind == link.Call {
		v.Type, v.ID = codec.Request, f.ID
		if len(f.Data) < 8 {
			c.Fail(f.ID, dispatch.DefaultShape(component.Errorf(component.CodeInvalid, "the call has no deadline")))
			from.Spent(costOf(f))
			return
		}
		v.Data = f.Data[8:]
		now := time.Now()
		c.deadline = now.Add(time.Duration(min(binary.BigEndian.Uint64(f.Data), uint64(maxWait))))
		if p := n.peer(from.addr); p != nil && p.epoch == from.epoch {
			p.serve(c, now)
		}
	}
	add(c, v, from, costOf(f))
}

// OfNode says that no client has sent the call.
func (c *caller) OfNode() {}

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
		return nodeAddr(c.node.ServiceAddr)
	}
	return nodeAddr(c.from)
}

var errNoClient = errors.New("there is no client: the handler was called by a node, not by a session")

// Push fails: there is nobody to push to.
func (c *caller) Push(string, any) error { return errNoClient }

// RPC sends a notify to whichever node serves the route.
func (c *caller) RPC(route string, v any) error {
	return c.node.Notify(route, v)
}

// ResponseMid answers the call.
func (c *caller) ResponseMid(mid uint64, v any) error {
	if c.mid == 0 || mid != c.mid {
		return ErrSessionOnNotify
	}
	data, err := c.node.serialize(v)
	if err != nil {
		return err
	}
	return c.reply(data, 0)
}

// FailMid answers the call as if its handler had returned err.
func (c *caller) FailMid(mid uint64, err error) error {
	if c.mid == 0 || mid != c.mid {
		return ErrSessionOnNotify
	}
	c.node.table.Fail(c, mid, "", err)
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
		c.node.log.Debug("a call's error was not sent", "peer", c.from, "err", err)
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
	p := c.node.peer(c.from)
	if p == nil || p.epoch != c.epoch {
		return fmt.Errorf("%w: the calling node %s is gone", ErrBrokenPipe, c.from)
	}
	p.served(c.mid)
	return p.send(&link.Frame{Kind: link.Reply, Flags: flags, ID: c.mid, Data: data})
}

// failureOf makes the error that a call's error payload tells.
func failureOf(data []byte) error {
	var f dispatch.Failure
	if err := json.Unmarshal(data, &f); err != nil || f.Code == "" {
		return component.Errorf(component.CodeInternal, "the call failed: %s", data)
	}
	return &component.Error{Code: f.Code, Message: f.Error}
}

// takeReply ends the call that waits for it.
func (p *peer) takeReply(f *link.Frame) {
	p.mu.Lock()
	c := p.calls[f.ID]
	delete(p.calls, f.ID)
	p.mu.Unlock()
	switch {
	case c == nil: // it has timed out
	case f.Flags&flagError != 0:
		c.end(nil, failureOf(f.Data))
	default:
		c.end(bytes.Clone(f.Data), nil)
	}
}

// serviceOf returns the part of a route before its last dot.
func serviceOf(route string) (string, error) {
	if i := strings.LastIndexByte(route, '.'); i > 0 {
		return route[:i], nil
	}
	return "", component.Errorf(component.CodeInvalid, "route %q is not Service.Method", route)
}

// Call calls the handler of route, on this node or one of those that run it, waits for its reply and unmarshals it
// into reply (a *[]byte takes it as it is; nil throws it away). The handler's context ends when ctx does. Its errors: the
// handler's as a *component.Error; "unavailable" when the node dies; "not_found" when nobody serves the route; ctx's own.
// Without a deadline in ctx it is DefaultCallTimeout. A handler, a task or a timer may call it: its scheduler runs others
// while it waits.
func (n *Node) Call(ctx context.Context, route string, v, reply any) error {
	if !n.ready.Load() {
		return component.Errorf(component.CodeUnavailable, "the node has not started")
	}
	data, err := n.serialize(v)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultCallTimeout)
		defer cancel()
	}
	c := &pending{done: make(chan struct{})}
	var p *peer
	var id uint64
	var local *caller
	if n.table.Has(route) {
		local = n.newCaller(nil, 1, c)
		local.deadline, _ = ctx.Deadline()
		if err := n.table.Schedule(local, codec.View{Type: codec.Request, ID: 1, Route: []byte(route), Data: data}); err != nil {
			return err
		}
	} else {
		service, err := serviceOf(route)
		if err != nil {
			return err
		}
		if p, err = n.anyOf(service); err != nil {
			return err
		}
		if id, err = p.start(ctx, c, route, data); err != nil {
			return err
		}
	}
	dispatch.Await(ctx, func() {
		select {
		case <-c.done:
		case <-ctx.Done():
		}
	})
	if p != nil {
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
	}
	if c.end(nil, fmt.Errorf("call %s: %w", route, context.Cause(ctx))) && errors.Is(ctx.Err(), context.Canceled) {
		// Who was called knows the deadline, but not this.
		if local != nil {
			local.giveUp()
		} else {
			_ = p.send(&link.Frame{Kind: link.Call, Flags: flagOff, ID: id}) // a node that cannot be reached does without
		}
	}
	if c.err != nil {
		return c.err
	}
	switch to := reply.(type) {
	case nil:
		return nil
	case *[]byte:
		*to = c.data
		return nil
	}
	if err := n.serializer.Unmarshal(c.data, reply); err != nil {
		return fmt.Errorf("call %s: the reply is not a %T: %w", route, reply, err)
	}
	return nil
}

// start sends a call.
func (p *peer) start(ctx context.Context, c *pending, route string, data []byte) (id uint64, err error) {
	if p.link == nil {
		return 0, component.Errorf(component.CodeUnavailable, "node %s is of the 0.5 series, which takes no calls", p.addr)
	}
	id = p.ids.Add(1)
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return 0, unavailable(p.addr)
	}
	p.calls[id] = c
	p.mu.Unlock()
	deadline, _ := ctx.Deadline()
	body := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(data)), uint64(max(0, time.Until(deadline))))
	err = p.post(&link.Frame{Kind: link.Call, ID: id, Route: []byte(route), Data: append(body, data...)}, p.sendNow)
	if err != nil {
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
	}
	return id, err
}

// anyOf chooses a node that runs a service.
func (n *Node) anyOf(service string) (*peer, error) {
	open := n.others.Load().Open(service)
	open = linked(open)
	if len(open) == 0 {
		if len(n.others.Load().Running(service)) > 0 {
			return nil, component.Errorf(component.CodeUnavailable, "no node that runs service %q can be called now", service)
		}
		return nil, component.Errorf(component.CodeNotFound, "no node runs service %q", service)
	}
	// In turn, beginning anywhere.
	p := n.peer(open[int(n.turn.Add(1)%uint64(len(open)))].Addr)
	if p == nil {
		return nil, component.Errorf(component.CodeUnavailable, "no node that runs service %q can be called now", service)
	}
	return p, nil
}

// linked leaves out nodes of the 0.5 series: what is not from a session cannot be said to them.
func linked(all []member.Peer) []member.Peer {
	some := make([]member.Peer, 0, len(all))
	for _, p := range all {
		if p.Link > 0 {
			some = append(some, p)
		}
	}
	return some
}

// Notify has the handler of route called on this node or one that runs it, without a reply.
func (n *Node) Notify(route string, v any) error {
	return n.notify(route, v, func(service string) ([]*peer, error) {
		p, err := n.anyOf(service)
		return []*peer{p}, err
	}, true)
}

// NotifyAll has the handler of route called on every node that runs it, this one among them.
func (n *Node) NotifyAll(route string, v any) error {
	local := n.ready.Load() && n.table.Has(route)
	var errs []error
	if local {
		errs = append(errs, n.Notify(route, v))
	}
	errs = append(errs, n.notify(route, v, func(service string) ([]*peer, error) {
		var all []*peer
		for _, m := range linked(n.others.Load().Running(service)) {
			if p := n.peer(m.Addr); p != nil {
				all = append(all, p)
			}
		}
		if len(all) == 0 && !local {
			return nil, component.Errorf(component.CodeNotFound, "no node runs service %q", service)
		}
		return all, nil
	}, false))
	return errors.Join(errs...)
}

// NotifyNode has the handler of route called on the node with that service address.
func (n *Node) NotifyNode(addr, route string, v any) error {
	if addr == n.ServiceAddr {
		return n.notify(route, v, func(string) ([]*peer, error) {
			return nil, component.Errorf(component.CodeNotFound, "no handler for route %q", route)
		}, true)
	}
	return n.notify(route, v, func(string) ([]*peer, error) {
		p := n.peer(addr)
		if p == nil || p.link == nil {
			return nil, unavailable(addr)
		}
		return []*peer{p}, nil
	}, false)
}

func (n *Node) notify(route string, v any, to func(service string) ([]*peer, error), here bool) error {
	if !n.ready.Load() {
		return component.Errorf(component.CodeUnavailable, "the node has not started")
	}
	data, err := n.serialize(v)
	if err != nil {
		return err
	}
	if here && n.table.Has(route) {
		return n.table.Schedule(n.newCaller(nil, 0, nil), codec.View{Type: codec.Notify, Route: []byte(route), Data: data})
	}
	service, err := serviceOf(route)
	if err != nil {
		return err
	}
	peers, err := to(service)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range peers {
		errs = append(errs, p.post(&link.Frame{Kind: link.Cast, Route: []byte(route), Data: data}, p.send))
	}
	return errors.Join(errs...)
}
