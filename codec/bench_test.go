package codec_test

import (
	"testing"

	"github.com/lonng/nano/codec"
)

// stream returns n requests as they would stand in a read buffer.
func stream(t testing.TB, n, payload int, d *codec.Dictionary) []byte {
	t.Helper()
	var out []byte
	for i := range n {
		var err error
		out, err = codec.AppendData(out, codec.Request, uint64(i), "Room.Message", make([]byte, payload), 0, d, 0)
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// readAll is what a connection does with a buffer: packets, then messages in them.
func readAll(t testing.TB, d *codec.Decoder, wire []byte, dict *codec.Dictionary) (messages int) {
	d.Feed(wire)
	for {
		p, ok, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return messages
		}
		v, err := codec.ParseMessage(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		if v.Compressed {
			if _, err := v.RouteString(dict); err != nil {
				t.Fatal(err)
			}
		}
		messages++
	}
}

// Garbage that decoding or encoding leaves behind is time that a game stands still.
func TestNoAllocations(t *testing.T) {
	dict := mustDictionary(t, map[string]uint16{"Room.Message": 1})
	payload := make([]byte, 64)
	buf := make([]byte, 0, 4096)
	m := &codec.Message{Type: codec.Push, Route: "Room.Message", Data: payload}
	var d codec.Decoder
	plain, compressed := stream(t, 20, 64, nil), stream(t, 20, 64, dict)

	tests := map[string]func(){
		"decode":             func() { readAll(t, &d, plain, nil) },
		"decode, dictionary": func() { readAll(t, &d, compressed, dict) },
		"decode, head split": func() {
			d.Feed(plain[:2])
			_, _, _ = d.Next()
			readAll(t, &d, plain[2:], nil)
		},
		"append packet":      func() { codec.AppendPacket(buf, codec.Data, payload) },
		"append message":     func() { _, _ = codec.AppendMessage(buf, m, nil) },
		"append, dictionary": func() { _, _ = codec.AppendMessage(buf, m, dict) },
		"append data":        func() { _, _ = codec.AppendData(buf, codec.Push, 0, "Room.Message", payload, 0, nil, 0) },
	}
	for name, run := range tests {
		if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	dict := mustDictionary(b, map[string]uint16{"Room.Message": 1})
	const messages = 100
	for _, bb := range []struct {
		name string
		wire []byte
	}{
		{"plain", stream(b, messages, 64, nil)},
		{"dictionary", stream(b, messages, 64, dict)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var d codec.Decoder
			b.SetBytes(int64(len(bb.wire)))
			b.ReportAllocs()
			for b.Loop() {
				if n := readAll(b, &d, bb.wire, dict); n != messages {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
		})
	}
}

// A packet that is split over two reads is the case that copies.
func BenchmarkDecodeSplit(b *testing.B) {
	wire := stream(b, 1, 64, nil)
	half := len(wire) / 2
	var d codec.Decoder
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		if readAll(b, &d, wire[:half], nil)+readAll(b, &d, wire[half:], nil) != 1 {
			b.Fatal("lost")
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	dict := mustDictionary(b, map[string]uint16{"Room.Message": 1})
	payload := make([]byte, 64)
	buf := make([]byte, 0, 4096)
	for _, bb := range []struct {
		name string
		t    codec.Type
		dict *codec.Dictionary
	}{
		{"response", codec.Response, nil},
		{"push", codec.Push, nil},
		{"push, dictionary", codec.Push, dict},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.AppendData(buf, bb.t, 300, "Room.Message", payload, 0, bb.dict, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMessage is the copy that pipelines and v0.5's ways need.
func BenchmarkMessage(b *testing.B) {
	wire, err := (&codec.Message{Type: codec.Request, ID: 300, Route: "Room.Message", Data: make([]byte, 64)}).Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		v, err := codec.ParseMessage(wire)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Message(nil); err != nil {
			b.Fatal(err)
		}
	}
}
