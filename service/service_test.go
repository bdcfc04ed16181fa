package service

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Two sessions with one id would get each other's pushes.
func TestIDsAreUniqueAcrossGoroutines(t *testing.T) {
	const takers, each = 8, 5000
	for _, nodeID := range []uint64{0, 1, MaxNodeID} {
		conns, err := New(nodeID)
		if err != nil {
			t.Fatal(err)
		}
		taken := make([][]int64, takers)
		var wg sync.WaitGroup
		for i := range takers {
			wg.Go(func() {
				for range each {
					taken[i] = append(taken[i], conns.SessionID())
				}
			})
		}
		wg.Wait()
		seen := make(map[int64]bool, takers*each)
		for _, ids := range taken {
			for _, id := range ids {
				if id <= 0 || seen[id] {
					t.Fatalf("node %d: id %d is not positive or came twice", nodeID, id)
				}
				seen[id] = true
			}
		}
	}
}

func TestPlainIDsCountFromOne(t *testing.T) {
	conns, _ := New(0)
	for want := int64(1); want <= 3; want++ {
		if got := conns.SessionID(); got != want {
			t.Fatalf("id %d, want %d", got, want)
		}
	}
}

func TestNodeIDStandsInTheTopBits(t *testing.T) {
	for _, nodeID := range []uint64{1, 2, 1023, MaxNodeID} {
		conns, err := New(nodeID)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if id := conns.SessionID(); id <= 0 || uint64(id)>>counterBits != nodeID {
				t.Errorf("node %d: id %x", nodeID, id)
			}
		}
	}
}

func TestNodeIDTooLarge(t *testing.T) {
	for _, nodeID := range []uint64{MaxNodeID + 1, 1 << 32, 1<<64 - 1} {
		if _, err := New(nodeID); !errors.Is(err, ErrNodeID) {
			t.Errorf("node %d: %v", nodeID, err)
		}
	}
}

// A backend may hold sessions of a gate's former life when the gate is back: a
// repeated id would give them to somebody else.
func TestRestartRepeatsNoID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[int64]bool)
		for _, life := range []struct {
			ids int
			d   time.Duration
		}{
			{1000, 20 * time.Millisecond},
			{60000, time.Second},
			{1, 16 * time.Microsecond},
			{100, time.Hour},
			{0, 24 * 365 * 30 * time.Hour},
			{100, time.Millisecond * 10},
		} {
			conns, err := New(7)
			if err != nil {
				t.Fatal(err)
			}
			for range life.ids {
				id := conns.SessionID()
				if id <= 0 || seen[id] {
					t.Fatalf("life of %v: id %x is not positive or came before", life.d, id)
				}
				seen[id] = true
			}
			time.Sleep(life.d)
		}
	})
}

func TestSequenceWrapsInsideItsNode(t *testing.T) {
	s, err := newSequence(3, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.next.Store(counterMask)
	if id := s.take(); id>>counterBits != 3 || id < 0 {
		t.Errorf("id %x after the last one", id)
	}
}

// ResetNodeId on a node that serves already, as v0.5 programs may call it.
func TestResetNodeIDWhileIDsAreTaken(t *testing.T) {
	c := newCounter()
	now := time.Now()
	var wg sync.WaitGroup
	taken := make([][]int64, 4)
	for i := range taken {
		wg.Go(func() {
			for range 5000 {
				taken[i] = append(taken[i], c.SessionID())
			}
		})
	}
	wg.Go(func() {
		for i := range 300 {
			_ = c.reset(uint64(i%3), now)
		}
	})
	wg.Wait()
	seen := make(map[int64]bool)
	for _, ids := range taken {
		for _, id := range ids {
			if seen[id] {
				t.Fatalf("id %x came twice", id)
			}
			seen[id] = true
		}
	}
}

func TestDefaultInstance(t *testing.T) {
	t.Cleanup(func() { ResetNodeId(0) })
	ResetNodeId(9)
	if id := Connections.SessionID(); id>>counterBits != 9 {
		t.Errorf("id %x, want one of node 9", id)
	}
	ResetNodeId(MaxNodeID + 1)
	if id := Connections.SessionID(); id>>counterBits != 9 {
		t.Errorf("id %x after an illegal node id, want one of node 9 still", id)
	}
	ResetNodeId(0)
	if id := Connections.SessionID(); id>>counterBits != 0 {
		t.Errorf("id %x, want one without a node", id)
	}
}

func TestCountAndReset(t *testing.T) {
	conns, _ := New(0)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			conns.Increment()
			conns.Increment()
			conns.Decrement()
			conns.SessionID()
		})
	}
	wg.Wait()
	if got := conns.Count(); got != 50 {
		t.Errorf("count %d, want 50", got)
	}
	conns.Reset()
	if got := conns.Count(); got != 0 {
		t.Errorf("count %d after Reset", got)
	}
	if got := conns.SessionID(); got != 1 {
		t.Errorf("id %d after Reset, want 1 as in v0.5", got)
	}

	of7, _ := New(7)
	before := of7.SessionID()
	of7.Reset()
	if after := of7.SessionID(); after <= before {
		t.Errorf("id %x after Reset, %x before: a node's ids must go on", after, before)
	}
}

func BenchmarkSessionID(b *testing.B) {
	conns, _ := New(1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			conns.SessionID()
		}
	})
}
