package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
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

// Codes of the handshake's answer.
const (
	handshakeOK     = 200
	handshakeFailed = 500
)

// answer is the part of the handshake's answer that is the same for all.
type answer struct {
	heartbeat   int64 // seconds
	maxPacket   int
	dict        json.RawMessage
	dictVersion string // the same on all nodes with this dictionary
	usual       atomic.Pointer[usualAnswer]
}

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

// usualAnswer is what every client gets that asks for nothing, in one second.
type usualAnswer struct {
	second int64
	frame  *frame
}

func (a *answer) init(cfg *Config) error {
	a.heartbeat = toldSeconds(cfg.Heartbeat)
	a.maxPacket = cfg.MaxPacket
	if cfg.Dictionary.Len() == 0 {
		return nil
	}
	b, err := json.Marshal(cfg.Dictionary.Map()) // keys are sorted
	sum := sha256.Sum256(b)
	a.dict, a.dictVersion = b, hex.EncodeToString(sum[:8])
	return err
}

// make returns the answer for one client.
func (a *answer) make(h *session.Handshake, said greeting) (*frame, error) {
	special := said.newer || len(h.Sys) > 0 || h.User != nil
	now := time.Now().Unix()
	if u := a.usual.Load(); !special && u != nil && u.second == now {
		return u.frame, nil
	}
	p, err := a.packet(h, said)
	if err != nil {
		return nil, err
	}
	f := newFrame(p, manner{when: atFirst})
	if !special {
		a.usual.Store(&usualAnswer{second: now, frame: f})
	}
	return f, nil
}

// packet encodes the answer for one client.
func (a *answer) packet(h *session.Handshake, said greeting) ([]byte, error) {
	sys := make(map[string]any, len(h.Sys)+6)
	for k, v := range h.Sys {
		sys[k] = v
	}
	for _, own := range []string{"dict", "dictVersion", "maxPacket", "accepted"} {
		delete(sys, own)
	}
	sys["heartbeat"] = a.heartbeat
	sys["servertime"] = time.Now().Unix()
	if said.newer && a.maxPacket > 0 {
		sys["maxPacket"] = a.maxPacket
	}
	if said.newer && a.dict != nil {
		sys["dictVersion"] = a.dictVersion
	}
	if a.dict != nil && said.dictVersion != a.dictVersion { // else the client has it already
		sys["dict"] = a.dict
	}
	if len(said.accepted) > 0 {
		sys["accepted"] = said.accepted
	}
	if said.resume != nil {
		sys["resume"] = said.resume
	}
	all := map[string]any{"code": handshakeOK, "sys": sys}
	if h.User != nil {
		all["user"] = h.User
	}
	b, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode the handshake's answer: %w", err)
	}
	return codec.AppendPacket(nil, codec.Handshake, b), nil
}

// shakeHands answers a handshake. A repeated one is answered again and changes nothing.
func (c *Conn) shakeHands(body []byte) error {
	h := &session.Handshake{Payload: body, Request: c.request()}
	if phase(c.phase.Load()) != waiting {
		f, err := c.gate.shake.make(h, greeting{})
		if err != nil {
			return err
		}
		c.control(f)
		return nil
	}
	said := c.greeted(body)
	draining := c.gate.drains.Load()
	if draining && (said.offer == nil || !c.isHere(said.offer.Token)) {
		c.turnAway(refusedEnding, errDraining)
		return nil
	}
	if said.resumes {
		var why resume.Reason
		var err error
		if said.offer != nil {
			why, err = c.comeBack(&said)
			switch why {
			case "":
				return err
			case resume.Later:
				c.turnAway(refusedHandshake, errLater)
				return nil
			}
		}
		if draining { // the session has just ended
			c.turnAway(refusedEnding, errDraining)
			return nil
		}
		c.prepare(&said, why)
	}
	err := c.validate(h)
	var f *frame
	if err == nil {
		f, err = c.gate.shake.make(h, said)
	}
	if err != nil {
		c.refuse(err)
		return nil
	}
	if phase(c.phase.Load()) == leaving { // the validator closed the session
		return nil
	}
	c.phase.CompareAndSwap(uint32(waiting), uint32(shaken))
	c.gate.counters.Opened.Add(1)
	c.gate.cfg.Opened(c.sess)
	c.release(f)
	return nil
}

// greeted takes over what the client says that it understands.
func (c *Conn) greeted(body []byte) (g greeting) {
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
	cfg := &c.gate.cfg
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
func (c *Conn) validate(h *session.Handshake) (err error) {
	if c.gate.cfg.Handshake == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			c.gate.cfg.Log.Error("handshake validator panicked", "session", c.sess.ID(), "panic", v, "stack", string(debug.Stack()))
			err = errors.New("internal error")
		}
	}()
	return c.gate.cfg.Handshake(c.sess, h)
}

// refuse answers with the reason and closes.
func (c *Conn) refuse(err error) {
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
	}
	c.dropLocked() // what was pushed before is for a client that was let in
	c.held = false
	c.out = c.answerLocked(f)
	c.because(session.CloseHandshake, err.Error())
	c.shutLocked(nil)
	c.mu.Unlock()
	c.gone()
}

// answerLocked returns a queue that begins with the handshake's answer.
func (c *Conn) answerLocked(f *frame) *outbuf {
	o := getOutbuf(c.merges)
	switch {
	case !c.websocket:
		o.addShared(f.packet())
	case c.merges: // a message of its own all the same: the client does not know yet what was agreed
		o.addPre(f.wire)
		o.count++
	default:
		o.addShared(f.wire)
	}
	return o
}

// release puts the answer before everything that was queued meanwhile, and lets the queue go.
func (c *Conn) release(f *frame) {
	c.mu.Lock()
	if c.closing || !c.held {
		c.mu.Unlock()
		return
	}
	c.held = false
	var early *outbuf
	if c.queuedLocked() {
		early = c.outLocked()
		c.out = nil
	}
	o := c.answerLocked(f)
	if early != nil {
		early.appendTo(o)
	}
	c.out = o
	c.first = true
	c.mu.Unlock()
	c.gate.hub.add(atFirst, c)
}

// request returns the upgrade request; nil for a client on plain TCP, and when the handshake is
// over.
func (c *Conn) request() *http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transit == nil {
		return nil
	}
	return c.transit.request
}

// acknowledged begins the working phase.
func (c *Conn) acknowledged() {
	if !c.phase.CompareAndSwap(uint32(shaken), uint32(working)) {
		return
	}
	c.gate.shaken(c)
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
	if phase(c.phase.Load()) == leaving { // closed meanwhile: gone has taken it off before it was on
		c.gate.wheel.remove(c)
	}
}
