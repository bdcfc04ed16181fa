package gate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lonng/nano/internal/wsframe"
)

// written returns all of o as writes of at most n bytes would send it.
func written(o *outbuf, n int) []byte {
	var all []byte
	for !o.empty() {
		piece := o.segs[o.next]
		piece = piece[:min(n, len(piece))]
		all = append(all, piece...)
		o.skip(len(piece))
	}
	return all
}

// Whatever is queued in whatever way comes out once, in order, however the writes are cut: a byte
// too few or twice and the client's stream is garbage.
func TestOutbufKeepsOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		o := getOutbuf(false)
		var want []byte
		var shared [][]byte
		for i := range rnd.IntN(12) {
			b := bytes.Repeat([]byte{byte('a' + i)}, 1+rnd.IntN([]int{5, 300, mergeMax + 2, 3 * mergeMax}[rnd.IntN(4)]))
			want = append(want, b...)
			if rnd.IntN(2) == 0 {
				shared = append(shared, b)
				o.addShared(b)
			} else {
				o.end(append(o.begin(), b...))
			}
			if o.size != len(want) {
				t.Fatalf("round %d: size %d, want %d", round, o.size, len(want))
			}
		}
		before := fmt.Sprint(shared)
		if rnd.IntN(2) == 0 {
			o.addTail([]byte("tail"))
			want = append(want, "tail"...)
		}
		o.finish()
		if got := written(o, 1+rnd.IntN(2000)); !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes came out, want %d, or in another order", round, len(got), len(want))
		}
		if fmt.Sprint(shared) != before {
			t.Fatalf("round %d: a shared frame was changed: other connections send it too", round)
		}
		o.release()
	}
}

// Small things go out in one write: a write for each would be what the queue is there to avoid.
func TestOutbufMerges(t *testing.T) {
	o := getOutbuf(false)
	for range 10 {
		o.addShared([]byte("push"))
		o.end(append(o.begin(), "response"...))
	}
	o.finish()
	if len(o.segs) != 1 {
		t.Errorf("%d writes, want 1", len(o.segs))
	}
	o.release()

	single := bytes.Repeat([]byte("x"), 100)
	o = getOutbuf(false)
	o.addShared(single)
	o.finish()
	if len(o.segs) != 1 || &o.segs[0][0] != &single[0] {
		t.Error("a single shared frame was copied")
	}
	o.release()
}

// A merged WebSocket message is one frame around all packets, whatever its length; what may not be
// in it stands before and after.
func TestOutbufMergedMessage(t *testing.T) {
	for _, n := range []int{0, 1, 20, 125, 126, 65_535, 65_536, 70_000} {
		o := getOutbuf(true)
		var packets []byte
		for len(packets) < n {
			p := bytes.Repeat([]byte{byte(len(packets))}, min(1000, n-len(packets)))
			packets = append(packets, p...)
			if len(packets)%2 == 0 {
				o.addShared(p)
			} else {
				o.end(append(o.begin(), p...))
			}
		}
		var want []byte
		o.addPre(wsframe.AppendFrame(nil, wsframe.OpPong, []byte("p")))
		want = wsframe.AppendFrame(want, wsframe.OpPong, []byte("p"))
		o.addTail(wsframe.AppendClose(nil, 1000, ""))
		if n > 0 {
			want = wsframe.AppendFrame(want, wsframe.OpBinary, packets)
		}
		want = wsframe.AppendClose(want, 1000, "")
		o.finish()
		if got := written(o, 777); !bytes.Equal(got, want) {
			t.Errorf("%d bytes of packets: %d bytes came out, want %d", n, len(got), len(want))
		}
		o.release()
	}
}

// What was queued before the handshake's answer moves behind it, and none of it is lost or shared
// with the pool.
func TestOutbufAppendTo(t *testing.T) {
	for _, merge := range []bool{false, true} {
		early := getOutbuf(merge)
		big := bytes.Repeat([]byte("b"), 2*mergeMax)
		early.addShared([]byte("one"))
		early.addShared(big)
		early.end(append(early.begin(), "three"...))
		o := getOutbuf(merge)
		if merge {
			o.addPre([]byte("answer"))
		} else {
			o.addShared([]byte("answer"))
		}
		early.appendTo(o)
		again := getOutbuf(false) // probably the same memory
		again.end(append(again.begin(), bytes.Repeat([]byte("z"), 100)...))
		size := o.size
		o.finish()
		got := written(o, 100)
		want := append(append([]byte("one"), big...), "three"...)
		if merge {
			want = wsframe.AppendFrame(nil, wsframe.OpBinary, want)
		}
		want = append([]byte("answer"), want...)
		if !bytes.Equal(got, want) {
			t.Errorf("merge %v: got %.20q... (%d bytes), want %d bytes", merge, got, len(got), len(want))
		}
		if size < len("answer")+len("one")+len(big)+len("three") {
			t.Errorf("merge %v: size %d counts less than there is", merge, size)
		}
	}
}

// A used buffer is as good as new, and a huge one is not kept for good.
func TestOutbufRelease(t *testing.T) {
	o := getOutbuf(false)
	o.end(append(o.begin(), make([]byte, 2*keepMax)...))
	o.addTail([]byte("t"))
	o.finish()
	o.skip(10)
	o.release()
	if o.own != nil || len(o.segs) != 0 || o.size != 0 || o.next != 0 || o.tail != nil || o.shared || o.merge {
		t.Errorf("left over: %+v", o)
	}
}
