package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

// frame is a packet that goes to many: encoded once, immutable from then on, in the form for TCP
// and, with a header before it, for WebSocket.
type frame struct {
	wire []byte // WebSocket header and packet
	head int    // length of the header
	gz   *frame // the same with its payload packed, for clients that accept it; nil if there is none
	manner
	only chain // the frame alone

	kept *resume.Packet // what sessions that can be resumed keep of it; nil: the packet alone

	zip    *compressor // nil: the frame is not compressed
	packed struct {
		once sync.Once
		wire []byte // the frame as a compressed message, if it is smaller
	}
}

// newFrame gives an encoded packet its WebSocket header. The packet is copied.
func newFrame(packet []byte, m manner) *frame {
	b := wsframe.AppendHeader(make([]byte, 0, len(packet)+10), wsframe.OpBinary, len(packet))
	f := &frame{wire: append(b, packet...), head: len(b), manner: m}
	f.only.frame, f.only.count = f, 1
	if m.class == session.DeliverLatest {
		f.only.latest = 1
	}
	f.only.sizes = sizes{formPackets: len(packet), formMessage: len(f.wire), formBatch: len(packet)}
	f.only.shared.Store(true)
	return f
}

// keep makes the frame of a message one that many sessions keep in the same memory.
func (f *frame) keep(g *Gate) {
	if g.cfg.Resume.Window > 0 {
		f.kept = resume.NewPacket(f.packet())
	}
}

// packet is the frame as it goes to TCP, and into merged messages.
func (f *frame) packet() []byte { return f.wire[f.head:] }

// in is the frame as it stands in a form.
func (f *frame) in(as form) []byte {
	switch as {
	case formMessage:
		return f.wire
	case formDeflated:
		return f.deflated()
	}
	return f.packet()
}

// deflated is the frame as a message of its own, compressed if it pays: once for all who get it.
func (f *frame) deflated() []byte {
	if f.zip == nil || len(f.packet()) < f.zip.atLeast {
		return f.wire
	}
	f.packed.once.Do(func() { f.packed.wire = f.zip.appendMessage(nil, f.packet()) })
	return f.packed.wire
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// encodePush makes the frame of a push.
func (g *Gate) encodePush(route string, v any, m manner) (*frame, error) {
	payload, err := g.serialize(v)
	if err != nil {
		return nil, err
	}
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	b, err := codec.AppendData((*buf)[:0], codec.Push, 0, route, payload, 0, g.cfg.Dictionary, maxOut)
	if err != nil {
		return nil, fmt.Errorf("push %q: %w", route, err)
	}
	f := newFrame(b, m)
	f.zip = g.zip
	f.keep(g)
	if packed, ok := g.pack(payload); ok {
		if b, err = codec.AppendData(b[:0], codec.Push, 0, route, packed, codec.FlagGzip, g.cfg.Dictionary, maxOut); err == nil {
			f.gz = newFrame(b, m)
			f.gz.keep(g)
		}
	}
	if cap(b) <= keepMax {
		*buf = b
	}
	return f, nil
}

// pack compresses a payload if the node was told to and it pays.
func (g *Gate) pack(payload []byte) ([]byte, bool) {
	if g.cfg.GzipMin <= 0 || len(payload) < g.cfg.GzipMin {
		return nil, false
	}
	b := g.zip.gzip(payload)
	return b, len(b) < len(payload)
}

// serialize makes the payload of v.
func (g *Gate) serialize(v any) ([]byte, error) { return dispatch.Serialize(g.cfg.Serializer, v) }

// serializeFailure makes an error's payload, in JSON where the serializer cannot carry it.
func (g *Gate) serializeFailure(v any) ([]byte, error) {
	if b, err := g.serialize(v); err == nil {
		return b, nil
	}
	return json.Marshal(v)
}

// Multicast pushes v to the sessions. It encodes v once, unless a filter needs to see each push. It
// delivers to every session that it can reach and joins the errors of the others. A session that
// has just ended is no error.
func (g *Gate) Multicast(route string, v any, to []*session.Session) error {
	return g.multicast(route, v, g.mannerOf(route, v), to)
}

// MulticastAs is Multicast of a push whose class of delivery another node has found.
func (g *Gate) MulticastAs(route string, v any, class session.DeliveryClass, key string, to []*session.Session) error {
	return g.multicast(route, v, g.manner(route, class, key), to)
}

func (g *Gate) multicast(route string, v any, m manner, to []*session.Session) error {
	if !pipeline.Empty(g.outbound) {
		return g.multicastFiltered(route, v, m, to)
	}
	f, err := g.encodePush(route, v, m)
	if err != nil {
		return err
	}
	var errs []error
	var made extensions
	var batch [64]Flusher
	n := 0
	for _, s := range to {
		list, err := never, errMoved
		c, ok := s.NetworkEntity().(*Conn)
		if ok {
			list, err = c.pushFrame(f, &made)
		}
		if errors.Is(err, errMoved) { // it was at this gate a moment ago
			err = s.Push(route, v)
		}
		if err != nil && !ended(err) {
			errs = append(errs, fmt.Errorf("session %d: %w", s.ID(), err))
		}
		switch list {
		case never:
		case f.when:
			if batch[n], n = c, n+1; n == len(batch) {
				g.hub.add(f.when, batch[:]...)
				n = 0
			}
		default: // its queue has become long
			g.hub.add(list, c)
		}
	}
	if n > 0 {
		g.hub.add(f.when, batch[:n]...)
	}
	return errors.Join(errs...)
}

// ended tells whether output was refused because the session has ended.
func ended(err error) bool { return errors.Is(err, ErrBrokenPipe) || errors.Is(err, session.ErrClosed) }

// multicastFiltered serializes once and pushes through each session's filters.
func (g *Gate) multicastFiltered(route string, v any, m manner, to []*session.Session) error {
	payload, err := g.serialize(v)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range to {
		if c, ok := s.NetworkEntity().(*Conn); ok {
			err = c.send(codec.Push, 0, route, payload, m)
		} else {
			err = s.Push(route, payload)
		}
		if err != nil && !ended(err) {
			errs = append(errs, fmt.Errorf("session %d: %w", s.ID(), err))
		}
	}
	return errors.Join(errs...)
}

// headerLen is the length of a WebSocket frame's header for n bytes from a server.
func headerLen(n int) int {
	switch {
	case n <= 125:
		return 2
	case n <= 0xffff:
		return 4
	}
	return 10
}
