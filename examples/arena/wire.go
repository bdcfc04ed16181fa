package main

import (
	"encoding/binary"
	"errors"

	"github.com/lonng/nano/examples/arena/sim"
)

// The two messages that come twenty times a second are bytes. All numbers are little endian.
//
// An input, from the page (room.input):
//
//	uint16  its number, counted by the page
//	int8    steering to the right, and
//	int8    down: 127 is full
//	uint8   1: dash
//
// A snapshot, to everybody in the room (room.state):
//
//	uint8   version, 1
//	uint32  tick
//	uint8   phase
//	uint16  ticks until the phase is over
//	uint16  rim, in 1/32
//	uint8   how many discs follow
//	uint8   how many pick-ups follow
//
//	of each disc:
//	uint8   place
//	uint8   flags
//	uint16  with flagPerson: the number of the last input that is in this snapshot
//	uint8   without flagAlive: ticks until it comes back, 255 for not in this round; and no more than that
//	int16   x, y in 1/32; speed to the right and down in 1/16
//	int8    steering to the right, and down
//	uint8   ticks until the next dash
//	uint8   with flagHeavy, flagFrozen and flagGhost: for how many ticks, of each
//
//	of each pick-up:
//	uint8   kind
//	int16   x, y in 1/32
//
// One snapshot is for all: it carries everybody's number of input, so that the room encodes it once
// and sends it by one broadcast. It is whole, and not a difference to the one before: at some 120
// bytes there is little to win, and nothing to lose when one is skipped.
const wireVersion = 1

const (
	flagAlive = 1 << iota
	flagPerson
	flagHeavy
	flagFrozen
	flagGhost
)

// inputSize is the length of an input.
const inputSize = 5

var errInput = errors.New("not an input")

// parseInput reads what a page wants. Any five bytes are an input: what makes no sense is made
// sensible.
func parseInput(data []byte) (seq uint16, in sim.Input, err error) {
	if len(data) != inputSize {
		return 0, in, errInput
	}
	seq = binary.LittleEndian.Uint16(data)
	in.AX, in.AY = max(-127, int8(data[2])), max(-127, int8(data[3]))
	in.Dash = data[4]&1 != 0
	return seq, in, nil
}

// newer tells whether input number a comes after b. Numbers begin again after 65535.
func newer(a, b uint16) bool { return int16(a-b) > 0 }

// appendSnapshot writes a world. acks are the inputs that are in it, of the people.
func appendSnapshot(b []byte, w *sim.World, acks *[sim.Places]ack) []byte {
	b = append(b, wireVersion)
	b = binary.LittleEndian.AppendUint32(b, w.Tick)
	b = append(b, byte(w.Phase))
	b = binary.LittleEndian.AppendUint16(b, uint16(w.Left))
	b = binary.LittleEndian.AppendUint16(b, uint16(w.Rim*sim.Fine))
	counts := len(b)
	b = append(b, 0, 0)
	for who := range w.Players {
		if w.Players[who].Here {
			b[counts]++
			b = appendDisc(b, who, w, acks[who])
		}
	}
	for _, p := range w.Pickups {
		if p.Kind != 0 {
			b[counts+1]++
			b = appendCoords(append(b, byte(p.Kind)), sim.Fine, p.X, p.Y)
		}
	}
	return b
}

// ack is the last input of a place that the world has seen.
type ack struct {
	person bool
	seq    uint16
}

func appendDisc(b []byte, who int, w *sim.World, a ack) []byte {
	body := &w.Bodies[who]
	flags := byte(0)
	set := func(flag byte, on bool) {
		if on {
			flags |= flag
		}
	}
	set(flagAlive, body.Alive)
	set(flagPerson, a.person)
	set(flagHeavy, body.Heavy > 0)
	set(flagFrozen, body.Frozen > 0)
	set(flagGhost, body.Ghost > 0)
	b = append(b, byte(who), flags)
	if a.person {
		b = binary.LittleEndian.AppendUint16(b, a.seq)
	}
	if !body.Alive {
		return append(b, byte(min(255, uint(w.Players[who].Back)))) // Never, which is -1, is 255
	}
	b = appendCoords(b, sim.Fine, body.X, body.Y)
	b = appendCoords(b, sim.Coarse, body.VX, body.VY)
	b = append(b, byte(body.AX), byte(body.AY), body.Cooldown)
	for _, left := range [...]uint8{body.Heavy, body.Frozen, body.Ghost} {
		if left > 0 {
			b = append(b, left)
		}
	}
	return b
}

func appendCoords(b []byte, parts float64, coords ...float64) []byte {
	for _, v := range coords {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(v*parts)))
	}
	return b
}
