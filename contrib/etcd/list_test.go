package etcd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/cluster/keeper"
)

// script is a list and the time that a test gives it.
type script struct {
	t *testing.T
	l *list
	time.Time
}

func newScript(t *testing.T, addrs ...string) *script {
	s := &script{t, newList(keeper.Member{Addr: "self:1", Epoch: 9}, 6*time.Second), time.Unix(1000, 0)}
	var all []keeper.Member
	for _, a := range append(addrs, "self:1") {
		all = append(all, keeper.Member{Addr: a, Epoch: 1})
	}
	s.l.hear(s.Time)
	s.l.replace(all, s.Time)
	return s
}

// later lets time pass in which etcd answers, or does not.
func (s *script) later(d time.Duration, answers bool) {
	for end := s.Add(d); s.Before(end); {
		s.Time = s.Add(time.Second)
		if answers {
			s.l.hear(s.Time)
			s.l.tick(s.Time)
		}
	}
}

// shows wants the next view to hold these; none: no view.
func (s *script) shows(want ...string) {
	s.t.Helper()
	v, ok := s.l.view()
	var got []string
	for _, m := range v.Members {
		got = append(got, m.Addr)
	}
	if ok != (len(want) > 0) || !slices.Equal(got, want) {
		s.t.Fatalf("the view is %v (%v), want %v", got, ok, want)
	}
}

// Who is gone while etcd answers is gone.
func TestWhoIsRemovedIsGone(t *testing.T) {
	s := newScript(t, "b:1", "a:1")
	s.shows("a:1", "b:1", "self:1")
	s.shows()
	s.later(10*time.Second, true)
	s.l.remove("a:1", s.Time)
	s.l.remove("nobody:1", s.Time)
	s.shows("b:1", "self:1")
	s.l.put(keeper.Member{Addr: "b:1", Epoch: 1})
	s.shows()
	s.l.put(keeper.Member{Addr: "b:1", Epoch: 1, State: keeper.Draining})
	s.shows("b:1", "self:1")
}

// After a time without etcd, the entries of all have run out: who lives gets one more time to enter
// itself again, and only who does not is dropped.
func TestTheLivingStayAfterAnOutage(t *testing.T) {
	for _, how := range []string{"one by one", "the list as a whole"} {
		t.Run(how, func(t *testing.T) {
			s := newScript(t, "dead:1", "lives:1")
			s.shows("dead:1", "lives:1", "self:1")
			s.later(time.Minute, false)
			s.l.hear(s.Time)
			self := keeper.Member{Addr: "self:1", Epoch: 1}
			if how == "one by one" {
				s.l.remove("dead:1", s.Time)
				s.l.remove("lives:1", s.Time)
			} else {
				s.l.replace([]keeper.Member{self}, s.Time)
			}
			s.shows()
			s.later(2*time.Second, true)
			s.l.put(keeper.Member{Addr: "lives:1", Epoch: 1})
			s.later(3*time.Second, true)
			s.shows()
			s.later(time.Second, true)
			s.shows("lives:1", "self:1")
			// And from then on, who is gone is gone.
			s.l.remove("lives:1", s.Time)
			s.shows("self:1")
		})
	}
}

// A node must know that the list has lost it: others may have taken it for dead.
func TestTheNodeItselfIsNotHeld(t *testing.T) {
	s := newScript(t, "a:1")
	s.shows("a:1", "self:1")
	s.later(time.Minute, false)
	s.l.hear(s.Time)
	s.l.replace(nil, s.Time)
	s.shows("a:1")
}

// Who is held and comes back as another process is that process at once.
func TestAHeldMemberIsReplaced(t *testing.T) {
	s := newScript(t, "a:1")
	s.shows("a:1", "self:1")
	s.later(time.Minute, false)
	s.l.hear(s.Time)
	s.l.remove("a:1", s.Time)
	s.l.put(keeper.Member{Addr: "a:1", Epoch: 2})
	v, _ := s.l.view()
	if m, _ := v.Member("a:1"); m.Epoch != 2 || v.Version.N != 2 {
		t.Errorf("the view is %+v", v)
	}
	s.later(time.Minute, true)
	s.shows()
}

// Every field of a member comes back as it was; what somebody else has written is an error.
func TestEntries(t *testing.T) {
	c := Config{Prefix: "x/"}
	m := keeper.Member{
		Label: "l", Addr: "[::1]:3250", Services: []string{"A", "B"}, State: keeper.Draining, Link: 3, NodeID: 7, Fixed: true,
		Epoch: 1<<63 + 1, Joined: 5,
	}
	value, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.decode([]byte(c.memberKey(m.Addr)), []byte(value))
	if err != nil || !got.Equal(m) || got.Joined != m.Joined {
		t.Errorf("%+v came back as %+v, %v", m, got, err)
	}
	for _, c2 := range []struct{ key, value string }{
		{"[::1]:3250", ""}, {"[::1]:3250", "{}"}, {"[::1]:3250", "null"}, {"[::1]:3250", `{"addr":"[::1]:3250"}`}, {"a:1", value}, {"[::1]:3250", value[:20]},
	} {
		if got, err := c.decode([]byte(c.memberKey(c2.key)), []byte(c2.value)); err == nil {
			t.Errorf("%q under %q is %+v", c2.value, c2.key, got)
		}
	}
}

// Ids are given from the upper half first, so that configured ones seldom meet them.
func TestIDsAreGiven(t *testing.T) {
	taken := map[uint64]bool{firstGiven + 4: true}
	for start, want := range map[uint64]uint64{0: firstGiven, 3: firstGiven + 3, 4: firstGiven + 5, firstGiven - 1: 65535} {
		if got, ok := firstFree(taken, start); got != want || !ok {
			t.Errorf("from %d on, %d is free (%v), want %d", start, got, ok, want)
		}
	}
	for id := uint64(firstGiven); id <= 65535; id++ {
		taken[id] = id != 40000
	}
	if got, ok := firstFree(taken, 20000); got != 40000 || !ok {
		t.Errorf("the last of the upper half is %d (%v)", got, ok)
	}
	taken[40000] = true
	if got, ok := firstFree(taken, 5); got != 1 || !ok {
		t.Errorf("with the upper half taken, %d is free (%v)", got, ok)
	}
	for id := uint64(1); id < firstGiven; id++ {
		taken[id] = true
	}
	if got, ok := firstFree(taken, 0); ok {
		t.Errorf("%d is free of none", got)
	}
}

// A wrong configuration is refused at once, with everything that is wrong.
func TestConfigIsChecked(t *testing.T) {
	for want, c := range map[string]Config{
		"Endpoints: none is given":     {},
		"Endpoints: one of":            {Endpoints: []string{"a:1", " "}},
		"is https, but TLS is not set": {Endpoints: []string{"https://a:1"}},
		"one is set without the other": {Endpoints: []string{"a:1"}, Username: "u"},
		"not a number of whole second": {Endpoints: []string{"a:1"}, TTL: 2500 * time.Millisecond},
		"at least 2s":                  {Endpoints: []string{"a:1"}, TTL: time.Second},
	} {
		if k, err := New(c); err == nil || !strings.Contains(err.Error(), want) || k != nil {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	_, err := New(Config{TTL: 1, Password: "p"})
	if err == nil || strings.Count(fmt.Sprint(err), "etcd: ") != 3 {
		t.Errorf("three mistakes: %v", err)
	}
	k, err := New(Config{Endpoints: []string{"a:1"}})
	if err != nil || k.cfg.Prefix != DefaultPrefix || k.cfg.TTL != DefaultTTL {
		t.Errorf("the defaults: %+v, %v", k, err)
	}
}
