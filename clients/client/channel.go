package client

import "sync"

// Overflow says what happens to a push for which a channel has no room.
type Overflow int

const (
	// Wait waits for room. All handlers wait meanwhile, within the bound of WithPushQueue.
	Wait Overflow = iota
	// DropNewest drops the push that has no room, and counts it in Stats.
	DropNewest
	// DropOldest drops the push that has been in the channel for longest, and counts it in Stats.
	// So the channel holds the latest ones.
	DropOldest
)

// Channel returns a channel of the decoded pushes of a route. It holds size of them, at least 1;
// overflow says what happens to a push that does not fit.
//
// The channel is closed by stop, or when the client has ended and the channel has got the last
// push. With Wait, a client that ends by itself waits for the reader of the channel until then, or
// until Close.
func Channel[T any](c *Client, route string, size int, overflow Overflow) (pushes <-chan *T, stop func()) {
	f := &feed[T]{
		client:   c,
		overflow: overflow,
		ch:       make(chan *T, max(size, 1)),
		gone:     make(chan struct{}),
	}
	remove := c.pushes.add(route, &handler{fn: f.deliver, end: f.end})
	return f.ch, remove
}

// feed is a channel and what is needed to send on it.
type feed[T any] struct {
	client   *Client
	overflow Overflow
	gone     chan struct{} // closed before mu is taken for closing ch

	mu     sync.Mutex // held while sending
	ch     chan *T
	closed bool
}

// deliver is the handler.
func (f *feed[T]) deliver(data []byte) error {
	msg := new(T)
	if err := f.client.cfg.decode(data, msg); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	for {
		select {
		case f.ch <- msg:
			return nil
		default:
		}
		switch f.overflow {
		case DropNewest:
			f.client.stats.dropped.Add(1)
			return nil
		case DropOldest:
			select {
			case <-f.ch:
				f.client.stats.dropped.Add(1)
			default: // its reader was faster
			}
		default:
			select {
			case f.ch <- msg:
			case <-f.gone:
			case <-f.client.ctx.Done():
			}
			return nil
		}
	}
}

// end closes the channel. It is called once.
func (f *feed[T]) end() {
	close(f.gone)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	close(f.ch)
}
