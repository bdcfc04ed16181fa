package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/session"
)

// What a page shows as new must be new: the age of a node's word grows while nothing is heard of
// it, also on the way over a gate whose master is away.
func TestTheAgeOfWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tally := newTally()
		var told []Overview
		tally.announce = func(o Overview) { told = append(told, o) }
		gate := &Report{Addr: "a", Name: "gate 1", PID: 7}
		tally.count(gate, time.Now())
		time.Sleep(4 * time.Second)
		tally.count(&Report{Addr: "b", Name: "gate 2", PID: 8}, time.Now())
		tally.look(time.Now())

		g := newGateway("gate 2")
		if err := g.overview(t.Context(), nil, &told[len(told)-1]); err != nil {
			t.Fatal(err)
		}
		enter := func(want ...Counted) {
			t.Helper()
			reply, err := g.Enter(t.Context(), session.New(nil), &EnterRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range reply.Overview.Nodes {
				if n.Ago != want[i].Ago || n.Silent != want[i].Silent || n.PID != i+7 {
					t.Errorf("%s with pid %d: %d ms ago, silent: %t; want %+v", n.Name, n.PID, n.Ago, n.Silent, want[i])
				}
			}
		}
		enter(Counted{Ago: 4000, Silent: true}, Counted{})
		time.Sleep(2 * time.Second) // the master says nothing
		enter(Counted{Ago: 6000, Silent: true}, Counted{Ago: 2000})
		time.Sleep(2 * time.Second)
		enter(Counted{Ago: 8000, Silent: true}, Counted{Ago: 4000, Silent: true})

		tally.count(gate, time.Now())
		if o := tally.overview(time.Now()); o.Nodes[0].Ago != 0 || o.Nodes[0].Silent {
			t.Errorf("heard now: %+v", o.Nodes[0])
		}
	})
}

// Another process under a node's name is news: the page shows whose pid to kill.
func TestANodeThatWasStartedAgainIsNews(t *testing.T) {
	tally := newTally()
	news := 0
	tally.announce = func(o Overview) {
		if o.Changed {
			news++
		}
	}
	now := time.Now()
	for i, pid := range []int{7, 7, 8} {
		tally.count(&Report{Addr: "a", PID: pid}, now.Add(time.Duration(i)*time.Second))
		tally.look(now.Add(time.Duration(i) * time.Second))
	}
	if news != 2 {
		t.Errorf("pages were told %d times, want 2", news)
	}
}

// Where etcd keeps the list, nobody tells the master who has left: it sees that itself.
func TestWhoIsNotInTheListHasLeft(t *testing.T) {
	tally := newTally()
	tally.announce = func(Overview) {}
	names := func() (names []string) {
		for _, n := range tally.overview(time.Now()).Nodes {
			names = append(names, n.Addr)
		}
		return names
	}
	tally.count(&Report{Addr: "a"}, time.Now()) // it is faster than the list
	tally.see(nil)
	tally.count(&Report{Addr: "b"}, time.Now())
	tally.see([]string{"a", "b"})
	if got := names(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("counted: %v", got)
	}
	tally.see([]string{"b"})
	if got := names(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("counted when a has left: %v", got)
	}
}

// A page that got no answer sends its message again. The others must not read it twice, whichever
// backend has the room by then.
func TestAMessageThatWasSentAgainIsSaidOnce(t *testing.T) {
	ada, ben := &person{Person: Person{Name: "Ada"}}, &person{Person: Person{Name: "Ben"}}
	texts := func(r *room) (all []string) {
		for _, m := range r.recent {
			all = append(all, m.From+": "+m.Text)
		}
		return all
	}
	here := newRoom("garden")
	first := here.say(ada, "hello", "x1")
	here.say(ben, "hello", "x1") // a mark is its sender's
	if again := here.say(ada, "hello", "x1"); again != first {
		t.Errorf("said again as %v, was %v", again, first)
	}
	here.say(ada, "hello", "x2") // the same words, meant twice
	here.say(ada, "no mark", "")
	here.say(ada, "no mark", "")
	want := []string{"Ada: hello", "Ben: hello", "Ada: hello", "Ada: no mark", "Ada: no mark"}
	if got := texts(here); !slices.Equal(got, want) {
		t.Errorf("it was said: %q", got)
	}

	// The room moves. What waits for an answer is sent again, before or after it is known there
	// what was said here.
	for _, after := range []bool{false, true} {
		there := newRoom("garden")
		if after {
			there.remember(here.recent)
		}
		there.say(ada, "hello", "x2")
		there.say(ada, "new", "x3")
		if !after {
			there.remember(here.recent)
		}
		if got := texts(there); !slices.Equal(got, append(slices.Clone(want), "Ada: new")) {
			t.Errorf("known before: %t; it was said: %q", after, got)
		}
	}
}
