package gate

import (
	"encoding/json"
	"fmt"
	"net"
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
func (h *handshake) prepare(why resume.Reason) {
	c := h.conn
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
	h.said.accepted = append(h.said.accepted, acceptResume)
	h.said.resume = r.answer()
	if h.said.offer != nil {
		no := false
		h.said.resume.Resumed, h.said.resume.Reason = &no, why
	}
}

// comeBack has this connection carry the session on that the client names. With a reason it cannot,
// and the connection gets a session of its own. An error ends the connection.
func (h *handshake) comeBack() (resume.Reason, error) {
	c := h.conn
	until := time.Now().Add(c.gate.cfg.HandshakeTimeout * 9 / 10)
	var f *Conn
	var r *resumable
	var t resume.Token
	for {
		var why resume.Reason
		if f, t, why = h.named(until); f == nil {
			return why, nil
		}
		r = f.res.Load()
		r.lockServing(c) // what the carrier has read is with the schedulers, and it serves no more
		f.mu.Lock()
		if !r.over && !r.leaving {
			break
		}
		over := r.over
		f.mu.Unlock()
		r.serving.Unlock()
		if over {
			return c.gate.resumer.why(t.Session), nil
		} // else another gate has just claimed it, and it is found there
	}
	n, gap := r.returning(t, h.said.offer.Received)
	if gap && !h.said.offer.Gap {
		r.serving.Unlock()
		r.notResumed(resume.Gap)
		return resume.Gap, nil
	}
	c.mu.Lock()
	if c.closing { // by the handshake's deadline, just now; the session waits on as before
		c.mu.Unlock()
		f.mu.Unlock()
		r.serving.Unlock()
		return "", errReplaced
	}
	why, err := r.Resume(t, n, time.Now())
	if why != "" || err != nil {
		c.mu.Unlock()
		defer r.serving.Unlock()
		if err != nil {
			f.mu.Unlock()
			return "", fmt.Errorf("%w: %w", errProtocol, err)
		}
		r.notResumed(why)
		return why, nil
	}
	before, waited := r.carrier, r.stopTimerLocked()
	if before != nil {
		before.retired.Store(true)
	}
	r.carrier, r.roamedLocked().remote = c, c.peer()
	r.reader.Store(c)
	c.res.Store(r)
	c.entered = true
	err = h.replayLocked(r, gap)
	c.phase.Store(uint32(shaken))
	c.mu.Unlock()
	c.gate.cfg.Resumed(f.sess, gap) // under the lock, so that it is told in order
	if waited {
		c.gate.resumer.returned(f) // under the lock: once c is lost, it waits again
	}
	f.mu.Unlock()

	c.gate.cfg.Discard(c.sess)
	if before != nil {
		before.cut()
	}
	c.gate.counters.Resumed.Add(1)
	c.gate.flushes.add(atFirst, c)
	return "", err
}

// named finds the session that a token names, and fetches it if another gate has it. If there is
// none, it returns nil and the reason; Later if that is not known by then. A token that holds is
// good from any address: many clients may share one, and some of them may have tokens of a node
// that has restarted.
func (h *handshake) named(until time.Time) (*Conn, resume.Token, resume.Reason) {
	c := h.conn
	g, o := c.gate, h.said.offer
	t, err := g.resumer.signer.Parse(o.Token)
	if err != nil {
		g.resumer.forged(c.peer())
		return nil, t, resume.Unknown
	}
	if f := g.resumer.find(t); f != nil {
		return f, t, ""
	}
	if g.cfg.Claim == nil {
		return nil, t, g.resumer.whyFor(c.peer(), t.Session)
	}
	g.resumer.moving.Add(1)
	defer g.resumer.moving.Add(-1)
	if g.drain.begun.Load() { // since the handshake has come; else the drain sees that a session comes
		return nil, t, resume.Unknown
	}
	c.sock.Waiting()
	for time.Now().Before(until) {
		why := g.cfg.Claim(Claim{Token: t, Text: o.Token, Received: o.Received, Dict: g.shake.dictVersion, Gap: o.Gap, Errors: c.wantsErr, Remote: c.peer(), Until: until})
		if why != "" {
			return nil, t, why
		}
		if f := g.resumer.find(t); f != nil {
			return f, t, ""
		}
		if g.resumer.stays(t.Session) { // so the token does not hold
			return nil, t, g.resumer.whyFor(c.peer(), t.Session)
		} // else another gate has claimed it the moment that it was here
	}
	return nil, t, resume.Later
}

// agreedLocked returns the words of sys.accept that are used on a connection of a session that can
// be resumed.
func (h *handshake) agreedLocked() (words []string) {
	if h.conn.wantsErr {
		words = append(words, acceptError)
	}
	if h.conn.wantsGzip {
		words = append(words, acceptGzip)
	}
	if h.conn.merges {
		words = append(words, acceptBatch)
	}
	return append(words, acceptResume)
}

// replayLocked answers the handshake, and queues what the client has not received behind that. It
// has the locks of the connection and of the front.
func (h *handshake) replayLocked(r *resumable, gap bool) error {
	c, f, said := h.conn, r.front, &h.said
	c.wantsErr, c.wantsGzip = f.wantsErr, f.wantsGzip // as the session has agreed on with its client
	yes, n := true, r.Received()
	said.resume = r.answer()
	said.resume.Resumed, said.resume.Received, said.resume.Gap = &yes, &n, gap
	if gap && r.roamed.gap.Anew {
		said.resume.Received = nil
	}
	said.accepted = h.agreedLocked()
	answer, err := c.gate.shake.make(&session.Handshake{}, *said)
	if err != nil {
		return err
	}
	c.dropLocked()
	o := c.answerLocked(answer)
	for packets := range r.Out.All() {
		if c.form().plain() != formMessage {
			o.addFrame(packets)
			for ; len(packets) > 0; packets = packets[resume.Length(packets):] {
				o.count++
			}
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

// find returns the session of a token that is good, if this gate has it.
func (z *resumer) find(t resume.Token) *Conn {
	s := z.gate.cfg.Find(t.Session)
	if s == nil {
		return nil
	}
	if f, _ := s.NetworkEntity().(*Conn); f != nil && f.res.Load().holds(t) {
		return f
	}
	return nil
}

// stays reports whether this gate has a session, and does not give it away.
func (z *resumer) stays(id int64) bool {
	s := z.gate.cfg.Find(id)
	if s == nil {
		return false
	}
	f, _ := s.NetworkEntity().(*Conn)
	if f == nil {
		return false
	}
	r := f.res.Load()
	if r == nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return !r.leaving
}

// forged counts a token of an address that no signer of ours has made.
func (z *resumer) forged(peer net.Addr) {
	if addr, ok := addrOf(peer.String()); ok {
		z.mu.Lock()
		z.guard.Wrong(addr, time.Now())
		z.mu.Unlock()
	}
}

// whyFor is why, for an address that has not sent too many forged tokens.
func (z *resumer) whyFor(peer net.Addr, id int64) resume.Reason {
	addr, known := addrOf(peer.String())
	z.mu.Lock()
	defer z.mu.Unlock()
	if known && !z.guard.Allows(addr, time.Now()) {
		return resume.Unknown
	}
	return z.ends.Why(id)
}

// answer is what the answer to a handshake says of resuming, with the next token.
func (r *resumable) answer() *resume.Answer {
	g := r.front.gate
	at := g.resumer.place
	t := resume.Token{Session: r.front.sess.ID(), Gate: at.Addr, Epoch: at.Epoch}
	r.Issue(&t)
	window := g.cfg.Resume.Window
	return &resume.Answer{Token: g.resumer.signer.Text(t), Window: int64((window + time.Second - 1) / time.Second)}
}

// holds reports whether the token is one of the session's that is good.
func (r *resumable) holds(t resume.Token) bool {
	if r == nil {
		return false
	}
	r.front.mu.Lock()
	defer r.front.mu.Unlock()
	return !r.over && !r.leaving && r.Holds(t)
}

// notResumed ends a session that its client has come back for in vain, unless it was another
// client. It has the front's lock, and gives it back.
func (r *resumable) notResumed(why resume.Reason) {
	c := r.front
	reason := session.CloseReason{Kind: session.CloseNetwork, Reason: "the client came back too late"}
	switch why {
	case resume.Overflow:
		reason = session.CloseReason{Kind: session.CloseSlow, Reason: "more was sent than is kept for a client that is away"}
	case resume.Expired:
	case resume.Gap:
		reason.Reason = "messages were lost, and its client does not go on then"
	default:
		c.mu.Unlock()
		return
	}
	c.gate.resumer.end(c.sess.ID(), why)
	_ = r.shut(nil, reason)
}
