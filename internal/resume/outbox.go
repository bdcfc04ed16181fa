package resume

import (
	"errors"
	"iter"

	"github.com/lonng/nano/codec"
)

// ErrCount is the error of a peer that says it has received what was never sent.
var ErrCount = errors.New("resume: the peer's count of received packets is wrong")

const (
	entryCost = 32      // what one entry of an outbox counts beside its bytes
	minChunk  = 256     // bytes of the first chunk of copies
	maxChunk  = 4 << 10 // bytes of all chunks but those for a packet that is larger
)

// Outbox holds the data packets that one side has sent and the other may not have received. The
// zero value is empty and holds no memory.
type Outbox struct {
	kept  [][]byte // one or more whole packets each, immutable
	base  uint64   // the packets up to this number are not kept any more
	sent  uint64   // number of the last packet
	bytes int32    // of kept, with entryCost for each entry
	own   int32    // bytes without those of shared packets
}

// Sent returns the number of packets that were sent in the session.
func (o *Outbox) Sent() uint64 { return o.sent }

// Base returns the number of the last packet that is not kept any more.
func (o *Outbox) Base() uint64 { return o.base }

// Bytes returns how many bytes are kept. Each entry costs 32 bytes more than its packets.
func (o *Outbox) Bytes() int { return int(o.bytes) }

// Own is Bytes without the packets that are shared: what nobody else keeps.
func (o *Outbox) Own() int { return int(o.own) }

// Share keeps packet, which is one whole packet and must not change any more.
func (o *Outbox) Share(packet []byte) {
	o.kept = append(o.kept, packet[:len(packet):len(packet)]) // no copy goes behind its end
	o.sent++
	o.bytes += int32(len(packet) + entryCost)
	o.own += entryCost
}

// Copy keeps a copy of packet, which is one whole packet.
func (o *Outbox) Copy(packet []byte) {
	o.sent++
	if n := len(o.kept); n > 0 {
		// Only a chunk has room behind its end, and always has: one byte at least tells it from a
		// shared packet. What is appended lies beyond all that was handed out before.
		if last := o.kept[n-1]; cap(last)-len(last) > len(packet) {
			o.kept[n-1] = append(last, packet...)
			o.bytes += int32(len(packet))
			o.own += int32(len(packet))
			return
		}
	}
	room := minChunk
	if len(o.kept) > 0 {
		room = maxChunk
	}
	o.kept = append(o.kept, append(make([]byte, 0, max(room, len(packet)+1)), packet...))
	o.bytes += int32(len(packet) + entryCost)
	o.own += int32(len(packet) + entryCost)
}

// Trim drops the oldest packets until at most limit bytes are kept.
func (o *Outbox) Trim(limit int) {
	for int(o.bytes) > limit && len(o.kept) > 0 {
		o.dropFirst()
	}
}

// Acknowledge drops the packets up to number n, which the peer has received. A number that is lower
// than one before changes nothing. It returns ErrCount if n was never sent.
func (o *Outbox) Acknowledge(n uint64) error {
	if n > o.sent {
		return ErrCount
	}
	for o.base < n {
		o.dropFirst()
	}
	return nil
}

// All returns what is kept, in order: one or more whole packets at a time. What it yields does not
// change, even if the outbox does later.
func (o *Outbox) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, p := range o.kept {
			if !yield(p[:len(p):len(p)]) {
				return
			}
		}
	}
}

// Rewrite replaces each packet that is kept by what f makes of it.
func (o *Outbox) Rewrite(f func(packet []byte) []byte) {
	before := o.kept
	*o = Outbox{base: o.base, sent: o.base}
	for _, packets := range before {
		for len(packets) > 0 {
			n := Length(packets)
			o.Share(f(packets[:n:n]))
			packets = packets[n:]
		}
	}
}

// Clear forgets everything, and counts from 0 again.
func (o *Outbox) Clear() { *o = Outbox{} }

func (o *Outbox) dropFirst() {
	first := o.kept[0]
	n := Length(first)
	o.base++
	o.bytes -= int32(n)
	if cap(first) > len(first) {
		o.own -= int32(n)
	}
	if n < len(first) {
		o.kept[0] = first[n:]
		return
	}
	o.bytes -= entryCost
	o.own -= entryCost
	o.kept[0] = nil
	if o.kept = o.kept[1:]; len(o.kept) == 0 {
		o.kept = nil
	}
}

// Length returns the length of the packet with which b begins.
func Length(b []byte) int {
	return codec.HeadLength + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
}
