package resume

import "sync/atomic"

// Sessions that get the same packets in the same order keep them in the same memory: a run. Each
// session says only which packets of the run are its own, so that a broadcast costs each member a
// number and not a list that grows.
//
// A session holds the whole run as long as it keeps one packet of it. So a run is short, has only
// small packets, and does not lead to other runs.

const (
	runLength = 16      // packets of a run
	runPacket = 2 << 10 // bytes of the largest
)

// Packet is one whole packet that many sessions keep: [Outbox.ShareAmong]. Any number of them may
// use it at the same time. Make one with [NewPacket].
type Packet struct {
	body  *body // this and alone: constant
	alone bool  // too large for a run
	run   atomic.Pointer[run]
}

// body is apart from the packet, because what a run holds must not hold the run that begins there.
type body struct{ bytes []byte }

// run is what came behind the packet with which it begins. A place changes only once, from nil.
type run [runLength]atomic.Pointer[body]

// NewPacket returns what sessions keep of packet, which must not change any more.
func NewPacket(packet []byte) *Packet {
	return &Packet{body: &body{packet[:len(packet):len(packet)]}, alone: len(packet) > runPacket}
}

// at returns a packet of the run that begins with p.
func (p *Packet) at(i uint8) []byte {
	if i == 0 {
		return p.body.bytes
	}
	return p.run.Load()[i].Load().bytes
}

// yield yields packets of the run that begins with p; p may be nil, which is a run of none.
func (p *Packet) yield(from, to uint8, yield func([]byte) bool) bool {
	if p != nil {
		for i := from; i < to; i++ {
			if !yield(p.at(i)) {
				return false
			}
		}
	}
	return true
}

// leads reports whether next has a place of the run that begins with p: it is free, and is next's
// from now on, or was next's already.
func (p *Packet) leads(place uint8, next *Packet) bool {
	if place == runLength || p.alone || next.alone {
		return false
	}
	r := p.run.Load()
	if r == nil {
		p.run.CompareAndSwap(nil, new(run))
		r = p.run.Load()
	}
	at := &r[place]
	if at.Load() == nil {
		at.CompareAndSwap(nil, next.body)
	}
	return at.Load() == next.body
}
