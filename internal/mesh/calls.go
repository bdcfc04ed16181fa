package mesh

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
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
func (n *Mesh) Call(ctx context.Context, route string, v, reply any) error {
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
		if p, err = n.anyOf(service); err != nil && n.others.Load().Coming(service) {
			dispatch.Await(ctx, func() { n.awaitComing(ctx, service) })
			p, err = n.anyOf(service)
		}
		if err != nil {
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
	f := link.Frame{Kind: link.Call, ID: id, Route: []byte(route), Data: data}
	if left := max(time.Until(deadline), time.Microsecond); p.version >= answersFrom {
		f.Left = left
	} else {
		f.Data = append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(data)), uint64(left)), data...)
	}
	err = p.post(&f, p.sendNow)
	if err == nil && p.lost.Load() { // since it was chosen: its calls were failed before this one was noted, or with it
		p.withdraw()
		err = unavailable(p.addr)
	}
	if err != nil {
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
	}
	return id, err
}

// anyOf chooses a node that runs a service.
func (n *Mesh) anyOf(service string) (*peer, error) {
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
func (n *Mesh) Notify(route string, v any) error {
	return n.notify(route, v, func(service string) ([]*peer, error) {
		p, err := n.anyOf(service)
		return []*peer{p}, err
	}, true)
}

// NotifyAll has the handler of route called on every node that runs it, this one among them.
func (n *Mesh) NotifyAll(route string, v any) error {
	local := n.table.Has(route)
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
func (n *Mesh) NotifyNode(addr, route string, v any) error {
	if addr == n.addr {
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

func (n *Mesh) notify(route string, v any, to func(service string) ([]*peer, error), here bool) error {
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
