package resume

import (
	"errors"
	"iter"

	"github.com/lonng/nano/codec"
)

// ErrCount is the error of a peer that says it has received what was never sent.
var ErrCount = errors.New("resume: the peer's count of received packets is wrong")

const (
	entryCost = 32      // what one entry, and each shared packet, counts beside its bytes
	minChunk  = 256     // bytes of the second chunk of copies; the first is as long as its packet
	maxChunk  = 4 << 10 // bytes of all chunks but those for a packet that is larger
)

// Outbox holds the data packets that one side has sent and the other may not have received. The
// zero value is empty and holds no memory.
type Outbox struct {
	kept  []entry
	base  uint64 // the packets up to this number are not kept any more
	sent  uint64 // number of the last packet
	bytes int32  // of kept, with what it costs
	own   int32  // bytes without those of shared packets
}

// entry is one or more whole packets in order: copies, or some of a run.
type entry struct {
	packets  []byte // a chunk of copies, or one shared packet without room behind its end
	head     *Packet
	from, to uint8 // if there is a head: which packets of its run
}

// Sent returns the number of packets that were sent in the session.
func (o *Outbox) Sent() uint64 { return o.sent }

// Base returns the number of the last packet that is not kept any more.
func (o *Outbox) Base() uint64 { return o.base }

// Bytes returns how many bytes are kept. Each shared packet and each chunk of copies costs 32 bytes
// more than it has.
func (o *Outbox) Bytes() int { return int(o.bytes) }

// Own is Bytes without what is shared: what nobody else keeps.
func (o *Outbox) Own() int { return int(o.own) }

// Share keeps packet, which is one whole packet and must not change any more.
func (o *Outbox) Share(packet []byte) {
	o.kept = append(o.kept, entry{packets: packet[:len(packet):len(packet)]}) // no copy goes behind its end
	o.sharedOne(packet)
}

// ShareAmong keeps a packet that many sessions keep.
func (o *Outbox) ShareAmong(p *Packet) {
	if n := len(o.kept); n == 0 || !o.kept[n-1].extend(p) {
		o.kept = append(o.kept, entry{head: p, to: 1})
	}
	o.sharedOne(p.body.bytes)
}

// sharedOne counts a shared packet.
func (o *Outbox) sharedOne(packet []byte) {
	o.sent++
	o.bytes += int32(len(packet) + entryCost)
	o.own += entryCost
}

// Copy keeps a copy of packet, which is one whole packet.
func (o *Outbox) Copy(packet []byte) {
	o.sent++
	o.bytes += int32(len(packet))
	o.own += int32(len(packet))
	room := 0
	if n := len(o.kept); n > 0 {
		// Only a chunk has room behind its end, and always has: one byte at least tells it from a
		// shared packet. What is appended lies beyond all that was handed out before.
		last := &o.kept[n-1]
		if cap(last.packets)-len(last.packets) > len(packet) {
			last.packets = append(last.packets, packet...)
			return
		}
		room = min(max(2*cap(last.packets), minChunk), maxChunk)
	}
	chunk := make([]byte, 0, max(room, len(packet)+1))
	o.kept = append(o.kept, entry{packets: append(chunk, packet...)})
	o.bytes += entryCost
	o.own += entryCost
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
		for _, e := range o.kept {
			if e.head == nil && !yield(e.packets[:len(e.packets):len(e.packets)]) {
				return
			}
			for i := e.from; i < e.to; i++ {
				if !yield(e.head.at(i)) {
					return
				}
			}
		}
	}
}

// Rewrite replaces each packet that is kept by what f makes of it.
func (o *Outbox) Rewrite(f func(packet []byte) []byte) {
	before := *o
	*o = Outbox{base: o.base, sent: o.base}
	for packets := range before.All() {
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
	o.base++
	e := &o.kept[0]
	if e.head != nil {
		o.bytes -= int32(len(e.head.at(e.from)) + entryCost)
		o.own -= entryCost
		if e.from++; e.from < e.to {
			return
		}
	} else {
		first := e.packets
		n := Length(first)
		o.bytes -= int32(n)
		if cap(first) > len(first) {
			o.own -= int32(n)
		}
		if n < len(first) {
			e.packets = first[n:]
			return
		}
		o.bytes -= entryCost
		o.own -= entryCost
	}
	*e = entry{}
	if o.kept = o.kept[1:]; len(o.kept) == 0 {
		o.kept = nil
	}
}

// Length returns the length of the packet with which b begins.
func Length(b []byte) int {
	return codec.HeadLength + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
}
