package tally

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano/internal/nanotest"
)

func TestHistogramOfManyGoroutines(t *testing.T) {
	var h Histogram
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				h.Record(time.Millisecond)
				h.Record(0)
				h.Record(-time.Second)
				h.RecordWithoutSum(time.Millisecond)
			}
			h.AddSum(time.Second) // of those without
		})
	}
	all.Wait()
	got := h.Snapshot()
	if got.Count != 16000 || got.Zero != 8000 || got.Sum != 8*time.Second || h.Count() != 16000 {
		t.Errorf("got %+v", got)
	}
	if q := got.Quantile(0.99); q < 800*time.Microsecond || q > 1200*time.Microsecond {
		t.Errorf("the 99th percentile is %v", q)
	}
}

// An application may make codes of what clients say: they are not told apart without a bound.
func TestCodesAreBounded(t *testing.T) {
	var c Codes
	if c.Snapshot() != nil || c.Total() != 0 {
		t.Error("nothing was counted")
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 100 {
				c.Add(fmt.Sprint(i))
			}
		})
	}
	all.Wait()
	got := c.Snapshot()
	if len(got) != maxCodes+1 || c.Total() != 400 || got[otherCode] == 0 {
		t.Errorf("%d codes, %d in all, others %d", len(got), c.Total(), got[otherCode])
	}
}

// thing is as large as what is alone in its memory: small ones share it.
type thing struct {
	n    int
	more [8]*int
}

// A room that is gone must not stay in memory for the sake of figures.
func TestLivingForgetsWhatNobodyHas(t *testing.T) {
	var l Living[thing]
	kept := make([]*thing, 3)
	for i := range kept {
		kept[i] = &thing{n: i}
		l.Add(kept[i])
	}
	for range 100 {
		for range 10 {
			l.Add(&thing{n: -1})
		}
		runtime.GC()
	}
	nanotest.Until(t, "only those are left that somebody has", func() bool {
		runtime.GC()
		return len(l.All()) == len(kept)
	})
	if n := len(l.all); n > tidyAt+10 {
		t.Errorf("%d places for %d things", n, len(kept))
	}
	runtime.KeepAlive(kept)
}

func TestTop(t *testing.T) {
	top := NewTop(3, func(a, b *int) bool { return *a > *b })
	for _, n := range []int{4, 1, 9, 9, 2, 7, 3} {
		top.Add(n)
	}
	if got := top.All(); !slices.Equal(got, []int{9, 9, 7}) {
		t.Errorf("got %v", got)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Record(time.Duration(i&0xffff) * 37)
	}
}
