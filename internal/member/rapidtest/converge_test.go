package rapidtest

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lonng/nano/internal/member"
)

// After any history, five heartbeats after the last event, every living node sees all living nodes
// and none that is dead. A player would otherwise be sent to a server that is gone, or never to one
// that is there.
func TestViewsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{T: rt, nodes: map[string]*process{}}
		w.startMaster()
		w.lossy = true
		events := w.events()
		if rapid.Bool().Draw(rt, "one master") { // then legacy nodes too forget all who died
			delete(events, "the master dies")
			delete(events, "the master restarts")
		}
		rt.Repeat(events)
		w.settle()
		w.check()
	})
}

// Where the master lives all the time, no two processes ever have the same leased node id, asleep
// or not. (One that was configured goes to another node when the first was dropped: it is refused
// when it wakes.)
func TestNodeIDsNeverCollide(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{T: rt, nodes: map[string]*process{}}
		w.startMaster()
		w.lossy = true
		events := w.events()
		delete(events, "the master dies")
		delete(events, "the master restarts")
		events[""] = func(*rapid.T) {
			ids := map[uint64]string{w.master.Self().NodeID: "master"}
			for addr, p := range w.nodes {
				if p.peers == nil || p.info.NodeID == 0 || p.info.Fixed {
					continue
				}
				if other := ids[p.info.NodeID]; other != "" {
					w.Fatalf("%s and %s have the node id %d", addr, other, p.info.NodeID)
				}
				ids[p.info.NodeID] = addr
			}
		}
		rt.Repeat(events)
	})
}

// Where no call is lost and nobody sleeps, a node is not taken for dead while it lives, whatever
// becomes of the master: its players' sessions would be closed on all others.
func TestTheLivingAreNotRemoved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{T: rt, nodes: map[string]*process{}, gentle: true}
		w.startMaster()
		events := w.events()
		delete(events, "a node falls asleep")
		rt.Repeat(events)
		w.settle()
		w.check()
	})
}

func (w *world) events() map[string]func(*rapid.T) {
	addrs := []string{"a", "b", "c", "d", "e"}
	living := func(t *rapid.T) *process {
		if len(w.nodes) == 0 {
			t.Skip("nobody lives")
		}
		return w.nodes[rapid.SampledFrom(slices.Sorted(maps.Keys(w.nodes))).Draw(t, "node")]
	}
	events := map[string]func(*rapid.T){
		"a node starts": func(t *rapid.T) {
			addr := rapid.SampledFrom(addrs).Draw(t, "addr")
			legacy := rapid.Bool().Draw(t, "old") && rapid.Bool().Draw(t, "legacy")
			fixed := uint64(0)
			if addr < "c" && !w.gentle && rapid.Bool().Draw(t, "fixed") {
				fixed = 7 // a and b are configured with the same one
			}
			w.start(addr, legacy, fixed) // on its address, if it lived: a kill and a restart
		},
		"a node dies": func(t *rapid.T) { delete(w.nodes, living(t).info.Addr) },
		"a node leaves": func(t *rapid.T) {
			p := living(t)
			if p.asleep {
				t.Skip("asleep")
			}
			delete(w.nodes, p.info.Addr)
			if !w.reachable() || !w.lucky("leave") {
				return
			}
			before := w.master.View()
			e, err := w.master.Unregister(p.info.Addr, p.info.Epoch, w.clock())
			if err != nil {
				w.Fatal(err)
			}
			w.carryOut(before, e)
		},
		"a node falls asleep": func(t *rapid.T) { living(t).asleep = true },
		"a node wakes":        func(t *rapid.T) { w.wake(living(t)) },
		"a node changes": func(t *rapid.T) {
			p := living(t)
			if p.peers == nil {
				return
			}
			p.info.State = rapid.SampledFrom([]member.State{member.Working, member.Starting, member.Draining}).Draw(t, "state")
			p.info.Services = slices.Clone(rapid.SampledFrom([][]string{{"chat"}, {"chat", "shop"}, {}}).Draw(t, "services"))
		},
		"a link": func(t *rapid.T) {
			p := living(t)
			if p.peers == nil || len(p.peers.known) == 0 {
				return
			}
			to := p.peers.known[rapid.SampledFrom(slices.Sorted(maps.Keys(p.peers.known))).Draw(t, "to")]
			if rapid.Bool().Draw(t, "up") {
				p.peers.take(w, p.peers.LinkUp(to.Addr, to.Epoch))
			} else {
				p.peers.LinkLost(to.Addr, to.Epoch, w.clock())
			}
		},
		"the master falls asleep": func(*rapid.T) { w.asleep = true },
		"the master wakes":        func(*rapid.T) { w.asleep = false },
		"the master dies":         func(*rapid.T) { w.killMaster() },
		"the master restarts":     func(*rapid.T) { w.killMaster(); w.startMaster() },
		"nothing":                 func(*rapid.T) {},
	}
	for name, event := range events {
		events[name] = func(t *rapid.T) {
			event(t)
			w.steps(rapid.SampledFrom([]int{0, 1, 2, 4, 8, 16, 48}).Draw(t, "steps"))
		}
	}
	return events
}

func (w *world) steps(n int) {
	for range n {
		w.pass()
	}
}

func (w *world) wake(p *process) {
	if p.asleep {
		p.asleep = false
		p.hear(w, p.inbox)
		p.inbox = nil
	}
}

// settle ends the events and waits for five heartbeats.
func (w *world) settle() {
	w.lossy = false
	for i := range w.mail {
		w.mail[i].due = w.now
	}
	if w.master == nil {
		w.startMaster()
	}
	w.asleep = false
	for _, addr := range slices.Sorted(maps.Keys(w.nodes)) {
		if p := w.nodes[addr]; p.asleep && rapid.Bool().Draw(w.T, "wakes") {
			w.wake(p)
		}
	}
	w.deliver()
	w.steps(5 * int(interval/step))
}

// check compares what is with what is believed.
func (w *world) check() {
	want := map[string]string{"master": word(w.master.Self())}
	fixed := false
	for addr, p := range w.nodes {
		if p.asleep {
			continue
		}
		if p.refused && p.info.Fixed {
			fixed = true
			continue // the other one with its node id must be there
		}
		want[addr] = word(p.info)
	}
	if a, b := w.nodes["a"], w.nodes["b"]; fixed && (a == nil || b == nil || a.refused == b.refused || a.asleep || b.asleep) {
		w.Fatalf("a configured node id is refused, though nobody has it")
	}

	got := map[string]string{}
	for _, m := range w.master.View().Members {
		got[m.Addr] = word(m)
	}
	w.same("the master's list", got, want)
	for addr, p := range w.nodes {
		if p.asleep || p.refused {
			continue
		}
		if p.peers == nil {
			w.checkLegacy(addr, p, want)
			continue
		}
		got := map[string]string{addr: word(p.info)}
		for _, q := range p.peers.Table().All() {
			got[q.Addr] = word(q.Member)
		}
		w.same("the view of "+addr, got, want)
	}
	got = map[string]string{"master": word(w.master.Self())}
	for _, q := range w.peers.Table().All() {
		got[q.Addr] = word(q.Member)
	}
	w.same("the view of the master's node", got, want)
}

func (w *world) checkLegacy(addr string, p *process, want map[string]string) {
	got := map[string]bool{addr: true}
	for _, m := range p.list {
		if got[m.Addr] {
			w.Fatalf("%s lists %s twice: %v", addr, m.Addr, p.list)
		}
		got[m.Addr] = true
		if _, lives := want[m.Addr]; !lives && w.bosses == 1 {
			w.Fatalf("%s lists %s, which is dead", addr, m.Addr)
		}
		if now, _ := w.master.View().Member(m.Addr); now.State == member.Working && now.Addr != "" && !slices.Equal(m.Services, now.Services) {
			w.Fatalf("%s sees %v at %s, which runs %v", addr, m.Services, m.Addr, now.Services)
		}
	}
	for other := range want {
		if !got[other] {
			w.Fatalf("%s does not list %s", addr, other)
		}
	}
}

func (w *world) same(whose string, got, want map[string]string) {
	if !maps.Equal(got, want) {
		w.Fatalf("%s is\n%v\nand these live:\n%v", whose, got, want)
	}
}
