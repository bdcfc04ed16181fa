package gate

import (
	"sync"

	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// frame is a packet that goes to many: encoded once, immutable from then on, in the form for TCP
// and, with a header before it, for WebSocket.
type frame struct {
	wire []byte // WebSocket header and packet
	head int    // length of the header
	gz   *frame // the same with a compressed payload, for clients that accept it; nil if there is none
	manner
	only chain // the frame alone

	kept *resume.Packet // what sessions that can be resumed keep of it; nil: the packet alone

	zip     *compressor // nil: the frame is not compressed
	message struct {    // see deflated
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
	return f
}

// noteReceivers notes for how many connections the frame is.
func (f *frame) noteReceivers(n int) {
	f.only.others.Store(int32(max(n-1, 0)))
	if f.gz != nil {
		f.gz.noteReceivers(n)
	}
}

// keep makes the frame of a message one that many sessions keep in the same memory.
func (f *frame) keep(cfg *Config) {
	if cfg.Resume.Window > 0 {
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
	f.message.once.Do(func() { f.message.wire = f.zip.appendMessage(nil, f.packet()) })
	return f.message.wire
}
