package gate

import (
	"fmt"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/session"
)

// encoder makes packets of what the application sends, as the node's options say. It is safe for
// concurrent use.
type encoder struct {
	cfg *Config
	zip *compressor
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// push makes the frame of a push.
func (e *encoder) push(route string, v any, m manner) (*frame, error) {
	payload, err := e.serialize(v)
	if err != nil {
		return nil, err
	}
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	b, err := codec.AppendData((*buf)[:0], codec.Push, 0, route, payload, 0, e.cfg.Dictionary, maxOut)
	if err != nil {
		return nil, fmt.Errorf("cluster: push %q: %w", route, err)
	}
	f := newFrame(b, m)
	f.zip = e.zip
	f.keep(e.cfg)
	if small, ok := e.compress(payload); ok {
		if b, err = codec.AppendData(b[:0], codec.Push, 0, route, small, codec.FlagGzip, e.cfg.Dictionary, maxOut); err == nil {
			f.gz = newFrame(b, m)
			f.gz.keep(e.cfg)
		}
	}
	if cap(b) <= keepMax {
		*buf = b
	}
	return f, nil
}

// compress compresses a payload if the node was told to and it pays.
func (e *encoder) compress(payload []byte) ([]byte, bool) {
	if e.cfg.GzipMin <= 0 || len(payload) < e.cfg.GzipMin {
		return nil, false
	}
	b := e.zip.gzip(payload)
	return b, len(b) < len(payload)
}

// serialize makes the payload of v.
func (e *encoder) serialize(v any) ([]byte, error) { return dispatch.Serialize(e.cfg.Serializer, v) }

// mannerOf is how the push of v under route is delivered.
func (e *encoder) mannerOf(route string, v any) manner {
	d, ok := e.cfg.Deliveries[route]
	if !ok {
		return manner{when: e.urgencyOf(route)}
	}
	class, key := d.Of(v)
	return e.manner(route, class, key)
}

// manner is how a push of a class is delivered.
func (e *encoder) manner(route string, class session.DeliveryClass, key string) manner {
	m := manner{when: e.urgencyOf(route), class: class}
	if class == session.DeliverLatest {
		m.slot = slot{route, key}
	}
	return m
}

// urgencyOf says when pushes of a route are written.
func (e *encoder) urgencyOf(route string) urgency {
	if e.cfg.WriteDelay == 0 {
		return soon
	}
	if _, now := e.cfg.NoDelay[route]; now {
		return soon
	}
	return delayed
}
