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

// call is one request in flight. It goes back to its client's list when its caller has the outcome.
type call struct {
	done    chan struct{} // one send for each request
	data    []byte
	failed  bool // data is an error
	packed  bool // data is gzip
	err     error
	expires time.Time // zero: its context bounds it
	next    *call     // in the list

	route string // of Start: fn is called, and done is not used
	fn    func(data []byte, err error)
}

// maxFree is how many calls a client keeps for reuse.
const maxFree = 4

// Request sends v to a route, waits for the answer, and decodes it into reply, a pointer. A nil v
// is no payload, and a nil reply drops the answer. An answer that comes after Request has returned
// is dropped.
//
// The errors are:
//   - *[Error], if the server answered with one
//   - [ErrTimeout], or the error of ctx
//   - [ErrLost], if the connection ended meanwhile
//   - [ErrAway] with the cause, if there was no connection and none came in time; if ctx ended
//     first, with the error of ctx
//   - [ErrClosed] and [ErrNotConnected]
//   - codec.ErrPacketTooLarge and codec.ErrRouteTooLong, for which nothing was sent
//   - those of the serializer
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

// Call is [Client.Request] with the reply as a result. With a Resp of []byte the reply is the
// payload as it came.
func Call[Resp any](ctx context.Context, c *Client, route string, req any) (*Resp, error) {
	reply := new(Resp)
	if err := c.Request(ctx, route, req, reply); err != nil {
		return nil, err
	}
	return reply, nil
}

// Start sends v to a route and does not wait for the answer. It calls fn once, with the payload of
// the answer, which fn must not keep, or with the error that [Client.Request] would return. Start
// is for programs with very many requests: none needs a goroutine. fn runs on the goroutine that
// reads, or on that of whoever ends the connection. It must be quick, and must not wait for
// anything of this client. [WithRequestTimeout] bounds the time.
//
// Start itself never waits either. If it returns an error, it does not call fn: [ErrBusy] if too
// much waits to be written, [ErrAway], or one of the other errors of Request.
func (c *Client) Start(route string, v any, fn func(data []byte, err error)) error {
	payload, err := c.encode(v)
	if err == nil {
		err = c.start(route, payload, fn)
	}
	if err != nil {
		return fmt.Errorf("client: request %s: %w", route, err)
	}
	return nil
}

func (c *Client) start(route string, payload []byte, fn func(data []byte, err error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.readyLocked(context.Background()); err != nil {
		return err
	}
	if c.suspended == nil && (c.link == nil || c.link.dead || !c.link.online) {
		return c.awayLocked()
	}
	if !c.roomLocked() {
		return ErrBusy
	}
	k, _, err := c.sendRequestLocked(route, payload, true)
	if err == nil {
		k.route, k.fn = route, fn
	}
	return err
}

// Notify sends v to a route that does not answer, and returns when the message is queued. What
// happens to it after that shows only in the state of the connection. The errors are those of
// [Client.Request].
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

// decode reads a payload that it must not keep.
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

// send queues a message when there is a connection that takes it. For a request it returns the call
// and its id.
func (c *Client) send(ctx context.Context, t codec.Type, route string, payload []byte) (*call, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.awaitLocked(ctx); err != nil {
		return nil, 0, err
	}
	if t == codec.Request {
		_, bounded := ctx.Deadline()
		return c.sendRequestLocked(route, payload, !bounded)
	}
	return nil, 0, c.sendMessageLocked(t, 0, route, payload)
}

// sendRequestLocked queues a request on the link, which takes it. If timed, WithRequestTimeout
// bounds it.
func (c *Client) sendRequestLocked(route string, payload []byte, timed bool) (*call, uint64, error) {
	id := c.id + 1
	if err := c.sendMessageLocked(codec.Request, id, route, payload); err != nil {
		return nil, 0, err
	}
	c.id = id
	k := c.newCallLocked()
	if c.pending == nil {
		c.pending = make(map[uint64]*call)
	}
	c.pending[id] = k
	if timed && c.cfg.requestTimeout > 0 {
		k.expires = time.Now().Add(c.cfg.requestTimeout)
		c.armLocked(c.cfg.requestTimeout)
	}
	return k, id, nil
}

func (c *Client) sendMessageLocked(t codec.Type, id uint64, route string, payload []byte) error {
	if l := c.suspended; l != nil {
		packet, err := codec.AppendData(nil, t, id, route, payload, 0, l.dict, l.info.MaxPacket)
		if err == nil {
			c.res.Out.Share(packet)
		}
		return err
	}
	l := c.link
	return c.sendLocked(l, func(b []byte) ([]byte, error) {
		before := len(b)
		b, err := codec.AppendData(b, t, id, route, payload, 0, l.dict, l.info.MaxPacket)
		if err == nil && l.counts {
			c.res.Out.Copy(b[before:])
		}
		return b, err
	})
}

// readyLocked returns why no connection takes a message that is sent with ctx, now or later. It
// does not wait.
func (c *Client) readyLocked(ctx context.Context) error {
	switch {
	case c.closing:
		return ErrClosed
	case c.finished:
		if errors.Is(c.err, ErrClosed) {
			return c.err
		}
		return fmt.Errorf("%w: %w", ErrClosed, c.err)
	case c.suspended != nil || c.link.usableForLocked(ctx):
		return nil
	case !c.running:
		return ErrNotConnected
	case c.setupOverLocked(ctx):
		return ErrLost
	}
	return nil
}

// awaitLocked waits until c.link takes a message that is sent with ctx. It unlocks meanwhile.
func (c *Client) awaitLocked(ctx context.Context) error {
	var bound <-chan time.Time
	for {
		var wake chan struct{}
		var away <-chan time.Time
		if err := c.readyLocked(ctx); err != nil {
			return err
		}
		switch {
		case c.suspended != nil && c.roomLocked():
			return nil
		case c.link.usableForLocked(ctx):
			if c.roomLocked() {
				return nil
			}
			if c.link.space == nil {
				c.link.space = make(chan struct{})
			}
			wake = c.link.space
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
		switch {
		case errors.Is(err, ErrAway):
			err = c.awayLocked()
		case err != nil && away != nil: // ctx ended first: it is not the server that was slow
			err = fmt.Errorf("%w (%w)", c.awayLocked(), err)
		}
		if err != nil {
			return err
		}
	}
}

// setupOverLocked reports whether ctx belongs to a setup whose connection has ended: its requests
// wait for no other.
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

// answer gives a response to the caller that waits for it.
func (c *Client) answer(l *link, v codec.View) {
	c.mu.Lock()
	k := c.pending[v.ID]
	delete(c.pending, v.ID)
	if l.event != nil && k != nil && k.fn != nil {
		l.corkLocked()
	}
	c.mu.Unlock()
	if k == nil { // given up
		return
	}
	k.failed, k.packed = v.Err, v.Gzip
	if k.fn == nil {
		k.data = append(k.data[:0], v.Data...)
		k.done <- struct{}{}
		return
	}
	c.callback(k, v.Data, nil)
}

// callback calls the function of Start. A panic in it is logged and costs this call only.
func (c *Client) callback(k *call, data []byte, err error) {
	route := k.route
	defer func() {
		if v := recover(); v != nil {
			c.logPanic("answer to "+route, v)
		}
	}()
	if err == nil {
		data, err = c.outcome(k, data)
	}
	if err != nil {
		data, err = nil, fmt.Errorf("client: request %s: %w", route, err)
	}
	fn := k.fn
	c.recycle(k)
	fn(data, err)
}

// outcome reads the payload of an answer.
func (c *Client) outcome(k *call, data []byte) ([]byte, error) {
	if k.packed {
		var err error
		if data, err = unpack(data, c.cfg.maxReceived); err != nil {
			return nil, err
		}
	}
	if k.failed {
		return nil, failure(data, c.cfg.serializer)
	}
	return data, nil
}

// result reads the outcome of a call into reply.
func (c *Client) result(k *call, reply any) error {
	if k.err != nil {
		return k.err
	}
	data, err := c.outcome(k, k.data)
	if err != nil {
		return err
	}
	if err := c.decode(data, reply); err != nil {
		return fmt.Errorf("decode the answer into %T: %w", reply, err)
	}
	return nil
}

// forget gives a request up, and returns false if it has an outcome already.
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
	k.err, k.failed, k.packed, k.expires, k.fn = nil, false, false, time.Time{}, nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frees < maxFree {
		k.next, c.free = c.free, k
		c.frees++
	}
}

// takePendingLocked returns the requests in flight and forgets them. The caller must end them.
func (c *Client) takePendingLocked() []*call {
	all := make([]*call, 0, len(c.pending))
	for id, k := range c.pending {
		delete(c.pending, id)
		all = append(all, k)
	}
	return all
}

func (c *Client) failAll(all []*call, err error) {
	for _, k := range all {
		if k.fn != nil {
			c.callback(k, nil, err)
			continue
		}
		k.err = err
		k.done <- struct{}{}
	}
}

// armLocked calls sweep in d, unless it will be called before: sweep then arms itself for the rest.
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
	var late []*call
	defer func() { c.failAll(late, ErrTimeout) }()
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
			late = append(late, k)
		case earliest.IsZero() || k.expires.Before(earliest):
			earliest = k.expires
		}
	}
	if !earliest.IsZero() && !c.finished {
		c.armLocked(earliest.Sub(now))
	}
}

var unpackers sync.Pool // of *gzip.Reader

// unpack returns what packed unpacks to, at most limit bytes.
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
