package member_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lonng/nano/internal/member"
)

// Two nodes with one id would hand out the same session ids: a reply would reach another user. What
// stands in this file keeps that from happening.

// fixed is a node with a configured id, and claim one that says which it has.
func fixed(addr string, id uint64) member.Member {
	return with(node(addr, 1), func(m *member.Member) { m.NodeID, m.Fixed = id, true })
}

func claim(addr string, id uint64) member.Member {
	return with(node(addr, 1), func(m *member.Member) { m.NodeID = id })
}

// idOf registers a node, and returns its id.
func idOf(t *testing.T, s *stage, m member.Member) uint64 {
	t.Helper()
	a, _, err := s.m.Register(m, clock(s.now))
	if err != nil {
		t.Fatal(err)
	}
	return a.NodeID
}

// Leased ids differ, and one lease lasts as long as its process.
func TestLeasedNodeIDsDiffer(t *testing.T) {
	s := newStage(t)
	seen := map[uint64]bool{1: true}
	for i := range 200 {
		n := idOf(t, s, node(fmt.Sprint("n", i), 1))
		if n == 0 || n > member.MaxNodeID || seen[n] {
			t.Fatalf("node %d got id %d", i, n)
		}
		seen[n] = true
	}
	a := idOf(t, s, node("n7", 1))
	if a != idOf(t, s, node("n7", 1)) {
		t.Error("registering again gives another id")
	}
	if b := idOf(t, s, node("n7", 2)); seen[b] {
		t.Errorf("a new process got %d, which is or was another's", b)
	}
}

// A configured id is honoured, or refused while a living node has it.
func TestConfiguredNodeIDs(t *testing.T) {
	s := newStage(t)
	if got := idOf(t, s, fixed("a", 7)); got != 7 {
		t.Fatalf("got %d", got)
	}
	if _, _, err := s.m.Register(fixed("b", 7), clock(0)); !errors.Is(err, member.ErrNodeIDTaken) {
		t.Fatalf("second node: %v", err)
	}
	if _, _, err := s.m.Heartbeat(fixed("b", 7), member.Version{}, clock(0)); !errors.Is(err, member.ErrNodeIDTaken) {
		t.Fatalf("second node, by heartbeat: %v", err)
	}
	if _, _, err := s.m.Register(fixed("b", 1), clock(0)); !errors.Is(err, member.ErrNodeIDTaken) {
		t.Fatalf("the master's: %v", err)
	}
	if _, _, err := s.m.Register(fixed("b", member.MaxNodeID+1), clock(0)); !errors.Is(err, member.ErrNodeID) {
		t.Fatalf("too large: %v", err)
	}
	restarted := fixed("a", 7)
	restarted.Epoch = 2
	if got := idOf(t, s, restarted); got != 7 {
		t.Errorf("a restart: got %d", got)
	}
	leave("a", 2)(s)
	if got := idOf(t, s, fixed("b", 7)); got != 7 {
		t.Errorf("after the first has left: got %d", got)
	}
}

// An id that was leased is kept for its process.
func TestLeasedNodeIDIsKeptForItsProcess(t *testing.T) {
	s := newStage(t)
	n := idOf(t, s, node("a", 1))
	leave("a", 1)(s)
	for i := range 100 {
		if idOf(t, s, node(fmt.Sprint("n", i), 1)) == n {
			t.Fatalf("reused at once, by node %d", i)
		}
	}
	if got := idOf(t, s, node("a", 1)); got != n {
		t.Errorf("it came back and got %d, had %d", got, n)
	}
}

// A new master takes over the leases of the nodes that it hears.
func TestNewMasterTakesOverLeases(t *testing.T) {
	s := newStage(t)
	if a, _, _ := s.m.Heartbeat(claim("a", 40_000), member.Version{}, clock(0)); a.NodeID != 40_000 {
		t.Errorf("got %d", a.NodeID)
	}
	a, _, err := s.m.Heartbeat(claim("b", 40_000), member.Version{}, clock(0))
	if err != nil || a.NodeID == 40_000 || a.NodeID == 0 {
		t.Errorf("who comes second got %d, %v", a.NodeID, err)
	}
}

// A configured id that was leased before its node was heard goes to its node.
func TestConfiguredNodeIDThatWasLeasedGoesToItsNode(t *testing.T) {
	s := newStage(t)
	idOf(t, s, claim("a", 9))
	b, _, err := s.m.Heartbeat(fixed("b", 9), member.Version{}, clock(0))
	if err != nil || b.NodeID != 9 {
		t.Fatalf("its node got %d, %v", b.NodeID, err)
	}
	a, _, err := s.m.Heartbeat(claim("a", 9), member.Version{}, clock(0))
	if err != nil || a.NodeID == 9 || a.NodeID == 0 || a.Rejoined {
		t.Errorf("the other got %+v, %v", a, err)
	}
}
