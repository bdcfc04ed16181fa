package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
)

// call is one request in flight. It goes back to its client's list when its caller has what it wants.
type call struct {
	done    chan struct{} // one send for each request
	data    []byte
	failed  bool // data is an error
	packed  bool // data is gzip
	err     error
	expires time.Time // zero: its context bounds it
	next    *call     // in the list
}

// maxFree is how many calls a client keeps for reuse.
const maxFree = 4

// Request sends v to a route and waits for the answer, which it decodes into reply, a pointer, or drops if that is nil.
// v may be nil for no payload.
//
// Errors: *Error if the server answered with one; ErrTimeout or ctx's; ErrLost if the connection ended meanwhile,
// ErrAway if none came back, ErrClosed, ErrNotConnected; what the serializer says; codec.ErrPacketTooLarge and
// codec.ErrRouteTooLong, for which nothing was sent. An answer that comes after the request was given up is dropped.
func (c *Client) Request(ctx context.Context, route string, v, reply any) error {
	payload, err := c.encode(v)
	if err != nil {
		return fmt.Errorf("client: request %s: %w", route, err)
	}
	k, id, err := c.send(ctx, codec.Request, route, payload)
	if err != nil {
		return fmt.Errorf("client: request %s: %w", route, err)
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		if c.forget(id) {
			c.recycle(k)
			return fmt.Errorf("client: request %s: %w", route, ctx.Err())
		}
		<-k.done // it came at the same time
	}
	err = c.result(k, reply)
	c.recycle(k)
	if err != nil {
		return fmt.Errorf("client: request %s: %w", route, err)
	}
	return nil
}

// Call is Client.Request with the reply as a result. With a Resp of []byte it is the payload as it came.
func Call[Resp any](ctx context.Context, c *Client, route string, req any) (*Resp, error) {
	reply := new(Resp)
	if err := c.Request(ctx, route, req, reply); err != nil {
		return nil, err
	}
	return reply, nil
}

// Notify sends v to a route that does not answer, and returns when it is queued. What happens to it after that shows
// only in the connection's state. Errors are those of Request.
func (c *Client) Notify(ctx context.Context, route string, v any) error {
	payload, err := c.encode(v)
	if err == nil {
		_, _, err = c.send(ctx, codec.Notify, route, payload)
	}
	if err != nil {
		return fmt.Errorf("client: notify %s: %w", route, err)
	}
	return nil
}

func (c *Client) encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	}
	return c.cfg.serializer.Marshal(v)
}

// decode reads a payload that is borrowed.
func (c *Client) decode(data []byte, v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case *[]byte:
		*v = bytes.Clone(data)
		return nil
	}
	return c.cfg.serializer.Unmarshal(data, v)
}

// send queues a message once there is a connection that takes it. For a request it returns the call, and its id.
func (c *Client) send(ctx context.Context, t codec.Type, route string, payload []byte) (*call, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.awaitLocked(ctx); err != nil {
		return nil, 0, err
	}
	l := c.link
	var id uint64
	if t == codec.Request {
		id = c.id + 1
	}
	err := c.sendLocked(l, func(b []byte) ([]byte, error) {
		return codec.AppendData(b, t, id, route, payload, 0, l.dict, l.info.MaxPacket)
	})
	if err != nil || t != codec.Request {
		return nil, 0, err
	}
	c.id = id
	k := c.newCallLocked()
	if c.pending == nil {
		c.pending = make(map[uint64]*call)
	}
	c.pending[id] = k
	if _, bounded := ctx.Deadline(); !bounded && c.cfg.requestTimeout > 0 {
		k.expires = time.Now().Add(c.cfg.requestTimeout)
		c.armLocked(c.cfg.requestTimeout)
	}
	return k, id, nil
}

// awaitLocked waits until c.link takes a message that is sent with ctx. The lock is open meanwhile.
func (c *Client) awaitLocked(ctx context.Context) error {
	var bound <-chan time.Time
	for {
		var wake chan struct{}
		var away <-chan time.Time
		switch {
		case c.closing:
			return ErrClosed
		case c.finished:
			if errors.Is(c.err, ErrClosed) {
				return c.err
			}
			return fmt.Errorf("%w: %w", ErrClosed, c.err)
		case c.link.usableForLocked(ctx):
			if c.link.out == nil || len(*c.link.out) < maxQueued {
				return nil
			}
			if c.link.space == nil {
				c.link.space = make(chan struct{})
			}
			wake = c.link.space
		case !c.running:
			return ErrNotConnected
		case c.setupOverLocked(ctx):
			return ErrLost
		default:
			if c.cfg.awayWait == 0 {
				return c.awayLocked()
			}
			if c.gate == nil {
				c.gate = make(chan struct{})
			}
			wake = c.gate
			if bound == nil {
				t := time.NewTimer(c.cfg.awayWait)
				defer t.Stop() //nolint:revive // made at most once, whatever the loop does
				bound = t.C
			}
			away = bound
		}
		c.mu.Unlock()
		var err error
		select {
		case <-wake:
		case <-ctx.Done():
			err = ctx.Err()
		case <-away:
			err = ErrAway
		}
		c.mu.Lock()
		if errors.Is(err, ErrAway) {
			err = c.awayLocked()
		}
		if err != nil {
			return err
		}
	}
}

// setupOverLocked tells whether ctx is that of a setup whose connection has ended: its requests wait for no other.
func (c *Client) setupOverLocked(ctx context.Context) bool {
	l, ok := ctx.Value(setupKey{}).(*link)
	return ok && l != c.link || ok && l.dead
}

func (c *Client) awayLocked() error {
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrAway, c.err)
	}
	return ErrAway
}

// answer gives a response to whoever waits for it.
func (c *Client) answer(v codec.View) {
	c.mu.Lock()
	k := c.pending[v.ID]
	delete(c.pending, v.ID)
	c.mu.Unlock()
	if k == nil { // given up
		return
	}
	k.data = append(k.data[:0], v.Data...)
	k.failed, k.packed = v.Err, v.Gzip
	k.done <- struct{}{}
}

// result reads what a call has got.
func (c *Client) result(k *call, reply any) error {
	if k.err != nil {
		return k.err
	}
	data := k.data
	if k.packed {
		var err error
		if data, err = unpack(data, c.cfg.maxReceived); err != nil {
			return err
		}
	}
	if k.failed {
		return failure(data, c.cfg.serializer)
	}
	if err := c.decode(data, reply); err != nil {
		return fmt.Errorf("decode the answer into %T: %w", reply, err)
	}
	return nil
}

// forget gives a request up; false if it has an outcome already.
func (c *Client) forget(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.pending[id]
	delete(c.pending, id)
	return ok
}

func (c *Client) newCallLocked() *call {
	k := c.free
	if k == nil {
		return &call{done: make(chan struct{}, 1)}
	}
	c.free, k.next = k.next, nil
	c.frees--
	return k
}

func (c *Client) recycle(k *call) {
	if cap(k.data) > readBuffer {
		k.data = nil
	}
	k.err, k.failed, k.packed, k.expires = nil, false, false, time.Time{}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frees < maxFree {
		k.next, c.free = c.free, k
		c.frees++
	}
}

// takePendingLocked returns the requests in flight, which are nobody's then but the caller's to end.
func (c *Client) takePendingLocked() []*call {
	all := make([]*call, 0, len(c.pending))
	for id, k := range c.pending {
		delete(c.pending, id)
		all = append(all, k)
	}
	return all
}

func failAll(all []*call, err error) {
	for _, k := range all {
		k.err = err
		k.done <- struct{}{}
	}
}

// armLocked has sweep called in d, unless it will be before: then it sees to the rest itself.
func (c *Client) armLocked(d time.Duration) {
	if c.armed {
		return
	}
	c.armed = true
	c.wg.Add(1)
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(d, c.sweep)
	} else {
		c.sweeper.Reset(d)
	}
}

// sweep ends the requests whose time is over.
func (c *Client) sweep() {
	defer c.wg.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = false
	now := time.Now()
	var earliest time.Time
	for id, k := range c.pending {
		switch {
		case k.expires.IsZero():
		case !now.Before(k.expires):
			delete(c.pending, id)
			k.err = ErrTimeout
			k.done <- struct{}{}
		case earliest.IsZero() || k.expires.Before(earliest):
			earliest = k.expires
		}
	}
	if !earliest.IsZero() && !c.finished {
		c.armLocked(earliest.Sub(now))
	}
}

var unpackers sync.Pool // of *gzip.Reader

// unpack returns what packed unpacks to, which must not be more than limit bytes.
func unpack(packed []byte, limit int) ([]byte, error) {
	src := bytes.NewReader(packed)
	z, _ := unpackers.Get().(*gzip.Reader)
	var err error
	if z == nil {
		z, err = gzip.NewReader(src)
	} else {
		err = z.Reset(src)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: gzip payload: %w", ErrProtocol, err)
	}
	defer unpackers.Put(z)
	data, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = codec.ErrPacketTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w: gzip payload: %w", ErrProtocol, err)
	}
	return data, nil
}
