package session_test

import (
	"testing"
	"time"

	"github.com/lonng/nano/session"
)

// numbered notes in which order observers are told of the end.
type numbered struct {
	n    int
	told *[]int
}

func (o *numbered) SessionBound(*session.Session)  {}
func (o *numbered) SessionClosed(*session.Session) { *o.told = append(*o.told, o.n) }

// A client that joins very many rooms must not hold up the scheduler: each join and each leave
// costs the same.
func TestJoiningManyGroupsIsLinear(t *testing.T) {
	took := func(n int) time.Duration {
		s := session.NewWithID(nil, 1)
		all := make([]*numbered, n)
		for i := range all {
			all[i] = &numbered{}
		}
		start := time.Now()
		for _, o := range all {
			s.Observe(o)
		}
		for _, o := range all {
			s.Unobserve(o)
		}
		return time.Since(start)
	}
	few := took(2_000)
	for range 4 {
		few = max(few, took(2_000)) // the slowest: what else the machine does counts for nobody
	}
	many := took(40_000)
	for range 4 {
		many = min(many, took(40_000)) // the quickest, for the same reason
	}
	if many > 150*few {
		t.Errorf("20 times as many groups took %v, %v for the few: more than linear", many, few)
	}
}

// What is left after many came and went is told once each, in the order in which they came.
func TestManyObserversKeepTheirOrder(t *testing.T) {
	life := session.NewLifetime()
	s := session.NewWithID(nil, 1)
	s.SetLifetime(life)
	life.Open(s)
	var told []int
	all := make([]*numbered, 1000)
	for i := range all {
		all[i] = &numbered{n: i, told: &told}
		if !s.Observe(all[i]) || !s.Observe(all[i]) {
			t.Fatal("an open session took no observer")
		}
	}
	for i, o := range all {
		if i%7 != 0 {
			s.Unobserve(o)
			s.Unobserve(o)
		}
	}
	s.Observe(all[1]) // comes again, behind the others
	life.Close(s)
	want := 0
	for _, n := range told[:len(told)-1] {
		if n != want {
			t.Fatalf("observer %d was told in the place of %d", n, want)
		}
		want += 7
	}
	if last := told[len(told)-1]; last != 1 || want < 1000 {
		t.Errorf("the last that was told is %d of %d, want the one that came again", last, len(told))
	}
}
