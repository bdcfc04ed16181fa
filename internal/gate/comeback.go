package gate

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// offered reads what a client says of resuming, which may be anything; nil if that makes no sense.
func offered(said json.RawMessage) *resume.Offer {
	var o resume.Offer
	if len(said) == 0 || json.Unmarshal(said, &o) != nil || o.Token == "" {
		return nil
	}
	return &o
}

// prepare makes the session one that can be resumed, unless something was sent to its client
// already that was not counted.
func (c *Conn) prepare(said *greeting, why resume.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queuedLocked() || c.closing {
		return
	}
	r := &resumable{front: c, carrier: c}
	r.Init(resume.NewKey())
	r.serving.Lock() // this very read is being served
	r.reader.Store(c)
	c.entered = true
	c.res.Store(r)
	said.accepted = append(said.accepted, acceptResume)
	said.resume = c.resumeAnswer(r)
	if said.offer != nil {
		no := false
		said.resume.Resumed, said.resume.Reason = &no, why
	}
}

// resumeAnswer is what the answer to a handshake says of resuming, with the next token.
func (c *Conn) resumeAnswer(r *resumable) *resume.Answer {
	t := resume.Token{Session: c.sess.ID(), Gate: c.gate.cfg.Name}
	r.Issue(&t)
	window := c.gate.cfg.Resume.Window
	return &resume.Answer{Token: c.gate.resumer.signer.Text(t), Window: int64((window + time.Second - 1) / time.Second)}
}

// comeBack has this connection carry the session on that the client names. With a reason it cannot,
// and the connection gets a session of its own. An error ends the connection.
func (c *Conn) comeBack(said *greeting) (resume.Reason, error) {
	f, t, why := c.named(said.offer.Token)
	if f == nil {
		return why, nil
	}
	r := f.res.Load()
	r.lockServing(c) // what the carrier has read is with the schedulers, and it serves no more
	f.mu.Lock()
	if r.over {
		f.mu.Unlock()
		r.serving.Unlock()
		return c.gate.resumer.why(t.Session), nil
	}
	why, err := r.Resume(t, said.offer.Received, time.Now())
	if why != "" || err != nil {
		defer r.serving.Unlock()
		if err != nil {
			f.mu.Unlock()
			return "", fmt.Errorf("%w: %w", errProtocol, err)
		}
		f.notResumed(r, why)
		return why, nil
	}
	c.mu.Lock()
	if c.closing { // by the handshake's deadline, just now
		c.mu.Unlock()
		f.mu.Unlock()
		r.serving.Unlock()
		return "", errReplaced
	}
	before, waited := r.carrier, r.stopTimerLocked()
	if before != nil {
		before.retired.Store(true)
	}
	r.carrier, r.roamedLocked().remote = c, c.peer()
	r.reader.Store(c)
	c.res.Store(r)
	c.entered = true
	err = c.replayLocked(f, r, said)
	c.phase.Store(uint32(shaken))
	c.mu.Unlock()
	c.gate.cfg.Resumed(f.sess) // under the lock, so that it is told in order
	f.mu.Unlock()

	c.gate.cfg.Discard(c.sess)
	if waited {
		c.gate.returned(f)
	}
	if before != nil {
		before.cut()
	}
	c.gate.counters.Resumed.Add(1)
	c.gate.hub.add(atFirst, c)
	return "", err
}

// named finds the session that a token names. If there is none, it returns nil and the reason.
func (c *Conn) named(token string) (*Conn, resume.Token, resume.Reason) {
	g, now := c.gate, time.Now()
	z := &g.resumer
	addr, known := addrOf(c.peer().String())
	z.mu.Lock()
	allowed := !known || z.guard.Allows(addr, now)
	z.mu.Unlock()
	if !allowed {
		return nil, resume.Token{}, resume.Unknown
	}
	t, err := z.signer.Parse(token)
	if err == nil && t.Gate == g.cfg.Name {
		if s := g.cfg.Find(t.Session); s != nil {
			if f, _ := s.NetworkEntity().(*Conn); f != nil && f.holds(t) {
				return f, t, ""
			}
		}
		if why := z.why(t.Session); why != resume.Unknown {
			return nil, t, why
		}
	}
	if known {
		z.mu.Lock()
		z.guard.Wrong(addr, now)
		z.mu.Unlock()
	}
	return nil, t, resume.Unknown
}

// holds reports whether the token is one of the session's that is good.
func (c *Conn) holds(t resume.Token) bool {
	r := c.res.Load()
	if r == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !r.over && r.Holds(t)
}

// notResumed ends a session that its client has come back for in vain, unless it was another
// client. It has the lock, and gives it back.
func (c *Conn) notResumed(r *resumable, why resume.Reason) {
	reason := session.CloseReason{Kind: session.CloseNetwork, Reason: "the client came back too late"}
	switch why {
	case resume.Overflow:
		reason = session.CloseReason{Kind: session.CloseSlow, Reason: "more was sent than is kept for a client that is away"}
	case resume.Expired:
	default:
		c.mu.Unlock()
		return
	}
	c.gate.resumer.end(c.sess.ID(), why)
	_ = c.shutKept(r, nil, reason)
}

// replayLocked answers the handshake, and queues what the client has not received behind that. It
// has the locks of the connection and of the front.
func (c *Conn) replayLocked(f *Conn, r *resumable, said *greeting) error {
	c.wantsErr, c.wantsGzip = f.wantsErr, f.wantsGzip // as the session has agreed on with its client
	yes, n := true, r.Received()
	said.resume = f.resumeAnswer(r)
	said.resume.Resumed, said.resume.Received = &yes, &n
	said.accepted = append(said.accepted, acceptResume)
	answer, err := c.gate.shake.make(&session.Handshake{}, *said)
	if err != nil {
		return err
	}
	c.dropLocked()
	o := c.answerLocked(answer)
	for packets := range r.Out.All() {
		if c.form().plain() != formMessage {
			o.addShared(packets)
			continue
		}
		for len(packets) > 0 {
			n := resume.Length(packets)
			o.end(append(wsframe.AppendHeader(o.begin(), wsframe.OpBinary, n), packets[:n]...))
			packets = packets[n:]
		}
	}
	c.out, c.held, c.first = o, false, true
	return nil
}
