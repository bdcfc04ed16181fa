package member_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/internal/member"
)

// second is the heartbeat interval of all plays.
const second = time.Second

// stage is where a play is acted: a master, and a notebook of what it wants done.
type stage struct {
	t      *testing.T
	m      *member.Master
	now    time.Duration
	flying map[string]uint64
}

func clock(d time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(d) }

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, flying: map[string]uint64{}}
	s.restart(100)
	return s
}

func (s *stage) restart(epoch uint64) {
	m, err := member.NewMaster(member.Member{Addr: "master", Epoch: epoch, NodeID: 1, Fixed: true}, member.Config{Interval: second}, clock(s.now))
	if err != nil {
		s.t.Fatal(err)
	}
	s.m = m
	clear(s.flying)
}

// act is one line of a play: what happens, and what has to come of it.
type act struct {
	at   time.Duration
	name string
	do   func(*stage) string
	want string
}

func play(t *testing.T, acts []act) {
	t.Helper()
	s := newStage(t)
	for _, a := range acts {
		s.quiet(a.at)
		if got := a.do(s); got != a.want {
			t.Fatalf("%v: %s\n got %s\nwant %s", a.at, a.name, got, a.want)
		}
	}
}

// quiet lets time pass to just before at; what ticks bring about then must be an act of its own.
func (s *stage) quiet(at time.Duration) {
	for s.now+second/4 < at {
		s.now += second / 4
		if got := s.write(s.m.Tick(clock(s.now))); got != "" {
			s.t.Fatalf("%v: nobody expected %s", s.now, got)
		}
	}
	s.now = at
}

// write puts effects into words.
func (s *stage) write(e member.Effects) string {
	var lines []string
	if e.Held > 0 {
		lines = append(lines, fmt.Sprintf("holds %d", e.Held))
	}
	if e.Freed {
		lines = append(lines, "holds nobody")
	}
	for _, l := range e.Left {
		lines = append(lines, "left "+name(l))
	}
	for _, t := range e.Tells {
		s.flying[t.To.Addr] = t.Seq
		var calls []string
		for _, c := range t.Calls {
			verb := "new "
			if c.Del {
				verb = "del "
			}
			if (c.Version == member.Version{}) != t.To.Legacy() {
				s.t.Errorf("call %+v to %s: a version is for nodes that know them", c, t.To.Addr)
			}
			calls = append(calls, verb+name(c.Member))
		}
		lines = append(lines, "tell "+t.To.Addr+" "+strings.Join(calls, ", "))
	}
	return strings.Join(lines, "; ")
}

func name(m member.Member) string {
	s := m.Addr
	if m.Epoch != 0 {
		s += fmt.Sprintf("#%d", m.Epoch)
	}
	if len(m.Services) > 0 {
		s += fmt.Sprint(m.Services)
	}
	if m.State != member.Working {
		s += "(" + m.State.String() + ")"
	}
	return s
}

func names(all []member.Member) string {
	var words []string
	for _, m := range all {
		words = append(words, name(m))
	}
	return strings.Join(words, " ")
}

func node(addr string, epoch uint64, services ...string) member.Member {
	return member.Member{Addr: addr, Epoch: epoch, Services: services}
}

func with(m member.Member, change func(*member.Member)) member.Member {
	change(&m)
	return m
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

func register(m member.Member) func(*stage) string {
	return func(s *stage) string {
		a, e, err := s.m.Register(m, clock(s.now))
		if err != nil {
			return "refused: " + err.Error()
		}
		if m.Legacy() != (a.NodeID == 0) {
			s.t.Errorf("%s got node id %d", m.Addr, a.NodeID)
		}
		return join("sees "+names(a.Members), s.write(e))
	}
}

// beat is a heartbeat of a member that has the newest list, beatOld of one that has not.
func beat(m member.Member) func(*stage) string {
	return func(s *stage) string { return s.beat(m, s.m.Version()) }
}

func beatOld(m member.Member) func(*stage) string {
	return func(s *stage) string { return s.beat(m, member.Version{}) }
}

func (s *stage) beat(m member.Member, have member.Version) string {
	a, e, err := s.m.Heartbeat(m, have, clock(s.now))
	if err != nil {
		return "refused: " + err.Error()
	}
	var words []string
	if a.Rejoined {
		words = append(words, "rejoined")
	}
	if a.Fetch {
		words = append(words, "fetch")
	}
	return join(strings.Join(words, " "), s.write(e))
}

func leave(addr string, epoch uint64) func(*stage) string {
	return func(s *stage) string {
		e, err := s.m.Unregister(addr, epoch, clock(s.now))
		if err != nil {
			return "refused: " + err.Error()
		}
		return s.write(e)
	}
}

func told(addr string, ok bool) func(*stage) string {
	return func(s *stage) string { return s.write(s.m.Told(addr, s.flying[addr], ok, clock(s.now))) }
}

func tick(s *stage) string { return s.write(s.m.Tick(clock(s.now))) }

func masterRestarts(s *stage) string { s.restart(200); return "" }

// A master takes nodes in, and tells the others of them.
func TestMasterTakesNodesIn(t *testing.T) {
	gate := node("gate", 1, "gate")
	chat := node("chat", 1, "chat")
	chat2 := node("chat2", 1, "chat")
	plays := map[string][]act{
		"a new node is told to those who are there, and sees them": {
			{0, "gate", register(gate), "sees master#100"},
			{0, "chat", register(chat), "sees master#100 gate#1[gate]; tell gate new chat#1[chat]"},
			{0, "gate got it", told("gate", true), ""},
			{second, "gate's heartbeat", beat(gate), ""},
		},
		"a registration whose answer was lost is repeated and changes nothing": {
			{0, "chat", register(chat), "sees master#100"},
			{0, "gate", register(gate), "sees master#100 chat#1[chat]; tell chat new gate#1[gate]"},
			{0, "gate again", register(gate), "sees master#100 chat#1[chat]"},
		},
		"a node that restarts on its address replaces itself": {
			{0, "gate", register(gate), "sees master#100"},
			{0, "chat", register(chat), "sees master#100 gate#1[gate]; tell gate new chat#1[chat]"},
			{0, "gate got it", told("gate", true), ""},
			{second, "chat is there again", register(node("chat", 2, "chat")), "sees master#100 gate#1[gate]; left chat#1[chat]; tell gate del chat#1[chat], new chat#2[chat]"},
			{second, "the old process says farewell, late", leave("chat", 1), ""},
			{second, "the old process registers, late", register(chat), "refused: member: a newer process has the address: chat"},
			{second, "the old process beats, late", beat(chat), "refused: member: a newer process has the address: chat"},
			{second, "one that was refused says farewell, too", leave("chat", 3), ""},
			{2 * second, "the new one leaves", leave("chat", 2), "left chat#2[chat]"},
			{2 * second, "gate got the news", told("gate", true), "tell gate del chat#2[chat]"},
		},
		"a call that was lost is made good by the next heartbeat": {
			{0, "gate", register(gate), "sees master#100"},
			{0, "chat", register(chat), "sees master#100 gate#1[gate]; tell gate new chat#1[chat]"},
			{second / 4, "it did not arrive", told("gate", false), ""},
			{second / 2, "who is not heard is not called again", register(chat2), "sees master#100 gate#1[gate] chat#1[chat]; tell chat new chat2#1[chat]"},
			{second, "gate's heartbeat", beatOld(gate), "fetch"},
			{second, "and its next one", beat(gate), ""},
			{second, "it is told again", leave("chat2", 1), "left chat2#1[chat]; tell gate del chat2#1[chat]"},
		},
	}
	playAll(t, plays)
}

// A master drops who falls silent, but not most of its nodes at once.
func TestMasterDropsTheSilent(t *testing.T) {
	gate := node("gate", 1, "gate")
	chat := node("chat", 1, "chat")
	chat2 := node("chat2", 1, "chat")
	gate2 := node("gate2", 1, "gate")
	trio := trioOf(gate, chat, chat2)
	plays := map[string][]act{
		"four missed heartbeats are death": {
			{0, "gate", register(gate), "sees master#100"},
			{0, "chat", register(chat), "sees master#100 gate#1[gate]; tell gate new chat#1[chat]"},
			{0, "", told("gate", true), ""},
			{2 * second, "", beat(gate), ""},
			{4 * second, "the fourth is due now", tick, ""},
			{4*second + second/4, "it did not come", tick, "left chat#1[chat]; tell gate del chat#1[chat]"},
			{5 * second, "it was only asleep", beatOld(chat), "rejoined fetch"},
			{5 * second, "gate learns it in order", told("gate", true), "tell gate new chat#1[chat]"},
		},
		"two that die together are not told of each other": {
			{0, "", register(chat), "sees master#100"},
			{0, "", register(chat2), "sees master#100 chat#1[chat]; tell chat new chat2#1[chat]"},
			{second, "", register(gate), "sees master#100 chat#1[chat] chat2#1[chat]; tell chat2 new gate#1[gate]"},
			{second, "", register(gate2), "sees master#100 chat#1[chat] chat2#1[chat] gate#1[gate]; tell gate new gate2#1[gate]"},
			{second, "", told("gate", true), ""},
			{2 * second, "", beat(gate), ""},
			{2 * second, "", beat(gate2), ""},
			{4*second + second/4, "", tick, "left chat#1[chat]; left chat2#1[chat]; tell gate del chat#1[chat], del chat2#1[chat]; tell gate2 del chat#1[chat], del chat2#1[chat]"},
		},
		"a master that hears nobody any more drops nobody": {
			{0, "", trio, ""},
			{second / 4, "", beat(chat), ""},
			{second / 2, "", beat(gate), ""},
			{4*second + second/4, "it is the first, but others are silent too", tick, "holds 3"},
			{60 * second, "", tick, ""},
			{61 * second, "the network is back", beat(chat2), ""},
			{61 * second, "one of three is not enough", tick, ""},
			{61*second + second/4, "", beat(gate), ""},
			{61*second + second/4, "all get their full time", tick, "holds nobody"},
			{62 * second, "", beat(gate), ""},
			{62 * second, "", beat(chat2), ""},
			{65 * second, "", beat(gate), ""},
			{65 * second, "", beat(chat2), ""},
			{65*second + second/4, "one of them", tick, ""},
			{65*second + second/2, "did not come back", tick, "left chat#1[chat]; tell gate del chat#1[chat]; tell chat2 del chat#1[chat]"},
		},
		"a master that has lost two of three holds them": {
			{0, "", trio, ""},
			{2 * second, "", beat(gate), ""},
			{4 * second, "", beat(gate), ""},
			{4*second + second/4, "", tick, "holds 2"},
			{5 * second, "", beat(gate), ""},
			{6 * second, "one is started again", register(node("chat2", 2, "chat")), "sees master#100 gate#1[gate] chat#1[chat]; left chat2#1[chat]; " +
				"tell gate del chat2#1[chat], new chat2#2[chat]; tell chat del chat2#1[chat], new chat2#2[chat]"},
			{6 * second, "", tick, "holds nobody"},
			{6 * second, "", told("gate", true), ""},
			{9 * second, "", beat(node("chat2", 2, "chat")), ""},
			{9 * second, "", beat(gate), ""},
			{10*second + second/4, "", tick, "left chat#1[chat]; tell gate del chat#1[chat]; tell chat2 del chat#1[chat]"},
		},
		"what is lost one after the other is dropped one after the other": {
			{0, "", trio, ""},
			{3 * second, "", beat(chat), ""},
			{3 * second, "", beat(chat2), ""},
			{4*second + second/4, "", tick, "left gate#1[gate]; tell chat del gate#1[gate]; tell chat2 del gate#1[gate]"},
			{4*second + second/4, "", told("chat", true), ""},
			{4*second + second/4, "", told("chat2", true), ""},
			{6 * second, "", beat(chat2), ""},
			{7*second + second/4, "", tick, "left chat#1[chat]; tell chat2 del chat#1[chat]"},
		},
		"the last one is dropped: nobody else would hear of it": {
			{0, "", register(gate), "sees master#100"},
			{4*second + second/4, "", tick, "left gate#1[gate]"},
		},
	}
	playAll(t, plays)
}

// A master waits for nobody, and learns of its nodes from their heartbeats when it starts again.
func TestMasterGoesOn(t *testing.T) {
	gate := node("gate", 1, "gate")
	chat := node("chat", 1, "chat")
	chat2 := node("chat2", 1, "chat")
	plays := map[string][]act{
		"a join does not wait for who hangs, and who hangs gets one call": {
			{0, "", register(gate), "sees master#100"},
			{0, "", register(chat), "sees master#100 gate#1[gate]; tell gate new chat#1[chat]"},
			{second, "gate hangs", register(chat2), "sees master#100 gate#1[gate] chat#1[chat]; tell chat new chat2#1[chat]"},
			{second, "", register(node("chat3", 1)), "sees master#100 gate#1[gate] chat#1[chat] chat2#1[chat]; tell chat2 new chat3#1"},
			{2 * second, "gate wakes", told("gate", true), "tell gate new chat2#1[chat], new chat3#1"},
		},
		"a master that starts again learns of the nodes from their heartbeats": {
			{0, "", register(gate), "sees master#100"},
			{0, "", register(chat), "sees master#100 gate#1[gate]; tell gate new chat#1[chat]"},
			{second, "it restarts", masterRestarts, ""},
			{second, "a node joins meanwhile", register(chat2), "sees master#200"},
			{2 * second, "", beatOld(gate), "rejoined fetch; tell chat2 new gate#1[gate]"},
			{2 * second, "", beatOld(chat), "rejoined fetch; tell gate new chat#1[chat]"},
			{2 * second, "", told("chat2", true), "tell chat2 new chat#1[chat]"},
			{2 * second, "", beat(gate), ""},
		},
		"a master that slept drops nobody when it wakes": {
			{0, "", register(gate), "sees master#100"},
			{0, "seven seconds", func(s *stage) string { s.now = 7 * second; return tick(s) }, ""},
			{8 * second, "", beat(gate), ""},
			{12*second + second/4, "it is as strict as before", tick, "left gate#1[gate]"},
		},
		"a draining node is told as a change": {
			{0, "", register(gate), "sees master#100"},
			{0, "", register(chat), "sees master#100 gate#1[gate]; tell gate new chat#1[chat]"},
			{0, "", told("gate", true), ""},
			{second, "", beat(with(chat, func(m *member.Member) { m.State = member.Draining })), "fetch; tell gate new chat#1[chat](draining)"},
		},
		"nobody takes the master's place": {
			{0, "", register(node("master", 5)), "refused: member: the address is the master's: master"},
			{0, "", beat(node("master", 5)), "refused: member: the address is the master's: master"},
			{0, "", leave("master", 500), "refused: member: the address is the master's: master"},
		},
		"empty calls are errors": {
			{0, "", register(member.Member{}), "refused: member: no address"},
			{0, "", beat(member.Member{}), "refused: member: no address"},
			{0, "", leave("", 0), "refused: member: no address"},
			{0, "of nobody", leave("nobody", 0), ""},
		},

		// Nodes of the 0.5 series.
	}
	playAll(t, plays)
}

// trioOf has three nodes be there, and know each other.
func trioOf(all ...member.Member) func(s *stage) string {
	return func(s *stage) string {
		for _, m := range all {
			register(m)(s)
			for to := range s.flying {
				told(to, true)(s)
			}
		}
		return ""
	}
}

func playAll(t *testing.T, plays map[string][]act) {
	t.Helper()
	for title, acts := range plays {
		t.Run(title, func(t *testing.T) { play(t, acts) })
	}
}

// A view of a master that has just started lacks nodes that live: who took it for the truth would
// close their sessions.
func TestViewSettlesWhenAllMustHaveBeenHeard(t *testing.T) {
	s := newStage(t)
	register(node("a", 1))(s)
	s.now += 3 * second // the master sleeps, and hears nobody
	for ; s.now < 7*second; s.now += second / 2 {
		if s.m.View().Settled {
			t.Fatalf("settled after %v", s.now)
		}
		s.beat(node("a", 1), s.m.Version())
	}
	s.beat(node("a", 1), s.m.Version())
	if v := s.m.View(); !v.Settled || names(v.Members) != "a#1 master#100" {
		t.Errorf("after four intervals awake: %+v", v)
	}
}

func TestListsHoldNoServiceTwice(t *testing.T) {
	s := newStage(t)
	register(node("a", 1, "x", "", "y", "x"))(s)
	if a, ok := s.m.View().Member("a"); !ok || name(a) != "a#1[x y]" || !a.Has("y") || a.Has("") {
		t.Errorf("got %v", a)
	}
	if _, ok := s.m.View().Member("b"); ok {
		t.Error("b is there")
	}
}

func TestMasterUpdatesItself(t *testing.T) {
	s := newStage(t)
	register(node("a", 1))(s)
	e := s.m.Update(member.Member{Services: []string{"users"}, State: member.Draining}, clock(0))
	if got := s.write(e); !e.Changed || got != "tell a new master#100[users](draining)" {
		t.Errorf("got %s", got)
	}
	if got := s.m.Self(); got.NodeID != 1 || got.Addr != "master" {
		t.Errorf("self is %+v", got)
	}
}

// A master may be told how many of its nodes it may lose at once.
func TestMasterMaxLoss(t *testing.T) {
	for _, test := range []struct {
		share       float64
		nodes, lost int
		held        bool
	}{
		{0, 2, 1, false}, {0, 2, 2, true}, {0, 3, 2, true}, {0, 4, 2, false}, {0, 4, 3, true}, {0, 1, 1, false},
		{0.25, 4, 1, false}, {0.25, 4, 2, true}, {0.75, 4, 3, false}, {0.75, 4, 4, true},
		{1, 4, 4, false}, {1, 2, 2, false},
		{math.SmallestNonzeroFloat64, 10, 1, false}, {math.SmallestNonzeroFloat64, 10, 2, true},
	} {
		m, err := member.NewMaster(node("master", 1), member.Config{Interval: second, MaxLoss: test.share}, clock(0))
		if err != nil {
			t.Fatal(err)
		}
		for i := range test.nodes {
			if _, _, err := m.Register(node(fmt.Sprint("n", i), 1), clock(0)); err != nil {
				t.Fatal(err)
			}
		}
		var e member.Effects
		for at := second / 2; at <= 4*second+second/2 && e.Held == 0 && len(e.Left) == 0; at += second / 2 {
			for i := test.lost; i < test.nodes; i++ {
				if _, _, err := m.Heartbeat(node(fmt.Sprint("n", i), 1), m.Version(), clock(at)); err != nil {
					t.Fatal(err)
				}
			}
			e = m.Tick(clock(at))
		}
		if test.held && (e.Held != test.lost || len(e.Left) > 0) || !test.held && (e.Held > 0 || len(e.Left) != test.lost) {
			t.Errorf("MaxLoss %v: %d of %d lost: it holds %d and has dropped %d", test.share, test.lost, test.nodes, e.Held, len(e.Left))
		}
	}
}

func TestNewMasterRefuses(t *testing.T) {
	good := member.Config{Interval: second}
	for title, c := range map[string]struct {
		self member.Member
		cfg  member.Config
		want error
	}{
		"no address":    {node("", 1), good, member.ErrEmpty},
		"no epoch":      {node("a", 0), good, member.ErrEpoch},
		"no interval":   {node("a", 1), member.Config{}, member.ErrInterval},
		"node id large": {with(node("a", 1), func(m *member.Member) { m.NodeID = 1 << 16 }), good, member.ErrNodeID},
	} {
		if _, err := member.NewMaster(c.self, c.cfg, clock(0)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", title, err)
		}
	}
	m, err := member.NewMaster(node("a", 1), good, clock(0))
	if err != nil || m.Self().NodeID == 0 {
		t.Errorf("a master leases an id to itself: %+v, %v", m.Self(), err)
	}
}
