package mesh

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/tally"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// calls are what nodes ask of each other in their own name: Call waits for a reply, Notify does
// not. The methods may be called concurrently.
type calls struct {
	*node
	peers     *peers
	router    *router
	questions *questions
	times     tally.Histogram // from Call to its return
	errors    tally.Codes     // of those that failed
}

// DefaultCallTimeout is the deadline of a call whose context has none.
const DefaultCallTimeout = 5 * time.Second

// maxWait is how long a call of another node is believed to wait.
const maxWait = 30 * 24 * time.Hour

// addCall adds a message to a batch of handler calls.
type addCall = func(p dispatch.Entity, v codec.View, m dispatch.Meter, cost int, trace []byte)

// Call calls the handler of route, here or on a node that runs it, and unmarshals its reply into
// reply. The deadline is that of ctx; it travels with the call, and callSession keeps it where the
// handler runs.
func (c *calls) Call(ctx context.Context, route string, v, reply any) error {
	began := time.Now()
	span := c.table.Spans().Start(ctx, tracing.Operation{Kind: tracing.Call, Route: route, Request: true, Nodes: true})
	err := c.call(ctx, route, v, reply, span.Carrier)
	c.table.Spans().End(span, err)
	c.times.Record(time.Since(began))
	if err != nil {
		c.errors.Add(dispatch.CodeOf(err))
	}
	return err
}

// call is Call within a span, whose carrier is trace.
func (c *calls) call(ctx context.Context, route string, v, reply any, trace []byte) error {
	data, err := c.serialize(v)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultCallTimeout)
		defer cancel()
	}
	call := newPendingCall()
	giveUp, err := c.begin(ctx, call, &link.Frame{Route: []byte(route), Data: data, Trace: trace})
	if err != nil {
		return err
	}
	dispatch.Await(ctx, func() {
		select {
		case <-call.done:
		case <-ctx.Done():
		}
	})
	late := call.end(nil, fmt.Errorf("cluster: call %s: %w", route, context.Cause(ctx)))
	giveUp(late && errors.Is(ctx.Err(), context.Canceled)) // who was called knows the deadline, but not this
	if call.err != nil {
		return call.err
	}
	switch to := reply.(type) {
	case nil:
		return nil
	case *[]byte:
		*to = call.data
		return nil
	}
	if err := c.cfg.Serializer.Unmarshal(call.data, reply); err != nil {
		return fmt.Errorf("%w: %s: it is not a %T: %w", errReply, route, reply, err)
	}
	return nil
}

var errReply = fault.New(fault.Invalid, "cluster: the reply of a call does not parse")

// begin has the handler called, here or at another node. over is to be called when nobody waits any
// more: with tell set the handler is told.
func (c *calls) begin(ctx context.Context, call *pendingCall, f *link.Frame) (over func(tell bool), err error) {
	route := string(f.Route)
	if c.table.Has(route) {
		local := c.newSession(nil, 1, call)
		local.deadline, _ = ctx.Deadline()
		err := c.table.Schedule(local, codec.View{Type: codec.Request, ID: 1, Route: f.Route, Data: f.Data}, f.Trace)
		return func(tell bool) {
			if tell {
				local.giveUp()
			}
		}, err
	}
	service, err := dispatch.ServiceOf(route)
	if err != nil {
		return nil, err
	}
	p, err := c.router.anyOf(service)
	if err != nil && c.router.coming(service) {
		dispatch.Await(ctx, func() { c.router.awaitComing(ctx, service) })
		p, err = c.router.anyOf(service)
	}
	if err != nil {
		return nil, err
	}
	if err := c.send(ctx, p, call, f); err != nil {
		return nil, err
	}
	return func(tell bool) {
		p.calls.remove(call.id)
		if tell {
			p.callOff(call.id)
		}
	}, nil
}

// send sends a call to p.
func (c *calls) send(ctx context.Context, p *peer, call *pendingCall, f *link.Frame) error {
	if p.link == nil {
		return component.Errorf(component.CodeUnavailable, "node %s is of the 0.5 series, which takes no calls", p.addr)
	}
	if !p.calls.begin(call) {
		return unavailable(p.addr)
	}
	deadline, _ := ctx.Deadline()
	f.Kind, f.ID = link.Call, call.id
	if left := max(time.Until(deadline), time.Microsecond); p.version >= answersFrom {
		f.Left = left
	} else { // nodes with an earlier link tell how long they wait in the first eight bytes of the data
		f.Data = append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(f.Data)), uint64(left)), f.Data...)
	}
	err := p.post(f, p.sendNow)
	if err == nil && p.lost.Load() { // since it was chosen: its calls were failed before this one was noted, or with it
		p.withdraw()
		err = unavailable(p.addr)
	}
	if err != nil {
		p.calls.remove(call.id)
	}
	return err
}

// Notify has the handler of route called here or on one node that runs it, without a reply. Of ctx
// only the span counts.
func (c *calls) Notify(ctx context.Context, route string, v any) error {
	return c.traced(ctx, route, func(trace []byte) error { return c.notifyAny(route, v, trace) })
}

// traced makes a notify within a span.
func (c *calls) traced(ctx context.Context, route string, notify func(trace []byte) error) error {
	span := c.table.Spans().Start(ctx, tracing.Operation{Kind: tracing.Notify, Route: route, Nodes: true})
	err := notify(span.Carrier)
	c.table.Spans().End(span, err)
	return err
}

func (c *calls) notifyAny(route string, v any, trace []byte) error {
	data, err := c.serialize(v)
	if err != nil {
		return err
	}
	if c.table.Has(route) {
		return c.notifyHere(route, data, trace)
	}
	service, err := dispatch.ServiceOf(route)
	if err != nil {
		return err
	}
	p, err := c.router.anyOf(service)
	if err != nil {
		return err
	}
	return c.notify(p, route, data, trace)
}

// NotifyAll has the handler of route called on every node that runs it, this one among them.
func (c *calls) NotifyAll(route string, v any) error {
	return c.traced(context.Background(), route, func(trace []byte) error { return c.notifyAll(route, v, trace) })
}

func (c *calls) notifyAll(route string, v any, trace []byte) error {
	data, err := c.serialize(v)
	if err != nil {
		return err
	}
	var errs []error
	here := c.table.Has(route)
	if here {
		errs = append(errs, c.notifyHere(route, data, trace))
	}
	service, err := dispatch.ServiceOf(route)
	if err != nil {
		return err
	}
	all := c.router.allOf(service)
	if len(all) == 0 && !here {
		return component.Errorf(component.CodeNotFound, "no node runs service %q", service)
	}
	for _, p := range all {
		errs = append(errs, c.notify(p, route, data, trace))
	}
	return errors.Join(errs...)
}

// NotifyNode has the handler of route called on the node with that service address.
func (c *calls) NotifyNode(addr, route string, v any) error {
	return c.traced(context.Background(), route, func(trace []byte) error { return c.notifyNode(addr, route, v, trace) })
}

func (c *calls) notifyNode(addr, route string, v any, trace []byte) error {
	data, err := c.serialize(v)
	if err != nil {
		return err
	}
	if addr == c.addr && c.table.Has(route) {
		return c.notifyHere(route, data, trace)
	}
	if _, err := dispatch.ServiceOf(route); err != nil {
		return err
	}
	if addr == c.addr {
		return component.Errorf(component.CodeNotFound, "no handler for route %q", route)
	}
	p := c.peers.at(addr)
	if p == nil || p.link == nil {
		return unavailable(addr)
	}
	return c.notify(p, route, data, trace)
}

func (c *calls) notifyHere(route string, data, trace []byte) error {
	return c.table.Schedule(c.newSession(nil, 0, nil), codec.View{Type: codec.Notify, Route: []byte(route), Data: data}, trace)
}

func (c *calls) notify(p *peer, route string, data, trace []byte) error {
	return p.post(&link.Frame{Kind: link.Cast, Route: []byte(route), Data: data, Trace: trace}, p.send)
}

// newSession makes the session of a call from another node, or, with from nil, of a call of this
// one.
func (c *calls) newSession(from *sender, mid uint64, call *pendingCall) *callSession {
	s := &callSession{calls: c, mid: mid, call: call}
	if from != nil {
		s.from, s.way = from.addr, from.way
	}
	s.sess = session.NewWithID(s, 0)
	s.sess.SetLifetime(session.NewLifetime()) // nobody is told of it
	return s
}

// handleCall takes a call of another node, or that it does not wait any more.
func (c *calls) handleCall(from *sender, f *link.Frame, add addCall) {
	if f.Kind == link.Call && f.Flags&flagOff != 0 {
		if call := from.way.served.end(f.ID); call != nil {
			call.giveUp()
		}
		return
	}
	if f.Kind == link.Call && f.Flags&flagNode != 0 {
		c.questions.handle(from, f)
		return
	}
	s := c.newSession(from, f.ID, nil)
	v := codec.View{Type: codec.Notify, Route: f.Route, Data: f.Data}
	if f.Kind == link.Call {
		v.Type, v.ID = codec.Request, f.ID
		left := f.Left
		if left == 0 { // see send
			if len(f.Data) < 8 {
				s.FailWith(f.ID, component.Errorf(component.CodeInvalid, "the call has no deadline"))
				from.Spent(costOf(f))
				return
			}
			v.Data = f.Data[8:]
			left = time.Duration(min(binary.BigEndian.Uint64(f.Data), uint64(maxWait)))
		}
		now := time.Now()
		s.deadline = now.Add(min(left, maxWait))
		from.way.served.begin(s, now)
	}
	add(s, v, from, costOf(f), f.Trace)
}

// handleReply ends the call that waits for it.
func (c *calls) handleReply(p *peer, f *link.Frame) {
	call := p.calls.remove(f.ID)
	if call != nil && call.answered != nil {
		call.answered()
	}
	switch {
	case call == nil: // it has timed out
	case f.Flags&flagError != 0:
		call.end(nil, failureOf(f.Data))
	default:
		call.end(bytes.Clone(f.Data), nil)
	}
}
