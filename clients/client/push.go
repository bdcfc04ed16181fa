package client

import (
	"fmt"
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
	gzip     bool
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

// pushes tells the application what it wants to hear, pushes and changes of state, in the order in
// which they came. The goroutine that calls its functions exists while something waits for them.
type pushes struct {
	cfg    *config
	stats  *counters
	over   func() bool // pushes are not wanted any more: Close was called
	ended  func()      // is called at the very end
	worker func()      // dispatch, bound once

	mu      sync.Mutex // may be taken under Client.mu, never the other way round
	topics  map[string]*topic
	others  func(route string, data []byte)
	batch   *batch // nil: nothing waits
	running bool   // dispatch is
	last    bool   // nothing will come any more
	closed  bool   // dispatch is over for good

	bytes atomic.Int64 // that wait or are being handled
}

// add registers h and returns what removes it.
func (q *pushes) add(route string, h *handler) (remove func()) {
	q.mu.Lock()
	if q.closed {
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
	return func() { q.remove(route, h) }
}

func (q *pushes) remove(route string, h *handler) {
	if h.gone.Swap(true) {
		return
	}
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

// other sets the function for routes that have no handler.
func (q *pushes) other(fn func(route string, data []byte)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.others = fn
}

// finish tells a handler that it gets no more pushes.
func (h *handler) finish() {
	if h.end != nil {
		h.end()
	}
}

// push queues a push that came on l.
func (q *pushes) push(l *link, v codec.View) error {
	q.stats.pushes.Add(1)
	q.mu.Lock()
	it := item{gzip: v.Gzip}
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
		q.stats.unhandled.Add(1)
		return nil
	}
	size := int64(len(v.Data) + perPush)
	if q.bytes.Load()+size > q.cfg.pushQueue {
		q.mu.Unlock()
		if q.cfg.pushDrop {
			q.stats.dropped.Add(1)
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
	q.putLocked(it)
	q.mu.Unlock()
	return nil
}

// change queues a change of state, in order with the pushes.
func (q *pushes) change(ch Change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.openLocked()
	q.putLocked(item{change: &ch})
}

func (q *pushes) openLocked() *batch {
	if q.batch == nil {
		q.batch = batches.Get().(*batch)
	}
	return q.batch
}

// putLocked appends to the open batch, and starts dispatch if it does not run.
func (q *pushes) putLocked(it item) {
	q.batch.items = append(q.batch.items, it)
	if !q.running {
		q.running = true
		go q.worker()
	}
}

// finish says that nothing is queued after it. When it returns, everything was handled, or a
// running dispatch handles the rest.
func (q *pushes) finish() {
	q.mu.Lock()
	q.last = true
	if q.running {
		q.mu.Unlock()
		return
	}
	q.running = true
	q.mu.Unlock()
	q.dispatch()
}

// dispatch calls handlers until nothing waits for one.
func (q *pushes) dispatch() {
	for {
		q.mu.Lock()
		b := q.batch
		q.batch = nil
		if b == nil {
			q.running = false
			last := q.last
			var topics map[string]*topic
			if last {
				q.closed = true
				topics, q.topics = q.topics, nil
			}
			q.mu.Unlock()
			if last {
				q.end(topics)
			}
			return
		}
		others := q.others
		q.mu.Unlock()
		for i := range b.items {
			it := &b.items[i]
			if it.change != nil {
				q.cfg.shield("state handler", func() error { q.cfg.onState(*it.change); return nil })
				continue
			}
			if !q.over() {
				q.deliver(it, b.data[it.off:it.off+it.len:it.off+it.len], others)
			}
			q.bytes.Add(-int64(it.len + perPush))
		}
		putBatch(b)
	}
}

// end is the last thing that a client does.
func (q *pushes) end(topics map[string]*topic) {
	for _, t := range topics {
		for _, h := range t.handlers {
			if !h.gone.Swap(true) {
				h.finish()
			}
		}
	}
	q.ended()
}

// deliver gives a push to its handlers.
func (q *pushes) deliver(it *item, data []byte, others func(string, []byte)) {
	if it.gzip {
		var err error
		if data, err = gunzip(data, q.cfg.maxReceived); err != nil {
			q.cfg.log.Error("push dropped", "route", it.name(), "err", err)
			return
		}
	}
	if it.topic == nil {
		if others != nil {
			q.cfg.shield(it.route, func() error { others(it.route, data); return nil })
		}
		return
	}
	for _, h := range it.topic.handlers {
		if !h.gone.Load() {
			q.call(it.topic.route, h, data)
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
func (q *pushes) call(route string, h *handler, data []byte) {
	defer q.cfg.recovered(route)
	if err := h.fn(data); err != nil {
		q.cfg.log.Error("push dropped: its payload does not decode", "route", route, "err", err)
	}
}
