package mesh

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"slices"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// packed are values of a session as they go from node to node, by key. Each is packed by itself: one that the other node
// cannot read costs only itself. An empty one is no value.
type packed map[string][]byte

// What may be forwarded of one session: it goes in one frame.
const (
	maxValue  = 1 << 20 // bytes of one value
	maxValues = 8 << 20 // and of all
)

// packValue packs one value, to nothing if there is none, or none that can be packed.
func (n *Mesh) packValue(s *session.Session, key string) []byte {
	if !s.HasKey(key) {
		return nil
	}
	b, err := encodeValue(s.Value(key))
	if err != nil {
		n.log.Warn("a session value cannot be forwarded: use types that encoding/gob knows", "session", s.ID(), "key", key, "err", err)
		return nil
	}
	return b
}

// ValueChanged notes that a value of one of this gate's sessions was set or removed. It is packed here, on the goroutine
// that has set it: a handler may go on working with what it has set. Who knows the session is told before its next message,
// or at the end of the batch of handlers that runs: once, however often it was set until then.
func (n *Mesh) ValueChanged(s *session.Session, key string) {
	if !slices.Contains(n.cfg.Forwarded, key) {
		return
	}
	n.upstreamOf(s).setValue(key)
	if n.users.Session(s.ID()) != s { // it has ended, and nobody else forgets what was just made
		n.endUpstream(s)
	}
}

// setValue takes over what the session's value is now: of two changes at once the later one is told last.
func (u *upstream) setValue(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	b := u.mesh.packValue(u.sess, key)
	total := len(b)
	for k, other := range u.values {
		if k != key {
			total += len(other)
		}
	}
	if len(b) > maxValue || total > maxValues {
		u.mesh.log.Warn("a session value cannot be forwarded: it is too large", "session", u.sess.ID(), "key", key, "bytes", len(b), "all", total)
		b = nil
	}
	if len(b) == 0 {
		delete(u.values, key)
	} else {
		if u.values == nil {
			u.values = make(packed, 1)
		}
		u.values[key] = b
	}
	if len(u.known) == 0 {
		return // who comes to know the session is told all values
	}
	if u.dirty == nil {
		u.dirty = make(map[string]struct{})
	}
	u.dirty[key] = struct{}{}
	if !u.listed {
		u.listed = true
		u.mesh.gate.Dirty(u)
	}
}

// Flush sends what has changed. It is for the hub.
func (u *upstream) Flush() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.listed = false
	u.sendChangesLocked()
}

// sendChangesLocked tells all that know the session which values have changed.
func (u *upstream) sendChangesLocked() {
	if len(u.dirty) == 0 {
		return
	}
	values := make(packed, len(u.dirty))
	for k := range u.dirty {
		values[k] = u.values[k]
	}
	clear(u.dirty)
	u.tellLocked(&link.Frame{Kind: link.SessionChanged, Flags: flagValues, Session: u.sess.ID(), Data: values.encode()})
}

// changesLocked takes over the values that a frame brings, and returns those that it changes here. What the gate did not
// change stays as this node has set it.
func (r *remote) changesLocked(f *link.Frame) packed {
	only := f.Flags&flagValues != 0
	if f.Kind == link.SessionChanged && !only && f.UID != 0 {
		return nil // only the user has changed
	}
	values, err := decodePacked(f.Data)
	if err != nil {
		r.mesh.log.Warn("forwarded values cannot be read", "session", r.key.id, "gate", r.key.gate, "err", err)
		return nil
	}
	changed := values
	if !only { // these are all
		changed = make(packed, len(values))
		for k, b := range values {
			if f.Kind == link.SessionChanged || !bytes.Equal(b, r.values[k]) { // of nobody's session all values were dropped
				changed[k] = b
			}
		}
		for k := range r.values {
			if _, ok := values[k]; !ok {
				changed[k] = nil
			}
		}
	}
	for k, b := range changed {
		if len(b) == 0 {
			delete(r.values, k)
			continue
		}
		if r.values == nil {
			r.values = make(packed)
		}
		r.values[k] = b
	}
	return changed
}

// setValues makes the changes. A value that cannot be read is none: what was there before is not true any more.
func (r *remote) setValues(values packed) {
	for k, b := range values {
		if len(b) == 0 {
			r.sess.Remove(k)
			continue
		}
		v, err := decodeValue(b)
		if err != nil {
			r.mesh.log.Warn("a forwarded value cannot be read: register its type with encoding/gob here, too",
				"session", r.key.id, "gate", r.key.gate, "key", k, "err", err)
			r.sess.Remove(k)
			continue
		}
		r.sess.Set(k, v)
	}
}

// encode packs all of it, to nothing if there is none.
func (p packed) encode() []byte {
	if len(p) == 0 {
		return nil
	}
	b, _ := encodeGob(map[string][]byte(p)) // a map of bytes can be packed
	return b
}

func decodePacked(b []byte) (p packed, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	err = decodeGob(b, (*map[string][]byte)(&p))
	return p, err
}

// A value goes in a slice: so gob says its type, and takes nil.
func encodeValue(v any) ([]byte, error) { return encodeGob([]any{v}) }

func decodeValue(b []byte) (any, error) {
	var one []any
	if err := decodeGob(b, &one); err != nil {
		return nil, err
	}
	if len(one) != 1 {
		return nil, fmt.Errorf("%d values in the place of one", len(one))
	}
	return one[0], nil
}

// encodeGob packs a value; what is of the application's in that may panic.
func encodeGob(v any) (b []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			b, err = nil, fmt.Errorf("encoding panicked: %v", v)
		}
	}()
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func decodeGob(b []byte, into any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("decoding panicked: %v", v)
		}
	}()
	return gob.NewDecoder(bytes.NewReader(b)).Decode(into)
}
