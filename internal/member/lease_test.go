package member

import (
	"errors"
	"testing"
	"time"
)

// An id that is leased again too early is in the session ids of two nodes.
func TestLeasesRunOutBeforeTheyAreReused(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := newLeases(time.Hour, 42)
	seen := make(map[uint64]bool)
	for i := range uint64(MaxNodeID) {
		id, err := l.lease("a", i+1, now)
		if err != nil || id == 0 || id > MaxNodeID || seen[id] {
			t.Fatalf("lease %d is %d, %v", i, id, err)
		}
		if i < firstLeased && id < firstLeased {
			t.Fatalf("lease %d is %d: configured ids are to have the lower half while the upper is not used up", i, id)
		}
		seen[id] = true
		l.grant(id, "a")
		if i%2 == 0 {
			l.release(id, "a", i+1, now)
		}
	}
	if _, err := l.lease("b", 1, now.Add(time.Hour-1)); !errors.Is(err, ErrNoNodeID) {
		t.Fatalf("one more: %v", err)
	}
	if id, err := l.lease("a", 1, now); err != nil || !seen[id] {
		t.Errorf("the process that had one got %d, %v", id, err)
	}
	id, err := l.lease("b", 1, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	l.grant(id, "b")
	if len(l.last) != len(l.freed) {
		t.Errorf("%d owners of %d freed ids", len(l.last), len(l.freed))
	}
}

// A master that was started again leases before it has heard who has what: it should not begin
// where the one before it did.
func TestLeasesOfTwoMastersBeginApart(t *testing.T) {
	begin := make(map[uint64]bool)
	for epoch := range uint64(1000) {
		id, _ := newLeases(time.Hour, 1_800_000_000_000_000_000+epoch*1_000_000_000).lease("a", 1, time.Time{})
		begin[id] = true
	}
	if len(begin) < 950 {
		t.Errorf("1000 masters begin at %d ids", len(begin))
	}
}
