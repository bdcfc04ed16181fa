package main

import (
	"encoding/binary"
	"errors"

	"github.com/lonng/nano/examples/arena/sim"
)

// What page/wire.js does, for tests: the page's side of both messages.

// appendInput writes an input, as a page does.
func appendInput(b []byte, seq uint16, in sim.Input) []byte {
	b = append(binary.LittleEndian.AppendUint16(b, seq), byte(in.AX), byte(in.AY), 0)
	if in.Dash {
		b[len(b)-1] = 1
	}
	return b
}

// snapshot is what a page reads from one.
type snapshot struct {
	Tick    uint32
	Phase   sim.Phase
	Left    int
	Rim     float64
	Discs   []disc
	Pickups []sim.Pickup
}

type disc struct {
	Place int
	sim.Body
	Ack  ack
	Back int
}

var errSnapshot = errors.New("not a snapshot")

// parseSnapshot is what page/wire.js does, for clients in Go.
func parseSnapshot(data []byte) (*snapshot, error) {
	r := reader{data: data}
	if r.byte() != wireVersion {
		return nil, errSnapshot
	}
	s := &snapshot{Tick: uint32(r.uint16()) | uint32(r.uint16())<<16, Phase: sim.Phase(r.byte()), Left: int(r.uint16()), Rim: float64(r.uint16()) / sim.Fine}
	discs, pickups := int(r.byte()), int(r.byte())
	for range min(discs, sim.Places) {
		s.Discs = append(s.Discs, r.disc())
	}
	for range min(pickups, sim.MaxPickups) {
		s.Pickups = append(s.Pickups, sim.Pickup{Kind: sim.PickupKind(r.byte()), X: r.coord(sim.Fine), Y: r.coord(sim.Fine)})
	}
	if r.short || len(r.data) > 0 {
		return nil, errSnapshot
	}
	return s, nil
}

// reader takes numbers off the front of data. After the end there are zeros, and short says so.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.short = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *reader) uint16() uint16              { return uint16(r.byte()) | uint16(r.byte())<<8 }
func (r *reader) coord(parts float64) float64 { return float64(int16(r.uint16())) / parts }

func (r *reader) disc() disc {
	d := disc{Place: int(r.byte())}
	flags := r.byte()
	if d.Ack.person = flags&flagPerson != 0; d.Ack.person {
		d.Ack.seq = r.uint16()
	}
	if d.Alive = flags&flagAlive != 0; !d.Alive {
		if d.Back = int(r.byte()); d.Back == 255 {
			d.Back = sim.Never
		}
		return d
	}
	d.X, d.Y = r.coord(sim.Fine), r.coord(sim.Fine)
	d.VX, d.VY = r.coord(sim.Coarse), r.coord(sim.Coarse)
	d.AX, d.AY, d.Cooldown = int8(r.byte()), int8(r.byte()), r.byte()
	for _, left := range []struct {
		flag byte
		to   *uint8
	}{{flagHeavy, &d.Heavy}, {flagFrozen, &d.Frozen}, {flagGhost, &d.Ghost}} {
		if flags&left.flag != 0 {
			*left.to = r.byte()
		}
	}
	return d
}
