package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/session"
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
		return nil, fmt.Errorf("cluster: encode the handshake's answer: %w", err)
	}
	return codec.AppendPacket(nil, codec.Handshake, b), nil
}
