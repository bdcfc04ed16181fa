package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

// resumeWord is the word of sys.accept for sessions that outlive their connections.
const resumeWord = "resume"

// The waits between attempts to come back to a session are shorter than those of Reconnect, because
// the session does not wait for long.
const (
	resumeMin = 200 * time.Millisecond
	resumeMax = 2 * time.Second
)

// drainRoute is the route of the push by which a server that is drained asks the client to come
// back on another connection, which may lead to another server.
const drainRoute = "nano.drain"

// drainWait bounds the random time after which a client follows such a push. Others get theirs at
// the same time.
const drainWait = 500 * time.Millisecond

// WithoutResume has each connection begin a session of its own. Default: where the server can, a
// client whose connection is lost comes back to its session, with or without [WithReconnect].
// Requests in flight get their answers then, and no message is lost or doubled, in either
// direction.
func WithoutResume() Option { return func(c *config) { c.noResume = true } }

// offered is what a handshake says of the session that the client comes back to; nil if there is
// none.
func (c *Client) offered() *resume.Offer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.res.Offer()
}

// greeted takes what the answer to a handshake says of resuming.
func (c *Client) greeted(l *link, said json.RawMessage) error {
	var answer *resume.Answer
	if !c.cfg.noResume && len(said) > 0 {
		var a resume.Answer
		if json.Unmarshal(said, &a) == nil && a.Token != "" { // other servers may mean something else
			answer = &a
		}
	}
	c.mu.Lock()
	resumed, reason, err := c.res.Welcome(answer)
	if err != nil {
		c.res.Forget()
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if reason == "" && !resumed {
		reason = c.unmadeLost
	}
	l.greeted, l.resumed, l.lost, l.counts = true, resumed, string(reason), c.res.Can()
	l.gap = resumed && answer.Gap
	var failed []*call
	why := fmt.Errorf("%w: the session was not resumed: %s", ErrLost, reason)
	switch {
	case !resumed && c.suspended != nil:
		c.suspended = nil
		failed = c.calls.takeAll()
	case l.gap && answer.Received == nil: // nothing is sent again, so there may be no answers
		failed = c.calls.takeAll()
		why = &Error{Code: CodeUnavailable, Message: "the server has died, and the request may be lost with it"}
	}
	c.mu.Unlock()
	c.calls.fail(failed, why)
	return err
}

// joined returns a JSON object with the fields of both; those of the second count.
func joined(before, now json.RawMessage) json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(before, &all) != nil || json.Unmarshal(now, &all) != nil {
		return now
	}
	b, err := json.Marshal(all)
	if err != nil {
		return now
	}
	return b
}

// unmade forgets the session of l, if that is a new one whose handshake has failed at its end: the
// application has never seen it, and is told with the next one why it has lost the one before.
func (c *Client) unmade(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.greeted && !l.resumed {
		c.res.Forget()
		c.unmadeLost = resume.Reason(l.lost)
	}
}

// suspendLocked has the session of l, which has just died, wait for the client to come back, if the
// server does not know of a reason against it. From now on, what is sent is kept.
func (c *Client) suspendLocked(l *link) {
	var kick *KickError
	if !c.closing && l.online && l.counts && !errors.As(l.cause, &kick) && !errors.Is(l.cause, ErrProtocol) && !errors.Is(l.cause, ErrOverflow) {
		c.suspended, c.lostAt = l, time.Now()
	}
}

// comesBack reports whether the client is to try again although WithReconnect does not say so,
// because its session may still be there.
func (c *Client) comesBack() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.suspended != nil && time.Since(c.lostAt) < c.res.Window()
}

// leave leaves l for another connection to the same session, in a moment: l serves until then.
// Only the reader of l calls it.
func (l *link) leave() {
	if l.drained {
		return
	}
	l.drained = true
	time.AfterFunc(rand.N(drainWait), func() { l.fail(ErrDrained) })
}

// replayLocked queues on l, whose session goes on, what the server has not received.
func (c *Client) replayLocked(l *link) {
	before := c.suspended
	if before != nil && before.dict != l.dict && (l.kept.version == "" || l.kept.version != before.kept.version) {
		c.res.Out.Rewrite(func(packet []byte) []byte { return translate(packet, before.dict, l.dict) })
	}
	c.suspended, c.redial.returns = nil, 0
	for packets := range c.res.Out.All() {
		if l.out == nil {
			l.out = buffers.Get().(*[]byte)
		}
		*l.out = append(*l.out, packets...)
	}
	if l.out != nil {
		l.writeLocked()
	}
}

// translate encodes a data packet of this client with another dictionary.
func translate(packet []byte, from, to *codec.Dictionary) []byte {
	v, err := codec.ParseMessage(packet[codec.HeadLength:])
	if err != nil || v.Type == codec.Response {
		return packet
	}
	route, err := v.RouteString(from)
	if err != nil {
		return packet
	}
	b, err := codec.AppendData(nil, v.Type, v.ID, route, v.Data, 0, to, codec.MaxPacket)
	if err != nil {
		return packet
	}
	return b
}

// roomLocked reports whether the session takes more messages: over its connection, or to be kept
// until there is one.
func (c *Client) roomLocked() bool {
	return (c.link == nil || c.link.roomLocked()) && (!c.res.Can() || c.res.Out.Bytes() < maxQueued)
}

// received counts a data packet, and tells the server from time to time.
func (l *link) received(body []byte) error {
	c := l.c
	if !l.counts || !c.res.Receive(codec.HeadLength+len(body)) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.beatLocked()
}

// beatLocked sends a heartbeat, with the count of what was received where the server wants it.
func (l *link) beatLocked() error {
	if l.dead || l.closing {
		return nil
	}
	var body []byte
	if l.counts {
		body = resume.AppendCount(make([]byte, 0, 10), l.c.res.Received())
	}
	return l.sendLocked(func(b []byte) ([]byte, error) { return codec.AppendPacket(b, codec.Heartbeat, body), nil })
}

// beaten handles a heartbeat of the server.
func (l *link) beaten(body []byte) error {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.counts {
		if err := c.res.Heartbeat(body); err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		if c.roomLocked() {
			l.spaceLocked()
		}
	}
	return l.beatLocked()
}
