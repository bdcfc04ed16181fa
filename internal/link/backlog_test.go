package link

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// reliable leaves out of encoded frames what asks for an answer: that may be withdrawn.
func reliable(t *testing.T, frames []byte) (kept []byte, asked int) {
	t.Helper()
	r := NewReader(frames)
	var f Frame
	for {
		ok, err := r.Next(&f)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return kept, asked
		}
		if f.Kind.asks() {
			asked++
		} else {
			kept = AppendFrame(kept, &f)
		}
	}
}

// Whatever the order of sends, acknowledgements and reconnects: what the peer gets is what was
// queued, once and in order, and memory that is still needed is not written again. Requests that
// are withdrawn change nothing of the rest.
func TestBacklogAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := newBacklog(200)
		var queued, got []byte // got: what the peer has handled
		var last uint64        // and the seq of that
		resent, withdrawn := 0, 0
		for range 500 {
			switch rnd.IntN(10) {
			case 0, 1, 2, 3:
				f := &Frame{Kind: []Kind{Push, Push, Request, Call}[rnd.IntN(4)], ID: rnd.Uint64(), Data: bytes.Repeat([]byte{byte(rnd.Uint32())}, rnd.IntN(40))}
				if rnd.IntN(30) == 0 {
					f.Data = bytes.Repeat([]byte{byte(rnd.Uint32())}, 300)
				}
				queued = AppendFrame(queued, f)
				l.put(f, bodySize(f), FrameSize(f))
			case 4, 5, 6:
				b, seq, again, ok := l.take()
				if !ok {
					continue
				}
				arrives := rnd.IntN(4) > 0
				if arrives && seq == last+1 {
					got, last = append(got, b.bytes...), seq
				} else if again && seq <= last {
					resent++
				}
				if rnd.IntN(2) == 0 && last >= l.first && !l.ack(last) { // even before Send has returned
					t.Fatalf("seed %d: acknowledgement of %d refused", seed, last)
				}
				before := bytes.Clone(b.bytes)
				f := &Frame{Kind: Kick, Data: make([]byte, 20)}
				queued = AppendFrame(queued, f)
				l.put(f, bodySize(f), FrameSize(f))
				if rnd.IntN(10) == 0 {
					withdrawn += l.withdraw()
				}
				if !bytes.Equal(before, b.bytes) {
					t.Fatalf("seed %d: written over while it was being sent", seed)
				}
				l.release(b.chunk)
				if !arrives && !l.resume(last) {
					t.Fatalf("seed %d: resuming after %d refused", seed, last)
				}
			case 7:
				if rnd.IntN(5) == 0 && !l.resume(last) {
					t.Fatalf("seed %d: resuming after %d refused", seed, last)
				}
			case 8:
				if last >= l.first && !l.ack(last) {
					t.Fatalf("seed %d: acknowledgement of %d refused", seed, last)
				}
			case 9:
				if l.ack(l.first + uint64(l.next)) {
					t.Fatalf("seed %d: acknowledgement of what was not sent", seed)
				}
			}
			if rnd.IntN(200) == 0 { // another run of the peer
				l.restart(0, false)
				last, got = 0, bytes.Clone(queued)
			}
			kept := l.frames
			for _, b := range l.kept() {
				kept += b.frames
			}
			if kept == 0 && !l.empty() || l.empty() && kept != 0 || l.unsent > l.bytes || l.unsent < 0 {
				t.Fatalf("seed %d: %d frames, %d bytes, %d unsent", seed, kept, l.bytes, l.unsent)
			}
		}
		if !l.resume(last) {
			t.Fatalf("seed %d: resuming after %d refused", seed, last)
		}
		for {
			b, _, _, ok := l.take()
			if !ok {
				break
			}
			got = append(got, b.bytes...)
			l.release(b.chunk)
		}
		want, asked := reliable(t, queued)
		kept, served := reliable(t, got)
		if !bytes.Equal(want, kept) {
			t.Fatalf("seed %d: the peer got something else than was queued", seed)
		}
		if withdrawn == 0 || served+withdrawn < asked || served > asked { // one that the peer had may be withdrawn, too
			t.Fatalf("seed %d: of %d requests %d were served and %d withdrawn", seed, asked, served, withdrawn)
		}
		if l.unsent != 0 || !l.ack(l.first+uint64(l.next)-1) || !l.empty() {
			t.Fatalf("seed %d: %d bytes left, %d unsent", seed, l.bytes, l.unsent)
		}
		for _, c := range l.free {
			if c.refs != 0 {
				t.Fatalf("seed %d: a chunk to be used again has %d references", seed, c.refs)
			}
		}
		if len(l.free) > 0 {
			t.Fatalf("seed %d: %d chunks kept by a quiet link", seed, len(l.free))
		}
	}
}

// The same run of the peer has forgotten us: what it may have had is not sent again, what never
// left here still is.
func TestRestartKeepsWhatWasNeverSent(t *testing.T) {
	for _, c := range []struct {
		name    string
		unsent  bool // the same run
		dropped int
		rest    []byte
	}{{"the same run", true, 2, []byte{3, 4}}, {"another run", false, 4, nil}} {
		t.Run(c.name, func(t *testing.T) {
			l := newBacklog(1 << 10)
			put := func(id uint64) {
				f := &Frame{Kind: Push, ID: id}
				body := bodySize(f)
				l.put(f, body, uvarintSize(uint64(body))+body)
			}
			put(1)
			put(2)
			if b, _, _, ok := l.take(); ok {
				l.release(b.chunk)
			}
			put(3)
			put(4)
			frames, bytes := l.restart(7, c.unsent)
			if frames != c.dropped || bytes == 0 {
				t.Errorf("dropped %d frames, %d bytes", frames, bytes)
			}
			var rest []byte
			b, seq, again, ok := l.take()
			if ok != (c.rest != nil) || ok && (seq != 8 || again) {
				t.Fatalf("then comes %v %d %v", ok, seq, again)
			}
			var f Frame
			for r := NewReader(b.bytes); ; rest = append(rest, byte(f.ID)) {
				if ok, _ := r.Next(&f); !ok {
					break
				}
			}
			if string(rest) != string(c.rest) {
				t.Errorf("left are %v, want %v", rest, c.rest)
			}
			if ok {
				l.release(b.chunk)
				l.ack(8)
			}
			if !l.empty() || l.unsent != 0 {
				t.Errorf("%d bytes, %d of them unsent, are left", l.bytes, l.unsent)
			}
		})
	}
}
