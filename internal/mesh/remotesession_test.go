package mesh

import (
	"runtime"
	"testing"
	"weak"

	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// A session on a backend outlives many other backends that it was made known to. Each of them has
// up to the whole bound of a link's queue in memory, which a long session would keep.
func TestRemoteSessionKeepsNoDeadPeers(t *testing.T) {
	ps := newPeers(&node{})
	r := &remoteSession{all: &remoteSessions{peers: ps}, sess: session.NewWithID(mock.NewNetworkEntity(), 1)}
	r.at.Store(&whereabouts{gate: process{"gate:1", 1}})
	live := func(peers ...*peer) {
		all := make(map[string]*peer)
		for _, p := range peers {
			all[p.addr] = p
		}
		ps.byAddr.Store(&all)
	}
	meet := func(addr string) *peer {
		p := &peer{node: ps.node, peers: ps, addr: addr, number: ps.numbers.Add(1), legacy: &legacyClient{}}
		live(p)
		for range 2 {
			r.introduce(p)
		}
		if got := p.sessions.Load(); got != 1 {
			t.Errorf("%s counts %d sessions", addr, got)
		}
		return p
	}
	var dead []weak.Pointer[peer]
	for range 10 {
		dead = append(dead, weak.Make(meet("back:1")))
	}
	if len(r.told) != 1 {
		t.Errorf("%d nodes are remembered", len(r.told))
	}
	live()
	runtime.GC()
	for i, p := range dead {
		if p.Value() != nil {
			t.Errorf("node %d is still in memory", i)
		}
	}
	runtime.KeepAlive(r)
}
