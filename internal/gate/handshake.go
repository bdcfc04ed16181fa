package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// Words of sys.accept, see the protocol.
const (
	acceptError = "error"
	acceptGzip  = "gzip"
	acceptBatch = "batch"
	// acceptResume is the word of clients that can resume a session.
	acceptResume = "resume"
)

// greeting is what a client's handshake says to the node. The zero value is that of a client of
// old.
type greeting struct {
	newer       bool     // it has sent sys.accept: it can be told more than v0.5 told
	accepted    []string // what will be used of that
	dictVersion string   // of the dictionary that it has kept; empty if none
	resumes     bool     // it can resume a session
	offer       *resume.Offer
	resume      *resume.Answer // nil: not agreed
}

// handshake is one that is under way on a connection. Only its reader has it.
type handshake struct {
	conn *Conn
	said greeting
}

// serve answers a handshake. A repeated one is answered again and changes nothing.
func (h *handshake) serve(body []byte) error {
	c := h.conn
	hs := &session.Handshake{Payload: body, Request: h.request()}
	if phase(c.phase.Load()) != waiting {
		f, err := c.gate.shake.make(hs, greeting{})
		if err != nil {
			return err
		}
		c.control(f, nil)
		return nil
	}
	h.said = h.read(body)
	said := &h.said
	draining := c.gate.drain.begun.Load()
	if draining && (said.offer == nil || !h.isHere(said.offer.Token)) {
		h.turnAway(refusedEnding, errDraining)
		return nil
	}
	if said.resumes {
		var why resume.Reason
		var err error
		if said.offer != nil {
			why, err = h.comeBack()
			switch why {
			case "":
				return err
			case resume.Later:
				h.turnAway(refusedHandshake, errLater)
				return nil
			}
		}
		if c.gate.drain.begun.Load() { // just now, or the session has just ended
			h.turnAway(refusedEnding, errDraining)
			return nil
		}
		h.prepare(why)
	}
	err := h.validate(hs)
	var f *frame
	if err == nil {
		f, err = c.gate.shake.make(hs, h.said)
	}
	if err != nil {
		h.refuse(err)
		return nil
	}
	c.mu.Lock()
	over := c.closing || !c.phase.CompareAndSwap(uint32(waiting), uint32(shaken))
	c.mu.Unlock()
	if over { // the validator closed the session, or took too long
		return nil
	}
	c.gate.counters.Opened.Add(1)
	c.gate.cfg.Opened(c.sess)
	h.release(f)
	return nil
}

// read takes over what the client says that it understands.
func (h *handshake) read(body []byte) (g greeting) {
	var said struct {
		Sys struct {
			Accept      []string        `json:"accept"`
			DictVersion any             `json:"dictVersion"`
			Resume      json.RawMessage `json:"resume"`
		} `json:"sys"`
	}
	if !bytes.Contains(body, []byte(`"accept"`)) { // most say nothing, and need not be parsed
		return g
	}
	if json.Unmarshal(body, &said) != nil || said.Sys.Accept == nil { // a client of the application's own, that says nothing
		return g
	}
	g.newer = true
	g.dictVersion, _ = said.Sys.DictVersion.(string) // clients may keep those of other servers, which can be numbers
	has := func(word string, can bool) bool {
		if !can || !slices.Contains(said.Sys.Accept, word) {
			return false
		}
		g.accepted = append(g.accepted, word)
		return true
	}
	c, cfg := h.conn, &h.conn.gate.cfg
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wantsErr = has(acceptError, true)
	c.wantsGzip = has(acceptGzip, cfg.GzipMin > 0 && !c.deflates)
	c.merges = has(acceptBatch, c.websocket && cfg.WriteDelay > 0 && !c.queuedLocked()) // what is queued is framed already
	if g.resumes = cfg.Resume.Window > 0 && slices.Contains(said.Sys.Accept, acceptResume); g.resumes {
		g.offer = offered(said.Sys.Resume)
	}
	return g
}

// validate calls the application's validator; a panic there refuses this client only.
func (h *handshake) validate(hs *session.Handshake) (err error) {
	c := h.conn
	if c.gate.cfg.Handshake == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			c.gate.cfg.Log.Error("handshake validator panicked", "session", c.sess.ID(), "panic", v, "stack", string(debug.Stack()))
			err = errors.New("internal error")
		}
	}()
	return c.gate.cfg.Handshake(c.sess, hs)
}

// turnAway ends the connection of a client that wants a new session, or one that is not here, while
// the gate is drained, and of one whose session was not found yet. It has no answer to its
// handshake: to every client that is a connection that was lost, which is a reason to try
// elsewhere, and to keep a token.
func (h *handshake) turnAway(as refusal, why error) {
	c := h.conn
	c.gate.counters.Refused.add(as)
	c.gate.cfg.Log.Info("handshake refused", "session", c.sess.ID(), "remote", c.RemoteAddr(), "err", why)
	c.closeWith(wsframe.CloseTryLater)
	_ = c.shut(nil, session.CloseReason{Kind: session.CloseShutdown, Reason: why.Error()})
}

// isHere reports whether a session is at this gate for which a token holds.
func (h *handshake) isHere(token string) bool {
	z := &h.conn.gate.resumer
	t, err := z.signer.Parse(token)
	return err == nil && z.find(t) != nil
}

// refuse answers with the reason and closes.
func (h *handshake) refuse(err error) {
	c := h.conn
	c.gate.counters.Refused.add(refusedHandshake)
	c.gate.cfg.Log.Info("handshake refused", "session", c.sess.ID(), "remote", c.RemoteAddr(), "err", err)
	no := struct {
		Code   int    `json:"code"`
		Reason string `json:"reason,omitempty"`
	}{Code: handshakeFailed}
	var r *session.Refusal
	if errors.As(err, &r) {
		no.Code, no.Reason = r.Code, r.Reason
	}
	b, _ := json.Marshal(no)
	f := newFrame(codec.AppendPacket(nil, codec.Handshake, b), manner{when: atFirst})
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	if r := c.res.Load(); r != nil {
		r.over, r.carrier = true, nil
		r.Out.Clear()
		r.weighLocked()
	}
	c.dropLocked() // what was pushed before is for a client that was let in
	c.held = false
	c.out = c.answerLocked(f)
	c.because(session.CloseHandshake, err.Error())
	c.shutLocked(nil, c.cut)
	c.mu.Unlock()
	c.depart(c.owner())
}

// release puts the answer before everything that was queued meanwhile, and lets the queue go.
func (h *handshake) release(f *frame) {
	c := h.conn
	c.mu.Lock()
	if c.closing || !c.held {
		c.mu.Unlock()
		return
	}
	c.releaseLocked(f)
	c.mu.Unlock()
	c.gate.flushes.add(atFirst, c)
}

// request returns the upgrade request; nil for a client on plain TCP, and when the handshake is
// over.
func (h *handshake) request() *http.Request {
	c := h.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transit == nil {
		return nil
	}
	return c.transit.request
}

// acknowledged begins the working phase.
func (h *handshake) acknowledged() {
	c := h.conn
	if !c.phase.CompareAndSwap(uint32(shaken), uint32(working)) {
		return
	}
	c.gate.admission.shaken(c)
	if r := c.res.Load(); r != nil {
		r.front.mu.Lock()
		r.Confirm()
		r.front.mu.Unlock()
	}
	c.mu.Lock()
	if !c.closing {
		c.setTimerLocked(0, nil)
		if c.transit != nil && c.transit.ahead == nil && c.transit.ended == nil && c.transit.closeCode == 0 && c.transit.bucket == nil {
			c.transit = nil
		}
	}
	if c.transit != nil {
		c.transit.request = nil
	}
	c.mu.Unlock()
	c.gate.wheel.add(c)
	if phase(c.phase.Load()) == leaving { // closed meanwhile: depart has taken it off before it was on
		c.gate.wheel.remove(c)
	}
}

// late ends a connection that did not finish its handshake in time.
func late(c *Conn) {
	if p := phase(c.phase.Load()); p != working && p != leaving { // what leaves has a time of its own to do so
		c.gate.counters.Refused.add(refusedLate)
		c.gate.cfg.Log.Info("connection ended: no handshake in time", "remote", c.peer(), "after", c.gate.cfg.HandshakeTimeout)
		if r := c.res.Load(); r != nil && r.front == c { // nobody will come back who was never there
			c.mu.Lock()
			if r.carrier == c {
				_ = r.shut(nil, session.CloseReason{Kind: session.CloseHandshake, Reason: "not finished in time"})
			} else { // it has come back elsewhere
				c.mu.Unlock()
			}
		}
		c.because(session.CloseHandshake, "not finished in time")
		c.cut()
	}
}
