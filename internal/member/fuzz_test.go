package member_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lonng/nano/internal/member"
)

// Seeds are kept in testdata/fuzz.

// history reads events out of bytes. Addresses, epochs and ids are few, so that they meet again.
type history []byte

func (h *history) next(n int) int {
	if len(*h) == 0 {
		return 0
	}
	b := (*h)[0]
	*h = (*h)[1:]
	return int(b) % n
}

func (h *history) addr() string {
	return []string{"a:1", "b:1", "c:1", "self:1", "", "\x00\n"}[h.next(6)]
}

func (h *history) member() member.Member {
	m := member.Member{Addr: h.addr(), Epoch: uint64(h.next(4)), State: member.State(h.next(5)), NodeID: uint64(h.next(4))}
	switch how := h.next(8); how {
	case 1:
		m.Fixed = true
	case 2:
		m.NodeID = 1 << 40
	case 3:
		m.Services = []string{"B", "", "A", "B"}
	case 4:
		m.Services = []string{"A"}
	}
	return m
}

func (h *history) version() member.Version {
	return member.Version{Master: uint64(h.next(3)), N: uint64(h.next(8))}
}

// What nodes and strangers tell a master, in any order, must leave a list that can be used: each
// address and each node id once, the master in it, and a version that says when it has changed.
func FuzzMaster(f *testing.F) {
	f.Fuzz(func(t *testing.T, events []byte) {
		h := history(events)
		now := time.Unix(1000, 0)
		m, err := member.NewMaster(member.Member{Addr: "self:1", Epoch: 7}, member.Config{Interval: time.Second}, now)
		if err != nil {
			t.Fatal(err)
		}
		calls := make(map[uint64]string) // under way, by their number
		was := m.View()
		effects := func(e member.Effects) {
			for _, tell := range e.Tells {
				if calls[tell.Seq] != "" {
					t.Fatalf("two calls have the number %d", tell.Seq)
				}
				calls[tell.Seq] = tell.To.Addr
			}
			view := m.View()
			checkView(t, view)
			switch changed := fmt.Sprint(view.Members) != fmt.Sprint(was.Members); {
			case view.Version.N < was.Version.N:
				t.Fatalf("version %v after %v", view.Version, was.Version)
			case changed && view.Version == was.Version:
				t.Fatalf("another list with the same version: %v, then %v", was, view)
			case changed && !e.Changed:
				t.Fatalf("the list has changed from %v to %v, and nobody was told", was, view)
			}
			was = view
		}
		for len(h) > 0 {
			switch h.next(6) {
			case 0:
				_, e, _ := m.Register(h.member(), now)
				effects(e)
			case 1:
				_, e, _ := m.Heartbeat(h.member(), h.version(), now)
				effects(e)
			case 2:
				e, _ := m.Unregister(h.addr(), uint64(h.next(4)), now)
				effects(e)
			case 3:
				now = now.Add(time.Duration(h.next(12)) * 500 * time.Millisecond)
				effects(m.Tick(now))
			case 4:
				seq, ok := uint64(h.next(16)), h.next(2) == 0
				to := calls[seq]
				if to == "" {
					to = h.addr() // the answer to a call that nobody has made
				}
				delete(calls, seq)
				effects(m.Told(to, seq, ok, now))
			case 5:
				self := m.Self()
				self.State = member.State(h.next(4))
				effects(m.Update(self, now))
			}
		}
	})
}

func checkView(t *testing.T, v member.View) {
	t.Helper()
	addrs, ids := make(map[string]bool), make(map[uint64]string)
	for _, m := range v.Members {
		if m.Addr == "" || addrs[m.Addr] {
			t.Fatalf("the list has no or the same address twice: %+v", v)
		}
		addrs[m.Addr] = true
		if m.NodeID > member.MaxNodeID || m.NodeID != 0 && ids[m.NodeID] != "" {
			t.Fatalf("node id %d is of %s and %s", m.NodeID, m.Addr, ids[m.NodeID])
		}
		ids[m.NodeID] = m.Addr
	}
	if !addrs["self:1"] {
		t.Fatalf("the master has dropped itself: %+v", v)
	}
}

// What a node is told of the others, by a master or by strangers, must keep what it does about them
// in step: a link is opened once, closed once, and never one to itself.
func FuzzPeers(f *testing.F) {
	f.Fuzz(func(t *testing.T, events []byte) {
		h := history(events)
		now := time.Unix(1000, 0)
		p := member.NewPeers(member.PeersConfig{Self: "self:1", Interval: time.Second})
		there := make(map[string]uint64) // epochs, by address
		fellOut := make(map[string]bool) // of the list, once: the table may leave them out
		effects := func(all []member.Effect, _ ...error) {
			for _, e := range all {
				epoch, known := there[e.Peer.Addr]
				switch {
				case e.Kind == member.Fetch:
				case e.Peer.Addr == "" || e.Peer.Addr == "self:1":
					t.Fatalf("%v of %+v", e.Kind, e.Peer)
				case e.Kind == member.Added:
					if known {
						t.Fatalf("%s was added twice", e.Peer.Addr)
					}
					there[e.Peer.Addr] = e.Peer.Epoch
				case !known || epoch != e.Peer.Epoch:
					t.Fatalf("%v of %s with epoch %d, which is not there", e.Kind, e.Peer.Addr, e.Peer.Epoch)
				case e.Kind == member.Removed:
					delete(there, e.Peer.Addr)
					delete(fellOut, e.Peer.Addr)
				case e.Kind == member.Unlisted:
					fellOut[e.Peer.Addr] = true
				}
			}
			var listed []string
			for _, q := range p.Table().All() {
				if there[q.Addr] != q.Epoch {
					t.Fatalf("the table has epoch %d of %s", q.Epoch, q.Addr)
				}
				listed = append(listed, q.Addr)
			}
			for addr := range there {
				if !fellOut[addr] && !slices.Contains(listed, addr) {
					t.Fatalf("the table has %v, and %v were added", listed, there)
				}
			}
			if slices.Sort(listed); len(slices.Compact(slices.Clone(listed))) != len(listed) {
				t.Fatalf("the table has somebody twice: %v", listed)
			}
		}
		for len(h) > 0 {
			switch h.next(6) {
			case 0:
				v := member.View{Version: h.version(), Settled: h.next(2) == 0}
				for range h.next(5) {
					v.Members = append(v.Members, h.member())
				}
				effects(p.View(v))
			case 1:
				effects(p.NewMember(h.member(), h.version()))
			case 2:
				effects(p.DelMember(h.addr(), uint64(h.next(4)), h.version()))
			case 3:
				p.LinkLost(h.addr(), uint64(h.next(4)), now)
			case 4:
				effects(p.LinkUp(h.addr(), uint64(h.next(4))))
			case 5:
				now = now.Add(time.Duration(h.next(12)) * 500 * time.Millisecond)
				effects(p.Tick(now))
			}
		}
	})
}
