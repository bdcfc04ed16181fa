package wsframe_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/lonng/nano/internal/wsframe"
)

var key = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// clip returns a copy of b without a spare byte behind it.
func clip(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c[:len(c):len(c)]
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// event is what a stream means: pieces of data are joined to whole messages, since
// where they are cut depends on how the bytes came.
type event struct {
	kind    wsframe.Kind
	payload string
}

func (e event) String() string { return fmt.Sprintf("%v %.80q", e.kind, e.payload) }

// reader collects events of a parser.
type reader struct {
	wsframe.Parser
	message bytes.Buffer // data that is not final yet
	events  []event
}

// feed gives the parser a copy of piece, and scribbles over it after.
func (r *reader) feed(t testing.TB, piece []byte) error {
	t.Helper()
	data := clip(piece)
	rest := data
	for {
		before := len(rest)
		var (
			ev  wsframe.Event
			err error
		)
		ev, rest, err = r.Next(rest)
		if err != nil {
			return err
		}
		if len(rest) > before {
			t.Fatalf("%d bytes are left of %d", len(rest), before)
		}
		if ev.Kind != wsframe.Data && ev.Final {
			t.Fatalf("a final %v", ev.Kind)
		}
		switch ev.Kind {
		case wsframe.None:
			if len(rest) > 0 {
				t.Fatalf("None with %d bytes left", len(rest))
			}
			for i := range data {
				data[i] = 0xee
			}
			return nil
		case wsframe.Data:
			if len(ev.Payload) == 0 && !ev.Final {
				t.Fatal("an event that says nothing")
			}
			if len(ev.Payload) != cap(ev.Payload) {
				t.Fatal("an append to the payload would write into the next frame")
			}
			r.message.Write(ev.Payload)
			if ev.Final {
				r.events = append(r.events, event{wsframe.Data, r.message.String()})
				r.message.Reset()
			}
		default:
			r.events = append(r.events, event{ev.Kind, string(ev.Payload)})
		}
	}
}

// feedCut feeds data in pieces that end at the given offsets.
func (r *reader) feedCut(t testing.TB, data []byte, cuts ...int) error {
	t.Helper()
	start := 0
	for _, end := range append(cuts, len(data)) {
		if err := r.feed(t, data[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// bytewise returns the cuts that make every byte a piece of its own.
func bytewise(data []byte) []int {
	cuts := make([]int, len(data))
	for i := range cuts {
		cuts[i] = i
	}
	return cuts
}

// masked returns one whole frame of a client.
func masked(op byte, fin bool, payload string) []byte {
	return wsframe.AppendMasked(nil, op, fin, key, []byte(payload))
}
