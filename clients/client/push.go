package client

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/codec"
)

// perPush is how many bytes a waiting push counts beside its payload.
const perPush = 64

// handler is one function that gets the pushes of a route.
type handler struct {
	fn   func(data []byte) error // an error says that the payload did not decode
	end  func()                  // after the last push; nil for functions
	gone atomic.Bool
}

// topic is a route with its handlers. It does not change after it was made.
type topic struct {
	route    string
	handlers []*handler
}

// item is something to tell the application: a push, or a change of state.
type item struct {
	topic    *topic // nil: nobody has asked for the route
	route    string // if topic is nil
	off, len int    // of the payload, in the batch
	packed   bool
	change   *Change
}

// batch holds what has come while handlers were busy.
type batch struct {
	items []item
	data  []byte
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func putBatch(b *batch) {
	if cap(b.data) <= keepMax && cap(b.items) <= keepMax/perPush {
		clear(b.items)
		b.items, b.data = b.items[:0], b.data[:0]
		batches.Put(b)
	}
}

// queue holds what waits for the application. The goroutine that works it off exists while there is
// something in it.
type queue struct {
	mu      sync.Mutex
	topics  map[string]*topic
	others  func(route string, data []byte)
	batch   *batch // nil: nothing waits
	running bool   // dispatch is
	last    bool   // nothing will come any more
	ended   bool   // dispatch is over for good

	bytes atomic.Int64 // that wait or are being handled
}

// On registers fn, which is called with the payload of each push of a route until remove is called.
// Several functions of one route are called in the order of their registration. fn must not keep
// data after it returns. It runs on the goroutine of the handlers; a panic in it is logged, and
// costs this call only.
func (c *Client) On(route string, fn func(data []byte)) (remove func()) {
	return c.add(route, &handler{fn: func(data []byte) error {
		fn(data)
		return nil
	}})
}

// On is [Client.On] with the payload decoded. A payload that does not decode is logged and dropped.
// Each call of fn gets a value of its own, which it may keep.
func On[T any](c *Client, route string, fn func(msg *T)) (remove func()) {
	return c.add(route, &handler{fn: func(data []byte) error {
		msg := new(T)
		if err := c.decode(data, msg); err != nil {
			return err
		}
		fn(msg)
		return nil
	}})
}

// OnOther sets the function that gets the pushes that nothing else is registered for; nil removes
// it. fn must not keep data after it returns.
func (c *Client) OnOther(fn func(route string, data []byte)) {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	c.q.others = fn
}

// add registers h and returns what removes it.
func (c *Client) add(route string, h *handler) (remove func()) {
	q := &c.q
	q.mu.Lock()
	if q.ended {
		q.mu.Unlock()
		h.finish()
		return func() {}
	}
	if q.topics == nil {
		q.topics = make(map[string]*topic)
	}
	t := &topic{route: route}
	if old := q.topics[route]; old != nil {
		t.handlers = slices.Clone(old.handlers)
	}
	t.handlers = append(t.handlers, h)
	q.topics[route] = t
	q.mu.Unlock()
	return func() { c.remove(route, h) }
}

func (c *Client) remove(route string, h *handler) {
	if h.gone.Swap(true) {
		return
	}
	q := &c.q
	q.mu.Lock()
	if old := q.topics[route]; old != nil {
		t := &topic{route: route, handlers: slices.DeleteFunc(slices.Clone(old.handlers), func(x *handler) bool { return x == h })}
		if q.topics[route] = t; len(t.handlers) == 0 {
			delete(q.topics, route)
		}
	}
	q.mu.Unlock()
	h.finish()
}

// finish tells a handler that it gets no more pushes.
func (h *handler) finish() {
	if h.end != nil {
		h.end()
	}
}

// push queues a push that came on l.
func (c *Client) push(l *link, v codec.View) error {
	c.stats.pushes.Add(1)
	q := &c.q
	q.mu.Lock()
	it := item{packed: v.Gzip}
	if v.Compressed {
		route, err := v.RouteString(l.dict)
		if err != nil {
			q.mu.Unlock()
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		if it.topic = q.topics[route]; it.topic == nil {
			it.route = route
		}
	} else if it.topic = q.topics[string(v.Route)]; it.topic == nil && q.others != nil {
		it.route = string(v.Route)
	}
	if it.topic == nil && q.others == nil {
		q.mu.Unlock()
		c.stats.unhandled.Add(1)
		return nil
	}
	size := int64(len(v.Data) + perPush)
	if q.bytes.Load()+size > c.cfg.pushQueue {
		q.mu.Unlock()
		if c.cfg.pushDrop {
			c.stats.dropped.Add(1)
			return nil
		}
		return ErrOverflow
	}
	q.bytes.Add(size)
	b := q.openLocked()
	it.off, it.len = len(b.data), len(v.Data)
	b.data = append(b.data, v.Data...)
	if l.event != nil && !q.running { // handle calls the handlers at its end
		q.running, l.owing = true, true
	}
	c.putLocked(it)
	q.mu.Unlock()
	return nil
}

// enqueueChange queues a change of state, in order with the pushes.
func (c *Client) enqueueChange(ch Change) {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	c.q.openLocked()
	c.putLocked(item{change: &ch})
}

func (q *queue) openLocked() *batch {
	if q.batch == nil {
		q.batch = batches.Get().(*batch)
	}
	return q.batch
}

// putLocked appends to the open batch, and starts dispatch if it does not run.
func (c *Client) putLocked(it item) {
	q := &c.q
	q.batch.items = append(q.batch.items, it)
	if !q.running {
		q.running = true
		go c.dispatching()
	}
}

// last says that nothing is queued after it. When it returns, everything was handled, or a running
// dispatch handles the rest.
func (c *Client) last() {
	c.q.mu.Lock()
	c.q.last = true
	if c.q.running {
		c.q.mu.Unlock()
		return
	}
	c.q.running = true
	c.q.mu.Unlock()
	c.dispatch()
}

// dispatch calls handlers until nothing waits for one.
func (c *Client) dispatch() {
	q := &c.q
	for {
		q.mu.Lock()
		b := q.batch
		q.batch = nil
		if b == nil {
			q.running = false
			last := q.last
			var topics map[string]*topic
			if last {
				q.ended = true
				topics, q.topics = q.topics, nil
			}
			q.mu.Unlock()
			if last {
				c.end(topics)
			}
			return
		}
		others := q.others
		q.mu.Unlock()
		for i := range b.items {
			it := &b.items[i]
			if it.change != nil {
				c.tell(*it.change)
				continue
			}
			if c.ctx.Err() == nil { // else Close was called, and nobody wants them any more
				c.deliver(it, b.data[it.off:it.off+it.len:it.off+it.len], others)
			}
			q.bytes.Add(-int64(it.len + perPush))
		}
		putBatch(b)
	}
}

// end is the last thing that a client does.
func (c *Client) end(topics map[string]*topic) {
	for _, t := range topics {
		for _, h := range t.handlers {
			if !h.gone.Swap(true) {
				h.finish()
			}
		}
	}
	c.cancel()
	close(c.done)
}

// deliver gives a push to its handlers.
func (c *Client) deliver(it *item, data []byte, others func(string, []byte)) {
	if it.packed {
		var err error
		if data, err = unpack(data, c.cfg.maxReceived); err != nil {
			c.cfg.log.Error("push dropped", "route", it.name(), "err", err)
			return
		}
	}
	if it.topic == nil {
		if others != nil {
			c.shield(it.route, func() error { others(it.route, data); return nil })
		}
		return
	}
	for _, h := range it.topic.handlers {
		if !h.gone.Load() {
			c.call(it.topic.route, h, data)
		}
	}
}

func (it *item) name() string {
	if it.topic != nil {
		return it.topic.route
	}
	return it.route
}

// call runs a handler. It exists beside shield because it needs no closure.
func (c *Client) call(route string, h *handler, data []byte) {
	defer c.recovered(route)
	if err := h.fn(data); err != nil {
		c.cfg.log.Error("push dropped: its payload does not decode", "route", route, "err", err)
	}
}

func (c *Client) tell(ch Change) {
	c.shield("state handler", func() error { c.cfg.onState(ch); return nil })
}

func (c *Client) shield(name string, fn func() error) {
	defer c.recovered(name)
	_ = fn()
}

// recovered is deferred around functions of the application.
func (c *Client) recovered(name string) {
	if v := recover(); v != nil {
		c.logPanic(name, v)
	}
}

func (c *Client) logPanic(name string, v any) {
	c.cfg.log.Error("handler panicked", "handler", name, "panic", v, "stack", string(debug.Stack()))
}
