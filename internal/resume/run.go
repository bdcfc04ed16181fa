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
	body *body               // constant
	run  atomic.Pointer[run] // begins with this packet; nil: nothing came behind it yet
}

// body is apart from the packet, because what a run holds must not hold the run that begins there.
type body struct{ bytes []byte }

// run is what came behind each other. A place changes only once, from nil.
type run [runLength]atomic.Pointer[body]

// NewPacket returns what sessions keep of packet, which must not change any more.
func NewPacket(packet []byte) *Packet {
	return &Packet{body: &body{packet[:len(packet):len(packet)]}}
}

// at returns a packet of the run that begins with p.
func (p *Packet) at(i uint8) []byte {
	if i == 0 {
		return p.body.bytes
	}
	return p.run.Load()[i].Load().bytes
}

// small reports whether the packet may be part of a run.
func (p *Packet) small() bool { return len(p.body.bytes) <= runPacket }

// extend puts p behind the packets of the entry, if the next place of the run is free or p's
// already. Else the entry stays as it is.
func (e *entry) extend(p *Packet) bool {
	if e.head == nil || e.to == runLength || !p.small() || !e.head.small() {
		return false
	}
	r := e.head.run.Load()
	if r == nil {
		e.head.run.CompareAndSwap(nil, new(run))
		r = e.head.run.Load()
	}
	place := &r[e.to]
	if place.Load() == nil {
		place.CompareAndSwap(nil, p.body)
	}
	if place.Load() != p.body {
		return false
	}
	e.to++
	return true
}
