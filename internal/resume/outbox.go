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
//
// A broadcast visits thousands of outboxes that are in no cache, and touches the first fields only.
type Outbox struct {
	sent  uint64  // number of the last packet
	bytes int32   // of what is kept, with what it costs
	own   int32   // bytes without those of shared packets
	head  *Packet // of the run that comes last; nil: there is none
	count uint32  // packets that are kept
	from  uint8   // which packets of the run that comes last
	to    uint8

	first, last *entry // before that run, in order
}

// entry is one or more whole packets in order: copies, or some of a run.
type entry struct {
	packets  []byte // a chunk of copies, or one shared packet without room behind its end
	head     *Packet
	from, to uint8 // if there is a head: which packets of its run
	next     *entry
}

// Sent returns the number of packets that were sent in the session.
func (o *Outbox) Sent() uint64 { return o.sent }

// Base returns the number of the last packet that is not kept any more.
func (o *Outbox) Base() uint64 { return o.sent - uint64(o.count) }

// Bytes returns how many bytes are kept. Each shared packet and each chunk of copies costs 32 bytes
// more than it has.
func (o *Outbox) Bytes() int { return int(o.bytes) }

// Own is Bytes without what is shared: what nobody else keeps.
func (o *Outbox) Own() int { return int(o.own) }

// Share keeps packet, which is one whole packet and must not change any more.
func (o *Outbox) Share(packet []byte) {
	o.add(&entry{packets: packet[:len(packet):len(packet)]}) // no copy goes behind its end
	o.counts(len(packet)+entryCost, entryCost)
}

// ShareAmong keeps a packet that many sessions keep.
func (o *Outbox) ShareAmong(p *Packet) {
	o.counts(len(p.body.bytes)+entryCost, entryCost)
	if o.head != nil && o.head.leads(o.to, p) {
		o.to++
		return
	}
	o.endRun()
	o.head, o.from, o.to = p, 0, 1
}

// counts counts a packet with its bytes.
func (o *Outbox) counts(bytes, own int) {
	o.sent++
	o.count++
	o.bytes += int32(bytes)
	o.own += int32(own)
}

// endRun has what is kept from now on come behind the last run.
func (o *Outbox) endRun() {
	if o.head != nil {
		e := &entry{head: o.head, from: o.from, to: o.to}
		o.head = nil
		o.add(e)
	}
}

// add puts an entry behind all others.
func (o *Outbox) add(e *entry) {
	o.endRun()
	if o.last == nil {
		o.first = e
	} else {
		o.last.next = e
	}
	o.last = e
}

// Copy keeps a copy of packet, which is one whole packet.
func (o *Outbox) Copy(packet []byte) {
	o.endRun()
	room := 0
	if last := o.last; last != nil {
		// Only a chunk has room behind its end, and always has: one byte at least tells it from a
		// shared packet. What is appended lies beyond all that was handed out before.
		if cap(last.packets)-len(last.packets) > len(packet) {
			last.packets = append(last.packets, packet...)
			o.counts(len(packet), len(packet))
			return
		}
		room = min(max(2*cap(last.packets), minChunk), maxChunk)
	}
	chunk := make([]byte, 0, max(room, len(packet)+1))
	o.add(&entry{packets: append(chunk, packet...)})
	o.counts(len(packet)+entryCost, len(packet)+entryCost)
}

// Trim drops the oldest packets until at most limit bytes are kept.
func (o *Outbox) Trim(limit int) {
	for int(o.bytes) > limit && o.count > 0 {
		o.dropFirst()
	}
}

// Acknowledge drops the packets up to number n, which the peer has received. A number that is lower
// than one before changes nothing. It returns ErrCount if n was never sent.
func (o *Outbox) Acknowledge(n uint64) error {
	if n > o.sent {
		return ErrCount
	}
	for o.Base() < n {
		o.dropFirst()
	}
	return nil
}

// All returns what is kept, in order: one or more whole packets at a time. What it yields does not
// change, even if the outbox does later; the outbox must not change before the loop is over.
func (o *Outbox) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for e := o.first; e != nil; e = e.next {
			if e.head == nil && !yield(e.packets[:len(e.packets):len(e.packets)]) || !e.head.yield(e.from, e.to, yield) {
				return
			}
		}
		o.head.yield(o.from, o.to, yield)
	}
}

// Rewrite replaces each packet that is kept by what f makes of it.
func (o *Outbox) Rewrite(f func(packet []byte) []byte) {
	before := *o
	*o = Outbox{sent: before.Base()}
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
	o.count--
	e := o.first
	switch {
	case e == nil:
		if o.dropOf(o.head, &o.from, o.to) {
			o.head = nil
		}
		return
	case e.head != nil:
		if !o.dropOf(e.head, &e.from, e.to) {
			return
		}
	default:
		n := Length(e.packets)
		o.bytes -= int32(n)
		if cap(e.packets) > len(e.packets) {
			o.own -= int32(n)
		}
		if n < len(e.packets) {
			e.packets = e.packets[n:]
			return
		}
		o.bytes -= entryCost
		o.own -= entryCost
	}
	if o.first = e.next; o.first == nil {
		o.last = nil
	}
}

// dropOf drops the first of some packets of a run, and reports whether it was the last one.
func (o *Outbox) dropOf(head *Packet, from *uint8, to uint8) bool {
	o.bytes -= int32(len(head.at(*from)) + entryCost)
	o.own -= entryCost
	*from++
	return *from == to
}

// Length returns the length of the packet with which b begins.
func Length(b []byte) int {
	return codec.HeadLength + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
}
