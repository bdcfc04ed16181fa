package codec_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lonng/nano/codec"
)

// clip returns a copy of b without a spare byte behind it, so that a read past its
// end panics instead of finding something there.
func clip(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c[:len(c):len(c)]
}

// packet is a codec.Packet that owns its body.
type packet struct {
	t    codec.PacketType
	body string
}

func (p packet) String() string { return fmt.Sprintf("%v %.80q", p.t, p.body) }

// drain takes all packets that are there.
func drain(d *codec.Decoder) (got []packet, err error) {
	for {
		p, ok, err := d.Next()
		if err != nil || !ok {
			return got, err
		}
		got = append(got, packet{p.Type, string(p.Body)})
	}
}

// decode feeds data in pieces that end at the given offsets, and scribbles over each
// piece before the next one, as a reader does that uses its buffer again.
func decode(d *codec.Decoder, data []byte, cuts ...int) (got []packet, err error) {
	start := 0
	for _, end := range append(cuts, len(data)) {
		piece := clip(data[start:end])
		start = end
		d.Feed(piece)
		more, err := drain(d)
		got = append(got, more...)
		if err != nil {
			return got, err
		}
		for i := range piece {
			piece[i] = 0xee
		}
	}
	return got, nil
}

// bytewise returns the cuts that make every byte a feed of its own.
func bytewise(data []byte) []int {
	cuts := make([]int, len(data))
	for i := range cuts {
		cuts[i] = i
	}
	return cuts
}

func mustDictionary(t testing.TB, m map[string]uint16) *codec.Dictionary {
	t.Helper()
	d, err := codec.NewDictionary(m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// inside fails the test unless part lies within whole and ends its capacity there.
func inside(t testing.TB, whole, part []byte) {
	t.Helper()
	if len(part) != cap(part) {
		t.Fatalf("a borrowed slice of %d bytes has room for %d: an append would write into the peer's next bytes", len(part), cap(part))
	}
	if len(part) > 0 && !bytes.Contains(whole, part) {
		t.Fatalf("%x is not a part of %x", part, whole)
	}
}
