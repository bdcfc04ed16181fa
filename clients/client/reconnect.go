package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ownReason reports whether nodes kick for this reason themselves: because they shut down, or
// because the client reads too slowly. All other reasons are the application's. The client for
// browsers has the same rule.
func ownReason(reason string) bool { return reason == "server shutdown" || reason == "slow consumer" }

// Reconnect says how a client connects again. It does after whatever happens to a connection,
// except for a refused handshake and for a kick that AfterKick does not accept: those end the
// client.
//
// The wait before an attempt is a random time between half and all of a delay, so that the clients
// that a server has lost do not come back all at once. The delay begins with Min and doubles up to
// Max. It begins anew after a connection that lasted for longer than Max.
type Reconnect struct {
	Min time.Duration // default: 500 ms
	Max time.Duration // default: 30 s
	// Attempts is the number of attempts that may fail in a row before the client ends; 0: no
	// limit.
	Attempts int
	// Within is for how long after the loss of a connection attempts begin; 0: no limit.
	Within time.Duration
	// AfterKick reports whether to connect again after a kick for this reason. Default: after the
	// node's own, "server shutdown" and "slow consumer". Other kicks mean that the application does
	// not want this session, and coming back would be a fight.
	AfterKick func(reason string) bool
}

func (r Reconnect) checked() (Reconnect, error) {
	if r.Min < 0 || r.Max < 0 || r.Attempts < 0 || r.Within < 0 {
		return r, errors.New("a limit is negative")
	}
	if r.Min == 0 {
		r.Min = 500 * time.Millisecond
	}
	if r.Max == 0 {
		r.Max = max(30*time.Second, r.Min)
	}
	if r.Max < r.Min {
		return r, fmt.Errorf("the longest wait, Max %v, is less than the shortest, Min %v", r.Max, r.Min)
	}
	if r.AfterKick == nil {
		r.AfterKick = ownReason
	}
	return r, nil
}

// final reports whether there is no point in trying again. r may be nil.
func (r *Reconnect) final(err error) bool {
	var kick *KickError
	if errors.As(err, &kick) {
		return r == nil || !r.AfterKick(kick.Reason)
	}
	var refused *RefusedError
	return errors.As(err, &refused) // it would be refused again: a bad token does not get better
}

// lostAfter notes that l is lost, for the limits. Only run calls it.
func (c *Client) lostAfter(l *link) {
	if l.since.IsZero() { // never online: one attempt more
		return
	}
	c.attempts, c.lost = 0, time.Now()
	if r := c.cfg.reconnect; r != nil && time.Since(l.since) > r.Max {
		c.delay = 0
	}
}

// reconnect tries until there is a connection, or a limit is reached, or the client is closed. In
// the latter cases it returns no link, and why.
func (c *Client) reconnect(cause error) (*link, error) {
	r := c.cfg.reconnect
	if errors.Is(cause, ErrDrained) {
		c.nextAddress()
	}
	for {
		var wait time.Duration
		state := Away
		switch {
		case c.comesBack():
			wait, state = c.resumeWait(cause), Suspended
		case r == nil:
			return nil, cause
		default:
			var err error
			if wait, err = c.nextWait(cause); err != nil {
				return nil, err
			}
		}
		c.attempts++
		c.mu.Lock()
		if !c.closing {
			c.setStateLocked(Change{State: state, Err: cause, Attempt: c.attempts, In: wait})
		}
		c.mu.Unlock()
		if !c.sleep(wait) {
			return nil, ErrClosed
		}
		l, err := c.open(c.ctx)
		if err != nil {
			if r.final(err) {
				return nil, err
			}
			cause = err
			c.nextAddress()
			continue
		}
		if err := c.adopt(l); err != nil {
			l.t.close()
			return nil, err
		}
		return l, nil
	}
}

// nextAddress has the next attempt go to the next address, if there are several. Only run calls it.
func (c *Client) nextAddress() {
	c.at = (c.at + 1) % len(c.to)
}

// nextWait returns how long the next attempt waits, or why there is none.
func (c *Client) nextWait(cause error) (time.Duration, error) {
	r := c.cfg.reconnect
	if r.Attempts > 0 && c.attempts >= r.Attempts {
		return 0, fmt.Errorf("client: gave up after %d attempts: %w", c.attempts, cause)
	}
	c.delay = min(max(2*c.delay, r.Min), r.Max)
	wait := c.delay/2 + rand.N(c.delay/2+1)
	if r.Within > 0 && time.Since(c.lost)+wait > r.Within {
		return 0, fmt.Errorf("client: gave up after %v: %w", time.Since(c.lost).Round(time.Millisecond), cause)
	}
	return wait, nil
}

// adopt makes l the client's link. The setup, if there is one, runs beside the reader, because its
// requests need answers.
func (c *Client) adopt(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	c.takeLocked(l)
	if l.resumed {
		c.replayLocked(l)
	}
	if c.cfg.setup == nil || l.resumed {
		return c.onlineLocked(l)
	}
	l.ready = make(chan struct{})
	go func() {
		defer close(l.ready)
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.connectTimeout)
		defer cancel()
		_ = c.setup(ctx, l) // its error is the link's
	}()
	return nil
}

// setupKey marks the context of a setup with its link.
type setupKey struct{}

// setup runs the application's setup for l, and then puts l online or ends it.
func (c *Client) setup(ctx context.Context, l *link) error {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, setupKey{}, l))
	defer cancel()
	c.mu.Lock()
	l.cancel = cancel
	if l.dead {
		cancel()
	}
	c.mu.Unlock()
	err := c.callSetup(ctx)
	c.mu.Lock()
	if err == nil { // the connection may have ended: a setup need not look at errors
		err = c.onlineLocked(l)
	} else {
		err = fmt.Errorf("client: setup: %w", err)
	}
	c.mu.Unlock()
	if err != nil {
		c.fail(l, err)
	}
	return err
}

// callSetup turns a panic into an error.
func (c *Client) callSetup(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			c.logPanic("setup", v)
		}
	}()
	return c.cfg.setup(ctx, c)
}

// sleep waits, and returns false if the client was closed meanwhile.
func (c *Client) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}
