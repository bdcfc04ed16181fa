package mesh

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/member"
)

// A node that is started again is the later one, however soon that is: else the list takes it for
// the one that is gone, and refuses it.
func TestLaterRunsHaveLargerEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		last := newEpoch()
		for range 100 {
			epoch := newEpoch()
			if epoch <= last {
				t.Fatalf("%d comes after %d", epoch, last)
			}
			last = epoch
		}
	})
}

// The list has one owner, which takes events one after the other. An event that panics is its
// sender's; the owner goes on, and nobody waits for an owner that has ended, or a node would hang
// at its end.
func TestRosterTakesEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(Config{Addr: "node:1", IsMaster: true, Heartbeat: time.Second, Log: slog.New(slog.DiscardHandler)})
		r := newRoster(n)
		r.peers, r.sessions = newPeers(n), &gateSessions{node: n}
		if err := r.start(); err != nil {
			t.Fatal(err)
		}
		var order []string
		for i := range 100 {
			r.post(func() { order = append(order, fmt.Sprint(i)) })
		}
		if !r.do(func() { order = append(order, "end") }) {
			t.Fatal("the owner has ended")
		}
		if len(order) != 101 || order[0] != "0" || order[99] != "99" || order[100] != "end" {
			t.Errorf("the events ran as %s", strings.Join(order, " "))
		}
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "bad message") {
					t.Errorf("the sender of an event that panics sees %v", v)
				}
			}()
			r.do(func() { panic("bad message") })
		}()
		r.setNodeID(5)
		time.Sleep(10 * time.Second) // the clock of the list goes on
		if self, have, leaving := r.state(); self.NodeID == 0 || leaving || have.Master == 0 {
			t.Errorf("after a panic the state is %+v, version %+v, leaving %v", self, have, leaving)
		}
		n.cancel()
		n.tasks.Wait()
		if r.do(func() { t.Error("an event ran after the end") }) {
			t.Error("it says that an event ran after the end")
		}
		if _, _, leaving := r.state(); !leaving {
			t.Error("a node that has ended is not leaving")
		}
	})
}

// When the network is gone, all links are lost at once. What that costs grows with their number,
// and not with its square: the list of a node with many others must go on.
func TestManyLinksAreLostAtOnce(t *testing.T) {
	const nodes = 2000
	n := newNode(Config{Addr: "node:1", IsMaster: true, Heartbeat: time.Minute, Log: slog.New(slog.DiscardHandler)})
	r := newRoster(n)
	r.peers, r.sessions = newPeers(n), &gateSessions{node: n}
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*peer, nodes)
	var members []member.Member
	for i := range nodes {
		m := member.Member{Addr: fmt.Sprintf("other%d:1", i), Epoch: 1, Link: 2, Services: []string{"Room"}}
		members = append(members, m)
		all[m.Addr] = &peer{node: n, peers: r.peers, addr: m.Addr, epoch: 1}
	}
	r.do(func() {
		r.known.View(member.View{Version: member.Version{Master: 1, N: 1}, Settled: true, Members: members}) // its effects would dial
		r.peers.byAddr.Store(&all)
		r.carryOut(nil)
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	hold := make(chan struct{})
	r.post(func() { <-hold }) // while all of them come
	for _, p := range all {
		r.linkDown(p, errPeerGone)
	}
	close(hold)
	r.do(func() {})
	r.do(func() {}) // another round: the list is shown
	runtime.ReadMemStats(&after)
	for _, p := range r.table().All() {
		if p.Reach == member.Up {
			t.Fatalf("%s counts as reachable", p.Addr)
		}
	}
	if used := (after.TotalAlloc - before.TotalAlloc) / nodes; used > 8<<10 {
		t.Errorf("each lost link costs %d bytes", used)
	}
	n.cancel()
	n.tasks.Wait()
}
