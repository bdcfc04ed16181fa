package member_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/internal/member"
)

// node1 is a stage for the other machine: what one node knows of the others.
type node1 struct {
	p   *member.Peers
	now time.Duration
}

func say(effects []member.Effect) string {
	var words []string
	for _, e := range effects {
		w := e.Kind.String()
		if e.Kind != member.Fetch {
			w += " " + name(e.Peer)
		}
		if e.Kind == member.Changed {
			w += ", was " + name(e.Old)
		}
		words = append(words, w)
	}
	return strings.Join(words, "; ")
}

func view(n uint64, all ...member.Member) member.View {
	return member.View{Version: at(n), Settled: true, Members: all}
}

// at is a version of the master with epoch 100; none is what a legacy master says.
func at(n uint64) member.Version { return member.Version{Master: 100, N: n} }

var none member.Version

func view200(n uint64, all ...member.Member) member.View {
	v := view(n, all...)
	v.Version.Master = 200
	return v
}

func starting(m *member.Member) { m.State = member.Starting }

func draining(m member.Member) member.Member {
	m.State = member.Draining
	return m
}

func joined(m member.Member, step uint64) member.Member {
	m.Joined = step
	return m
}

// oldAt is a node of the 0.5 series that was added by that step.
func oldAt(step uint64) member.Member {
	return member.Member{Addr: "old", Services: []string{"chat"}, Joined: step}
}

type scene struct {
	name string
	do   func(*node1) string
	want string
}

func sees(v member.View) func(*node1) string {
	return func(n *node1) string { return say(n.p.View(v)) }
}

func comes(m member.Member, v member.Version) func(*node1) string {
	return func(n *node1) string {
		effects, err := n.p.NewMember(m, v)
		if err != nil {
			return err.Error()
		}
		return say(effects)
	}
}

func goes(addr string, epoch uint64, v member.Version) func(*node1) string {
	return func(n *node1) string {
		effects, err := n.p.DelMember(addr, epoch, v)
		if err != nil {
			return err.Error()
		}
		return say(effects)
	}
}

func lost(addr string, epoch uint64) func(*node1) string {
	return func(n *node1) string { n.p.LinkLost(addr, epoch, clock(n.now)); return "" }
}

func up(addr string, epoch uint64) func(*node1) string {
	return func(n *node1) string { return say(n.p.LinkUp(addr, epoch)) }
}

func after(d time.Duration) func(*node1) string {
	return func(n *node1) string { n.now += d; return say(n.p.Tick(clock(n.now))) }
}

// open and running list the peers of the service chat.
func open(n *node1) string { return list(n.p.Table().Open("chat")) }

func running(n *node1) string { return list(n.p.Table().Running("chat")) }

func all(n *node1) string { return list(n.p.Table().All()) }

func list(peers []member.Peer) string {
	var words []string
	for _, p := range peers {
		w := name(p.Member)
		if p.Reach != member.Up {
			w += " " + p.Reach.String()
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// newest is whether the next heartbeat will say that the list is the newest one.
func newest(v member.Version) func(*node1) string {
	return func(n *node1) string {
		if n.p.Have() == v {
			return "yes"
		}
		return "no"
	}
}

// What a node makes of the list, and of its changes: each process comes and goes once.
func TestPeersFollowTheList(t *testing.T) {
	self := node("self", 1, "gate")
	a := node("a", 1, "chat")
	a2 := node("a", 2, "chat")
	b := node("b", 1, "chat")
	unsettled := func(master, n uint64, all ...member.Member) member.View {
		return member.View{Version: member.Version{Master: master, N: n}, Members: all}
	}
	plays := map[string][]scene{
		"a node joins and follows the changes": {
			{"nothing known yet", newest(none), "yes"},
			{"the answer to its registration", sees(view(3, a, self)), "added a#1[chat]"},
			{"", newest(at(3)), "yes"},
			{"", comes(b, at(4)), "added b#1[chat]"},
			{"", goes("a", 1, at(5)), "removed a#1[chat]"},
			{"", all, "b#1[chat]"},
			{"", newest(at(5)), "yes"},
			{"its own changes are no peers", comes(self, at(6)), ""},
			{"but are counted", newest(at(6)), "yes"},
		},
		"a restart removes the old process and then adds the new one, once": {
			{"", sees(view(2, a)), "added a#1[chat]"},
			{"", goes("a", 1, at(3)), "removed a#1[chat]"},
			{"", comes(a2, at(4)), "added a#2[chat]"},
			{"a late copy", goes("a", 1, at(3)), ""},
			{"a later list", sees(view(4, a2)), ""},
			{"an older list", sees(view(2, a)), ""},
			{"", all, "a#2[chat]"},
		},
		"a restart that is seen in a list": {
			{"", sees(view(2, a)), "added a#1[chat]"},
			{"", sees(view(4, a2)), "removed a#1[chat]; added a#2[chat]"},
		},
		"a restart of a node of the 0.5 series that is seen in a list": {
			{"", sees(view(2, oldAt(2))), "added old[chat]"},
			{"the same process in a later list", sees(view(3, oldAt(2))), ""},
			{"another one", sees(view(5, oldAt(5))), "removed old[chat]; added old[chat]"},
			{"a step about the same", comes(oldAt(5), at(6)), ""},
			{"a new master counts anew", sees(view200(3, oldAt(2))), ""},
			{"", sees(view200(7, oldAt(7))), "removed old[chat]; added old[chat]"},
		},
		"a node that was dropped and is back, in one list, is the same process": {
			{"", sees(view(2, joined(a, 2))), "added a#1[chat]"},
			{"", sees(view(4, joined(a, 4))), ""},
		},
		"a missed change makes it fetch, once more with the heartbeat": {
			{"", sees(view(2, a)), "added a#1[chat]"},
			{"step 3 is missing", goes("a", 1, at(4)), "fetch"},
			{"", newest(at(2)), "no"},
			{"the fetched list", sees(view(4, b)), "removed a#1[chat]; added b#1[chat]"},
			{"", newest(at(4)), "yes"},
		},
		"a farewell of an older process is ignored": {
			{"", sees(view(2, a2)), "added a#2[chat]"},
			{"", goes("a", 1, none), ""},
			{"", goes("a", 1, at(3)), ""},
			{"", all, "a#2[chat]"},
			{"of this one it is not", goes("a", 2, at(4)), "removed a#2[chat]"},
			{"nor twice", goes("a", 2, none), ""},
		},
		"a master that has just started takes nobody away whom it has not heard of": {
			{"", sees(view(7, a, b)), "added a#1[chat]; added b#1[chat]"},
			{"a new master", sees(unsettled(200, 2, self)), ""},
			{"asks again", newest(none), "yes"},
			{"a was heard", comes(a, member.Version{Master: 200, N: 3}), ""},
			{"a leaves, and that was missed", sees(unsettled(200, 4, self)), "removed a#1[chat]"},
			{"b is dead", sees(member.View{Version: member.Version{Master: 200, N: 4}, Settled: true, Members: []member.Member{self}}), "removed b#1[chat]"},
			{"", newest(member.Version{Master: 200, N: 4}), "yes"},
		},
		"a change of another master makes it fetch": {
			{"", sees(view(7, a)), "added a#1[chat]"},
			{"", comes(b, member.Version{Master: 200, N: 8}), "fetch"},
			{"", all, "a#1[chat]"},
		},
	}
	playPeers(t, plays)
}

// What a node makes of links and of the states of others: where sessions stay, and where new ones
// go.
func TestPeersReach(t *testing.T) {
	a := node("a", 1, "chat")
	a2 := node("a", 2, "chat")
	b := node("b", 1, "chat")
	drains := with(a, func(m *member.Member) { m.State = member.Draining })
	starts := with(b, func(m *member.Member) { m.State = member.Starting })
	plays := map[string][]scene{
		"a draining node keeps its sessions and gets no new ones": {
			{"", sees(view(2, a, b)), "added a#1[chat]; added b#1[chat]"},
			{"", open, "a#1[chat], b#1[chat]"},
			{"", comes(drains, at(3)), "changed a#1[chat](draining), was a#1[chat]"},
			{"", open, "b#1[chat]"},
			{"", running, "a#1[chat](draining), b#1[chat]"},
			{"", func(n *node1) string {
				if n.p.Table().Keeps("a", "chat") {
					return "keeps"
				}
				return "loses"
			}, "keeps"},
		},
		"a starting node gets none yet": {
			{"", sees(view(2, starts)), "added b#1[chat](starting)"},
			{"", open, ""},
			{"", comes(b, at(3)), "changed b#1[chat], was b#1[chat](starting)"},
			{"", open, "b#1[chat]"},
		},
		"a link that comes back soon costs nothing": {
			{"", sees(view(2, a, b)), "added a#1[chat]; added b#1[chat]"},
			{"", lost("a", 1), ""},
			{"new sessions go elsewhere at once", open, "b#1[chat]"},
			{"", after(second / 2), ""},
			{"", up("a", 1), ""},
			{"", after(second), ""},
			{"", open, "a#1[chat], b#1[chat]"},
		},
		"a link that stays down": {
			{"", sees(view(2, a)), "added a#1[chat]"},
			{"", lost("a", 1), ""},
			{"there is no other", open, "a#1[chat] down"},
			{"", after(second), "unreachable a#1[chat]"},
			{"", open, ""},
			{"", after(3 * second), ""},
			{"it stays lost", lost("a", 1), ""},
			{"nobody drops it: the master is dead too", after(second / 4), "forsaken a#1[chat]"},
			{"", after(10 * second), ""},
			{"", running, "a#1[chat] abandoned"},
			{"", up("a", 1), "reachable a#1[chat]"},
			{"", up("a", 1), ""},
			{"", open, "a#1[chat]"},
			{"", lost("a", 1), ""},
			{"", sees(view(3)), "removed a#1[chat]"},
			{"", after(10 * second), ""},
		},
		"the link to an old process says nothing of the new one": {
			{"", sees(view(2, a2)), "added a#2[chat]"},
			{"", lost("a", 1), ""},
			{"", after(10 * second), ""},
			{"", lost("a", 2), ""},
			{"", up("a", 1), ""},
			{"", after(second), "unreachable a#2[chat]"},
			{"", lost("nobody", 1), ""},
			{"", up("nobody", 1), ""},
		},
	}
	playPeers(t, plays)
}

// What a node makes of a master that knows no versions, and of calls that make no sense.
func TestPeersHearOthers(t *testing.T) {
	a := node("a", 1, "chat")
	a2 := node("a", 2, "chat")
	b := node("b", 1, "chat")
	plays := map[string][]scene{
		"under a legacy master": {
			{"", sees(member.View{Members: []member.Member{node("old", 0, "chat"), node("m", 0)}}), "added old[chat]; added m"},
			{"told twice", comes(node("old", 0, "chat"), none), ""},
			{"", open, "old[chat]"},
			{"other services", comes(node("old", 0), none), "changed old, was old[chat]"},
			{"one of ours", comes(a, none), "added a#1[chat]"},
			{"restarts", comes(a2, none), "removed a#1[chat]; added a#2[chat]"},
			{"late", comes(a, none), ""},
			{"it knows no epochs", goes("a", 0, none), "removed a#2[chat]"},
			{"", goes("old", 0, none), "removed old"},
			{"", newest(none), "yes"},
		},
		"a legacy master says for ever what a node said when it registered": {
			{"", sees(member.LegacyView([]member.Member{with(a, starting)})), "added a#1[chat]"},
			{"", open, "a#1[chat]"},
			{"", comes(with(b, starting), none), "added b#1[chat]"},
			{"", open, "a#1[chat], b#1[chat]"},
			{"from a master that keeps them current it is news", sees(view(2, with(a, starting), b)), "changed a#1[chat](starting), was a#1[chat]"},
			{"", open, "b#1[chat]"},
		},
		"what a stranger says is put right by the next list": {
			{"", sees(view(2, a)), "added a#1[chat]"},
			{"", comes(b, none), "added b#1[chat]"},
			{"", newest(at(2)), "no"},
			{"", sees(view(2, a)), "removed b#1[chat]"},
		},
		"empty calls are errors": {
			{"", comes(member.Member{}, none), "member: no address"},
			{"", comes(member.Member{}, at(1)), "member: no address"},
			{"", goes("", 0, none), "member: no address"},
			{"in a list they are nothing", sees(view(1, member.Member{}, a, a)), "added a#1[chat]"},
		},
	}
	playPeers(t, plays)
}

// A node that the list lacks lives as long as its link does.
func TestPeersThatTheListLacks(t *testing.T) {
	plays := make(map[string][]scene)
	lively := []scene{
		{"", sees(view(1, node("a", 1, "chat"), node("b", 1, "chat"))), "added a#1[chat]; added b#1[chat]"},
		{"", up("a", 1), ""},
		{"", up("b", 1), ""},
		{"a master that reached nobody drops both", goes("a", 1, at(2)), "unlisted a#1[chat]"},
		{"", goes("b", 1, at(3)), "unlisted b#1[chat]"},
		{"", sees(view(3)), ""},
		{"", all, ""},
		{"they are the only ones, and they live", open, "a#1[chat], b#1[chat]"},
	}
	plays["a node that the list lacks, and that is there"] = append(slices.Clone(lively), []scene{
		{"", after(time.Hour), ""},
		{"it is heard again", comes(node("a", 1, "chat"), at(4)), ""},
		{"", all, "a#1[chat]"},
		{"it comes before one that is not in the list", open, "a#1[chat]"},
		{"", running, "a#1[chat], b#1[chat]"},
		{"the other has changed meanwhile", comes(node("b", 1, "shop"), at(5)), "changed b#1[shop], was b#1[chat]"},
		{"", all, "a#1[chat], b#1[shop]"},
	}...)
	plays["a node that the list lacks, and that falls silent"] = append(slices.Clone(lively), []scene{
		{"", lost("a", 1), ""},
		{"", after(time.Second), "unreachable a#1[chat]"},
		{"a moment is nothing", up("a", 1), "reachable a#1[chat]"},
		{"", lost("a", 1), ""},
		{"", after(time.Second), "unreachable a#1[chat]"},
		{"", after(3 * time.Second), ""},
		{"", after(time.Millisecond), "removed a#1[chat]"},
		{"it comes back", comes(node("a", 1, "chat"), at(4)), "added a#1[chat]"},
	}...)
	plays["a node that the list lacks, and that ends"] = append(slices.Clone(lively), []scene{
		{"another process's word", func(n *node1) string { return say(n.p.LinkEnded("a", 2)) }, ""},
		{"it ends its link", func(n *node1) string { return say(n.p.LinkEnded("a", 1)) }, "removed a#1[chat]"},
		{"another process has the address of the other", comes(node("b", 2, "chat"), at(4)), "removed b#1[chat]; added b#2[chat]"},
		{"what is in the list does not end with its link", func(n *node1) string { return say(n.p.LinkEnded("b", 2)) }, ""},
		{"and leaves, as it says", comes(draining(node("b", 2, "chat")), at(5)), "changed b#2[chat](draining), was b#2[chat]"},
		{"", up("b", 2), ""},
		{"another process's word", func(n *node1) string { return say(n.p.LinkLeaves("b", 3)) }, ""},
		{"", func(n *node1) string { return say(n.p.LinkLeaves("b", 2)) }, ""},
		{"", goes("b", 2, at(6)), "removed b#2[chat](draining)"},
	}...)
	drained := node("b", 1, "chat")
	plays["a node that is drained, and that the list loses"] = append(slices.Clone(lively), []scene{
		{"", comes(draining(drained), at(4)), "changed b#1[chat](draining), was b#1[chat]"},
		{"its players go on", goes("b", 1, at(5)), "unlisted b#1[chat](draining)"},
		{"", open, "a#1[chat]"},
		{"", running, "a#1[chat], b#1[chat](draining)"},
		{"its own word is later than that of the list", func(n *node1) string { return say(n.p.LinkLeaves("b", 1)) }, "removed b#1[chat](draining)"},
	}...)
	playPeers(t, plays)
}

func playPeers(t *testing.T, plays map[string][]scene) {
	t.Helper()
	for title, scenes := range plays {
		t.Run(title, func(t *testing.T) {
			n := &node1{p: member.NewPeers(member.PeersConfig{Self: "self", Interval: second})}
			for i, s := range scenes {
				if got := s.do(n); got != s.want {
					t.Fatalf("scene %d: %s\n got %s\nwant %s", i, s.name, got, s.want)
				}
			}
		})
	}
}

// A gate holds a table while it routes: what comes later must not change it under its hands.
func TestTableStaysAsItIs(t *testing.T) {
	p := member.NewPeers(member.PeersConfig{Self: "self", Interval: second})
	p.View(view(1, node("a", 1, "chat", "shop"), node("b", 1, "chat")))
	before := p.Table()
	if p.Table() != before {
		t.Error("made again without a change")
	}
	p.View(view(2, node("a", 2)))
	if got := list(before.Open("chat")); got != "a#1[chat shop], b#1[chat]" {
		t.Errorf("the table in hand has become %s", got)
	}
	if got := before.Services(); !slices.Equal(got, []string{"chat", "shop"}) {
		t.Errorf("services are %q", got)
	}
	now := p.Table()
	if q, ok := now.Peer("a"); !ok || q.Epoch != 2 || now.Open("chat") != nil || now.Keeps("b", "chat") {
		t.Errorf("the new one has %s", list(now.All()))
	}
	if _, ok := now.Peer("b"); ok {
		t.Error("b is still there")
	}
}

func TestNamesOfValues(t *testing.T) {
	for got, want := range map[string]string{
		member.Working.String():    "working",
		member.State(9).String():   "State(9)",
		member.Removed.String():    "removed",
		member.Kind(0).String():    "Kind(0)",
		member.Abandoned.String():  "abandoned",
		member.Reach(200).String(): "Reach(200)",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if errors.Is(member.ErrEmpty, member.ErrEpoch) {
		t.Error("errors are not told apart")
	}
}

// A node of an older version does not say on its link that it leaves: one that is drained has left
// when the list says so.
func TestOlderNodeThatIsDrainedLeaves(t *testing.T) {
	p := member.NewPeers(member.PeersConfig{Self: "self", Interval: second, LeavesFrom: 4})
	n := &node1{p: p}
	older := draining(node("a", 1, "chat"))
	older.Link = 3
	for _, s := range []scene{
		{"", sees(view(1, older)), "added a#1[chat](draining)"},
		{"", up("a", 1), ""},
		{"", goes("a", 1, at(2)), "removed a#1[chat](draining)"},
	} {
		if got := s.do(n); got != s.want {
			t.Errorf("%q, want %q", got, s.want)
		}
	}
}
