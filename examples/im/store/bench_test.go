package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano/examples/im/store"
)

// BenchmarkPace stores 5,000 messages a second of 1,000 people in 100 groups for ten seconds, and
// reports how long they wait for their commit.
func BenchmarkPace(b *testing.B) {
	const groups, people, tick, atOnce, ticks = 100, 1000, 5 * time.Millisecond, 25, 2000
	s, err := store.OpenSQLite(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	epochs := make([]int64, groups)
	for g := range epochs {
		if err := s.CreateChannel(b.Context(), store.Channel{ID: fmt.Sprint("g", g), Kind: store.Group}, nil); err != nil {
			b.Fatal(err)
		}
		if epochs[g], _, err = s.Claim(b.Context(), fmt.Sprint("g", g)); err != nil {
			b.Fatal(err)
		}
	}
	var took []time.Duration // the store calls Done on one goroutine
	var all sync.WaitGroup
	n := 0
	for b.Loop() {
		next := time.Now()
		for range ticks {
			time.Sleep(time.Until(next))
			began := next
			next = next.Add(tick)
			for range atOnce {
				n++
				all.Add(1)
				s.Change(&store.Change{Epoch: epochs[n%groups], Message: store.Message{
					Channel: fmt.Sprint("g", n%groups), From: fmt.Sprint("u", n%people), Name: "somebody", CID: fmt.Sprint("run-", n/people),
					Text: fmt.Sprintf("%d: the quick brown fox jumps over the lazy dog", n),
				}, Done: func(_ store.Message, _ bool, err error) {
					if err != nil {
						b.Error(err)
					}
					took = append(took, time.Since(began))
					all.Done()
				}})
			}
		}
		all.Wait()
	}
	slices.Sort(took)
	for name, at := range map[string]int{"p50-ms": len(took) / 2, "p99-ms": len(took) * 99 / 100, "max-ms": len(took) - 1} {
		b.ReportMetric(float64(took[at].Microseconds())/1000, name)
	}
}
