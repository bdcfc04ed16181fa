package wsframe_test

import (
	"fmt"
	"testing"

	"github.com/lonng/nano/internal/wsframe"
)

// parseAll reads all of data, which it unmasks: the next run masks it again, which is
// as good for measuring.
func parseAll(t testing.TB, p *wsframe.Parser, data []byte) (events int) {
	for {
		ev, rest, err := p.Next(data)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == wsframe.None {
			return events
		}
		events++
		data = rest
	}
}

// frames returns n frames of a client as they would stand in a read buffer.
func frames(n, payload int) (wire []byte) {
	for range n {
		wire = wsframe.AppendMasked(wire, wsframe.OpBinary, true, key, make([]byte, payload))
	}
	return wire
}

// Garbage that reading or writing leaves behind is time that a game stands still.
func TestNoAllocations(t *testing.T) {
	var p wsframe.Parser
	wire := frames(20, 64)
	payload := make([]byte, 64)
	buf := make([]byte, 0, 4096)
	tests := map[string]func(){
		"parse": func() { parseAll(t, &p, wire) },
		"parse, head split": func() {
			_, _, _ = p.Next(wire[:3])
			parseAll(t, &p, wire[3:])
		},
		"header": func() { wsframe.AppendHeader(buf, wsframe.OpBinary, 300) },
		"put":    func() { wsframe.PutHeader(buf[:wsframe.HeaderRoom], wsframe.OpBinary, 300) },
		"frame":  func() { wsframe.AppendFrame(buf, wsframe.OpBinary, payload) },
		"masked": func() { wsframe.AppendMasked(buf, wsframe.OpBinary, true, key, payload) },
		"close":  func() { wsframe.AppendClose(buf, wsframe.CloseNormal, "bye") },
	}
	for name, run := range tests {
		if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	const n = 100
	for _, payload := range []int{16, 64, 1024, 16 << 10} {
		b.Run(fmt.Sprintf("payload=%d", payload), func(b *testing.B) {
			wire := frames(n, payload)
			var p wsframe.Parser
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				if got := parseAll(b, &p, wire); got != n {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/frame")
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 4096)
	payload := make([]byte, 64)
	b.Run("frame", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wsframe.AppendFrame(buf, wsframe.OpBinary, payload)
		}
	})
	b.Run("put header", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wsframe.PutHeader(buf[:wsframe.HeaderRoom], wsframe.OpBinary, 64)
		}
	})
}
