package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// ownReason reports whether nodes kick for this reason themselves: because they shut down, or
// because the client reads too slowly. All other reasons are the application's. The client for
// browsers has the same rule.
func ownReason(reason string) bool { return reason == "server shutdown" || reason == "slow consumer" }

// Reconnect says how a client connects again. It does after whatever happens to a connection,
// except for a refused handshake and for a kick that AfterKick does not accept: those end the
// client. A handshake that was refused with the code 503 is tried again.
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
	return errors.As(err, &refused) && refused.Code != tryLater // a bad token does not get better
}

// tryLater is the code of a handshake's answer with which a server refuses a client for now. The
// client for browsers has the same rule.
const tryLater = 503

// redial counts the attempts to connect again, and says when the next one is and where it goes.
type redial struct {
	limits   *Reconnect    // nil: only to come back to a session
	attempts int           // failed in a row
	delay    time.Duration // before the last attempt
	lost     time.Time     // when attempts began
	returns  int           // attempts to come back to a session since it was suspended
	at       int           // index of the address that the next attempt goes to
}

// after notes that l is lost.
func (r *redial) after(l *link) {
	if l.since.IsZero() { // never online: one attempt more
		return
	}
	r.attempts, r.lost = 0, time.Now()
	if r.limits != nil && time.Since(l.since) > r.limits.Max {
		r.delay = 0
	}
}

// elsewhere has the next attempt go to the next of so many addresses.
func (r *redial) elsewhere(addresses int) { r.at = (r.at + 1) % addresses }

// wait returns how long the next attempt waits, or why there is none.
func (r *redial) wait(cause error) (time.Duration, error) {
	l := r.limits
	if l.Attempts > 0 && r.attempts >= l.Attempts {
		return 0, fmt.Errorf("client: gave up after %d attempts: %w", r.attempts, cause)
	}
	r.delay = min(max(2*r.delay, l.Min), l.Max)
	wait := r.delay/2 + rand.N(r.delay/2+1)
	if l.Within > 0 && time.Since(r.lost)+wait > l.Within {
		return 0, fmt.Errorf("client: gave up after %v: %w", time.Since(r.lost).Round(time.Millisecond), cause)
	}
	return wait, nil
}

// comeBack returns how long the next attempt to come back to a session waits, and counts it.
func (r *redial) comeBack(cause error) time.Duration {
	d := min(resumeMin<<min(r.returns, 8), resumeMax)
	r.returns++
	if errors.Is(cause, ErrDrained) { // it has waited before it left
		return 0
	}
	return rand.N(d)
}

// reconnect tries until there is a connection, or a limit is reached, or the client is closed. In
// the latter cases it returns no link, and why.
func (c *Client) reconnect(cause error) (*link, error) {
	r := c.cfg.reconnect
	if errors.Is(cause, ErrDrained) {
		c.redial.elsewhere(len(c.to))
	}
	for {
		var wait time.Duration
		state := Away
		switch {
		case c.comesBack():
			wait, state = c.redial.comeBack(cause), Suspended
		case r == nil:
			return nil, cause
		default:
			var err error
			if wait, err = c.redial.wait(cause); err != nil {
				return nil, err
			}
		}
		c.redial.attempts++
		c.mu.Lock()
		if !c.closing {
			c.setStateLocked(Change{State: state, Err: cause, Attempt: c.redial.attempts, In: wait})
		}
		c.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			return nil, ErrClosed
		}
		l, err := c.open(c.ctx)
		if err != nil {
			if r.final(err) {
				return nil, err
			}
			cause = err
			c.redial.elsewhere(len(c.to))
			continue
		}
		if err := c.adopt(l); err != nil {
			l.t.close()
			return nil, err
		}
		return l, nil
	}
}

// open connects and shakes hands.
func (c *Client) open(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.connectTimeout)
	defer cancel()
	var user any
	if c.cfg.user != nil {
		var err error
		if user, err = c.cfg.user(ctx); err != nil {
			return nil, fmt.Errorf("client: user data of the handshake: %w", err)
		}
	}
	c.mu.Lock()
	kept := c.kept
	c.mu.Unlock()
	hello, err := c.cfg.hello(user, kept.version, c.offered())
	if err != nil {
		return nil, err
	}

	// A connection that is being made is closed when ctx ends, so that whatever waits for it ends,
	// too.
	release := func() bool { return true }
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := c.cfg.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if nc == nil {
			return nil, errors.New("the dial function returned nothing")
		}
		closed := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			_ = nc.Close()
			close(closed)
		})
		release = func() bool {
			if stop() {
				return true
			}
			<-closed
			return false
		}
		return nc, nil
	}
	to := &c.to[c.redial.at]
	t, err := to.connect(ctx, &c.cfg, dial)
	if err != nil {
		release()
		return nil, fmt.Errorf("client: connect to %s: %w", to.url, errorOf(ctx, err))
	}
	l := &link{c: c, t: t, kept: kept}
	l.dec.Init(c.cfg.maxReceived)
	err = l.handshake(hello)
	if !release() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.unmade(l)
		t.close()
		return nil, errorOf(ctx, err)
	}
	if s, ok := t.(*stream); ok && s.event != nil {
		l.event, s.buf = s.event, nil
	}
	return l, nil
}

// adopt makes l the client's link. The setup, if there is one, runs beside the reader, because its
// requests need answers.
func (c *Client) adopt(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	c.adoptLocked(l)
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
	err := c.cfg.callSetup(ctx, c)
	c.mu.Lock()
	if err == nil { // the connection may have ended: a setup need not look at errors
		err = c.onlineLocked(l)
	} else {
		err = fmt.Errorf("client: setup: %w", err)
	}
	c.mu.Unlock()
	if err != nil {
		l.fail(err)
	}
	return err
}
