package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lonng/nano/codec"
)

// Request sends v to a route, waits for the answer, and decodes it into reply, a pointer. A nil v
// is no payload, and a nil reply drops the answer. An answer that comes after Request has returned
// is dropped.
//
// The errors are:
//   - *[Error], if the server answered with one
//   - [ErrTimeout], or the error of ctx
//   - [ErrLost], if the connection ended meanwhile, and its session did not go on
//   - [ErrAway] with the cause, if there was no connection and none came in time; if ctx ended
//     first, with the error of ctx
//   - [ErrClosed] and [ErrNotConnected]
//   - codec.ErrPacketTooLarge and codec.ErrRouteTooLong, for which nothing was sent
//   - those of the serializer
func (c *Client) Request(ctx context.Context, route string, v, reply any) error {
	payload, err := c.cfg.encode(v)
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
		if c.calls.take(id) != nil {
			c.calls.recycle(k)
			return fmt.Errorf("client: request %s: %w", route, ctx.Err())
		}
		<-k.done // it came at the same time
	}
	err = c.calls.result(k, reply)
	c.calls.recycle(k)
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
func (c *Client) Start(route string, v any, fn func(data []byte, err error)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("client: request %s: %w", route, err)
		}
	}()
	payload, err := c.cfg.encode(v)
	if err != nil {
		return err
	}
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
	_, _, err = c.sendRequestLocked(route, payload, true, fn)
	return err
}

// Notify sends v to a route that does not answer, and returns when the message is queued. What
// happens to it after that shows only in the state of the connection. The errors are those of
// [Client.Request].
func (c *Client) Notify(ctx context.Context, route string, v any) error {
	payload, err := c.cfg.encode(v)
	if err == nil {
		_, _, err = c.send(ctx, codec.Notify, route, payload)
	}
	if err != nil {
		return fmt.Errorf("client: notify %s: %w", route, err)
	}
	return nil
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
		return c.sendRequestLocked(route, payload, !bounded, nil)
	}
	return nil, 0, c.sendMessageLocked(t, 0, route, payload)
}

// sendRequestLocked queues a request on the link, which takes it. If timed, WithRequestTimeout
// bounds it.
func (c *Client) sendRequestLocked(route string, payload []byte, timed bool, fn func([]byte, error)) (*call, uint64, error) {
	id, k := c.calls.add(timed, route, fn) // before it is sent: the answer may come at once
	if err := c.sendMessageLocked(codec.Request, id, route, payload); err != nil {
		c.calls.unsent(id)
		return nil, 0, err
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
	return l.sendLocked(func(b []byte) ([]byte, error) {
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
	case setupOver(ctx, c.link):
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

// setupOver reports whether ctx belongs to a setup whose connection has ended, as now is the link:
// its requests wait for no other.
func setupOver(ctx context.Context, now *link) bool {
	l, ok := ctx.Value(setupKey{}).(*link)
	return ok && (l != now || l.dead)
}

func (c *Client) awayLocked() error {
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrAway, c.err)
	}
	return ErrAway
}

// On registers fn, which is called with the payload of each push of a route until remove is called.
// Several functions of one route are called in the order of their registration. fn must not keep
// data after it returns. It runs on the goroutine of the handlers; a panic in it is logged, and
// costs this call only.
func (c *Client) On(route string, fn func(data []byte)) (remove func()) {
	return c.pushes.add(route, &handler{fn: func(data []byte) error {
		fn(data)
		return nil
	}})
}

// On is [Client.On] with the payload decoded. A payload that does not decode is logged and dropped.
// Each call of fn gets a value of its own, which it may keep.
func On[T any](c *Client, route string, fn func(msg *T)) (remove func()) {
	return c.pushes.add(route, &handler{fn: func(data []byte) error {
		msg := new(T)
		if err := c.cfg.decode(data, msg); err != nil {
			return err
		}
		fn(msg)
		return nil
	}})
}

// OnOther sets the function that gets the pushes that nothing else is registered for; nil removes
// it. fn must not keep data after it returns.
func (c *Client) OnOther(fn func(route string, data []byte)) { c.pushes.other(fn) }
