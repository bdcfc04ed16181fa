package resume_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lonng/nano/internal/resume"
)

var (
	one   = resume.Place{Addr: "gate:1", Epoch: 10}
	two   = resume.Place{Addr: "gate:2", Epoch: 20}
	three = resume.Place{Addr: "gate:3", Epoch: 30}
)

// A session that goes to another gate has to be the same there, byte for byte, or its client gets
// messages twice or never.
func TestStateGoesToAnotherGate(t *testing.T) {
	var s resume.Session
	s.Init(resume.NewKey())
	token := resume.Token{Session: 7}
	s.Issue(&token)
	s.Confirm()
	for n := 1; n <= 9; n++ {
		s.Out.Copy(numbered(n))
		s.Receive(10)
	}
	s.Out.Share(numbered(10))
	if err := s.Out.Acknowledge(3); err != nil {
		t.Fatal(err)
	}
	var moved resume.Session
	if err := moved.Restore(s.State(), start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if moved.Received() != 9 || moved.Out.Sent() != 10 || !moved.Holds(token) || moved.Expired(start) || !moved.Expired(start.Add(time.Minute)) {
		t.Errorf("%d received, %d sent", moved.Received(), moved.Out.Sent())
	}
	if why, err := moved.Resume(token, 5, start); why != "" || err != nil || !bytes.Equal(kept(&moved.Out), upTo(6, 10)) {
		t.Errorf("%q %v: %q", why, err, kept(&moved.Out))
	}
	next := resume.Token{Session: 7}
	moved.Issue(&next)
	if next.Key != token.Key || next.Turn != token.Turn+1 {
		t.Errorf("the next token has the turn %d", next.Turn)
	}
	for _, bad := range [][]byte{{4}, {4, 0, 0, 9, 1}} {
		if new(resume.Session).Restore(resume.State{Packets: [][]byte{bad}}, start) == nil {
			t.Errorf("% x was taken", bad)
		}
	}
}

// What a gate does to find a session, step by step.
func TestSearch(t *testing.T) {
	token := resume.Token{Gate: one.Addr, Epoch: one.Epoch}
	later := func(d time.Duration) time.Time { return start.Add(d) }
	want := func(got, want resume.Step) {
		t.Helper()
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	s, step := resume.NewSearch(two, token, later(10*time.Second))
	want(step, resume.Step{Kind: resume.Ask, At: one})
	want(s.Asked(resume.Given, resume.Place{}, ""), resume.Step{Kind: resume.Here})

	s, _ = resume.NewSearch(two, token, later(10*time.Second))
	want(s.Asked(resume.No, resume.Place{}, resume.Expired), resume.Step{Kind: resume.Stop, Why: resume.Expired})

	s, _ = resume.NewSearch(two, token, later(10*time.Second))
	want(s.Asked(resume.Gone, three, ""), resume.Step{Kind: resume.Ask, At: three})
	want(s.Asked(resume.Silent, resume.Place{}, ""), resume.Step{Kind: resume.Look, At: three})
	want(s.Looked(resume.Found{Alive: true}, start), resume.Step{Kind: resume.Ask, At: three, Wait: 250 * time.Millisecond})
	want(s.Looked(resume.Found{Alive: true}, later(8*time.Second)), resume.Step{Kind: resume.Ask, At: three, Wait: 250 * time.Millisecond})
	want(s.Looked(resume.Found{Alive: true}, later(10*time.Second)), resume.Step{Kind: resume.Stop, Why: resume.Later})
	s.Wait(later(20 * time.Second)) // another client, or the same once more
	s.Wait(later(5 * time.Second))
	want(s.Looked(resume.Found{Alive: true}, later(10*time.Second)), resume.Step{Kind: resume.Ask, At: three, Wait: 250 * time.Millisecond})
	// A node has lost the owner, and another hears it: nobody takes its session.
	want(s.Looked(resume.Found{Nodes: 1, Alive: true}, start), resume.Step{Kind: resume.Ask, At: three, Wait: 250 * time.Millisecond})
	want(s.Looked(resume.Found{Nodes: 1}, start), resume.Step{Kind: resume.Adopt, At: three})
	want(s.Adopted(resume.Found{Nodes: 1, Alive: true}, start), resume.Step{Kind: resume.Ask, At: three, Wait: 250 * time.Millisecond})
	want(s.Adopted(resume.Found{Nodes: 1}, start), resume.Step{Kind: resume.Here})
	want(s.Adopted(resume.Found{At: two}, start), resume.Step{Kind: resume.Here}) // it has come here meanwhile
	want(s.Looked(resume.Found{}, start), resume.Step{Kind: resume.Stop, Why: resume.Unknown})
	want(s.Adopted(resume.Found{}, start), resume.Step{Kind: resume.Stop, Why: resume.Unknown})

	// An earlier run of the gate itself knows nothing any more.
	_, step = resume.NewSearch(resume.Place{Addr: one.Addr, Epoch: 11}, token, later(10*time.Second))
	want(step, resume.Step{Kind: resume.Look, At: one})

	// The owner has given it to this gate, and the answer was lost with the link: the nodes that
	// know the session have it at this gate. One that has ended here stays so.
	for _, ended := range []resume.Reason{resume.Unknown, resume.Expired} {
		s, _ = resume.NewSearch(two, token, later(10*time.Second))
		want(s.Asked(resume.Gone, two, ""), resume.Step{Kind: resume.Here})
		if ended == resume.Unknown {
			want(s.Missing(ended), resume.Step{Kind: resume.Look, At: one, Free: true})
			want(s.Looked(resume.Found{Nodes: 1}, start), resume.Step{Kind: resume.Adopt, At: one, Free: true})
		} else {
			want(s.Missing(ended), resume.Step{Kind: resume.Stop, Why: ended})
		}
	}
	s, _ = resume.NewSearch(one, token, later(10*time.Second)) // nobody has given anything
	want(s.Missing(resume.Unknown), resume.Step{Kind: resume.Stop, Why: resume.Unknown})

	// Gates that name each other for ever are not followed for ever.
	s, step = resume.NewSearch(two, token, later(10*time.Second))
	for hops := 0; step.Kind == resume.Ask; hops++ {
		if hops > 100 {
			t.Fatal("the search does not end")
		}
		at := one
		if hops%2 == 0 {
			at = three
		}
		step = s.Asked(resume.Gone, at, "")
	}
	want(step, resume.Step{Kind: resume.Stop, Why: resume.Unknown})
}

// The session goes when everybody has said that it is known where, and not before.
func TestHandover(t *testing.T) {
	h := resume.NewHandover([]resume.Place{one, two, three})
	h.Told(one, true)
	h.Told(one, false) // a second word of it says nothing
	h.Told(resume.Place{Addr: "stranger:1"}, false)
	if h.Ready() {
		t.Error("ready before two of three have said so")
	}
	h.Told(two, true)
	h.Expire()
	if !h.Ready() || len(h.Late()) != 1 || h.Late()[0] != three {
		t.Errorf("ready %v, late %v", h.Ready(), h.Late())
	}
	if !resume.NewHandover(nil).Ready() {
		t.Error("nobody is waited for, and it waits")
	}
}

// A gate remembers where a session has gone for a time, and the last place if it has gone twice.
func TestMoves(t *testing.T) {
	var m resume.Moves
	at := func(id int64, now time.Time, want resume.Place, ok bool) {
		t.Helper()
		if got, there := m.Find(id, now); got != want || there != ok {
			t.Errorf("session %d is at %v (%v), want %v (%v)", id, got, there, want, ok)
		}
	}
	at(1, start, resume.Place{}, false)
	m.Add(1, two, start, start.Add(time.Minute))
	m.Add(2, two, start, start.Add(time.Minute))
	m.Add(1, three, start.Add(30*time.Second), start.Add(90*time.Second))
	at(1, start.Add(59*time.Second), three, true)
	at(2, start.Add(59*time.Second), two, true)
	m.Add(3, one, start.Add(60*time.Second), start.Add(120*time.Second)) // what is over is forgotten
	at(2, start, resume.Place{}, false)
	at(1, start.Add(61*time.Second), three, true)
	m.Forget(1)
	at(1, start.Add(61*time.Second), resume.Place{}, false)
	for i := range int64(1 << 18) {
		m.Add(100+i, one, start, start.Add(time.Hour))
	}
	at(100, start, resume.Place{}, false)
	at(99+1<<18, start, one, true)
}

// Two gates look for the session of a dead gate at the same moment, and each gets one of its nodes:
// the first in order takes it, the other has its client come again. Neither hears that there is
// none.
func TestTwoGatesFindASessionAtOnce(t *testing.T) {
	token := resume.Token{Gate: one.Addr, Epoch: one.Epoch}
	until := start.Add(10 * time.Second)
	later, _ := resume.NewSearch(three, token, until)
	first, _ := resume.NewSearch(two, token, until)
	for _, s := range []*resume.Search{later, first} {
		s.Asked(resume.Silent, resume.Place{}, "")
		if got := s.Looked(resume.Found{Nodes: 2}, start); got != (resume.Step{Kind: resume.Adopt, At: one}) {
			t.Errorf("both nodes know it: %+v", got)
		}
	}
	if got := later.Adopted(resume.Found{Nodes: 1, At: two}, start); got != (resume.Step{Kind: resume.Ask, At: two}) {
		t.Errorf("the last in order: %+v", got)
	}
	if got := first.Adopted(resume.Found{Nodes: 1, At: three}, start); got != (resume.Step{Kind: resume.Ask, At: three}) {
		t.Errorf("the first in order: %+v", got)
	}
	if got := later.Asked(resume.Busy, resume.Place{}, ""); got != (resume.Step{Kind: resume.Stop, Why: resume.Later}) {
		t.Errorf("the last in order, as the other looks for it, too: %+v", got)
	}
	if got := first.Asked(resume.Busy, resume.Place{}, ""); got != (resume.Step{Kind: resume.Ask, At: three, Wait: 250 * time.Millisecond}) {
		t.Errorf("the first in order, as the other looks for it, too: %+v", got)
	}
	if got := first.Asked(resume.Nowhere, resume.Place{}, resume.Unknown); got != (resume.Step{Kind: resume.Look, At: three, Free: true}) {
		t.Errorf("when the other has given up: %+v", got)
	}
	if got := first.Looked(resume.Found{Nodes: 2}, start); got != (resume.Step{Kind: resume.Adopt, At: three, Free: true}) {
		t.Errorf("when all nodes know it: %+v", got)
	}
	if got := first.Adopted(resume.Found{Nodes: 2}, start); got != (resume.Step{Kind: resume.Here}) {
		t.Errorf("when all nodes have come to it: %+v", got)
	}
	other, _ := resume.NewSearch(two, token, until) // nobody has said that the owner took it
	if got := other.Asked(resume.Nowhere, resume.Place{}, resume.Expired); got != (resume.Step{Kind: resume.Stop, Why: resume.Expired}) {
		t.Errorf("the owner has it no more: %+v", got)
	}
}

// A whole data centre that loses its power sends all its clients to search at once, and a stranger
// with many sessions may do the same: the others still find theirs.
func TestSearchesAreBounded(t *testing.T) {
	var s resume.Searches
	begun := func(addr string) bool { return s.Begin(netip.MustParseAddr(addr)) }
	count := func(addr string) (n int) {
		for begun(addr) {
			n++
		}
		return n
	}
	if n := count("192.0.2.1"); n != 128 {
		t.Errorf("%d searches of one address", n)
	}
	if begun("::ffff:192.0.2.1") || !begun("192.0.2.2") {
		t.Error("an address has more because of how it is written, or one stands for another")
	}
	if a, b := count("2001:db8::1"), count("2001:db8::2"); a != 128 || b != 0 {
		t.Errorf("%d and %d searches of one network", a, b)
	}
	all := 128 + 1 + 128
	for i := range 20 {
		all += count(fmt.Sprintf("198.51.100.%d", i))
	}
	if all != 1024 {
		t.Errorf("%d searches in all", all)
	}
	s.End(netip.MustParseAddr("192.0.2.1"))
	if !begun("192.0.2.1") || begun("192.0.2.1") {
		t.Error("one has ended, so one may begin")
	}
}

// A node is told twice that a session goes, and the second time it goes without its word: only when
// both words are there, nothing of it is too late any more.
func TestLags(t *testing.T) {
	var l resume.Lags[string]
	l.Tell(1, "back")
	l.Tell(1, "back")
	l.Tell(1, "room")
	l.Leave(1, "back")
	l.Leave(1, "none")
	for _, words := range []int{0, 1, 2} {
		if late := words < 2; l.TooLate(1, "back") != late || l.Late() > 0 != late {
			t.Errorf("after %d words it is too late: %v, and %d nodes are", words, l.TooLate(1, "back"), l.Late())
		}
		l.Tell(1, "back") // of the times after that, nothing is too late
		l.Knows(1, "back")
	}
	if l.TooLate(1, "room") || l.TooLate(2, "back") {
		t.Error("what nobody has gone without is too late")
	}
	l.Knows(1, "room")
	l.Knows(1, "room") // once too often
	if l.Late() != 0 {
		t.Errorf("%d nodes are late", l.Late())
	}
}
