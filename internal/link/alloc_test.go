package link_test

import (
	"testing"

	"github.com/lonng/nano/internal/link"
)

// Encoding and reading are on the way of every request of every player: they make no garbage.
func TestFramesAllocateNothing(t *testing.T) {
	many := multicast(1000)
	buf := make([]byte, 0, link.FrameSize(&request)+link.FrameSize(many))
	var r link.Reader
	var f link.Frame
	if n := testing.AllocsPerRun(100, func() {
		buf = link.AppendFrame(link.AppendFrame(buf[:0], &request), many)
		r.Reset(buf)
		for {
			if ok, err := r.Next(&f); err != nil {
				t.Fatal(err)
			} else if !ok {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
