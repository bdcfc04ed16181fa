package keepertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lonng/nano/cluster/keeper"
)

// members: nodes could not talk if an address, a service or the version of the link were lost.
func members(t *table) {
	a := t.join(t.member("a:1"))
	self := t.member("b:1")
	self.Label, self.Link, self.State = "", 7, keeper.Working
	self.Services = []string{"Bank", "Room"}
	b := t.join(self)
	self.NodeID = b.self.NodeID
	for _, p := range []*process{a, b} {
		p.sees(0, "a:1", "b:1")
		if got, _ := p.newest.Member("b:1"); !got.Equal(self) {
			t.Errorf("%s sees %+v, want %+v", p.self.Addr, got, self)
		}
		if got, _ := p.newest.Member("a:1"); !got.Equal(a.self) {
			t.Errorf("%s sees %+v, want %+v", p.self.Addr, got, a.self)
		}
	}
}

// ids: two nodes with one id would make the same session ids.
func ids(t *table) {
	const n = 8
	all := make([]*process, n)
	var wg sync.WaitGroup
	for i := range n {
		self := t.member(fmt.Sprintf("n%d:1", i))
		k := t.New(t.T)
		wg.Go(func() {
			var err error
			if all[i], err = t.tryJoin(t.Context(), k, self); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	holder := map[uint64]string{}
	for _, p := range all {
		if p == nil {
			continue
		}
		if other, taken := holder[p.self.NodeID]; taken {
			t.Errorf("%s and %s have the id %d", other, p.self.Addr, p.self.NodeID)
		}
		holder[p.self.NodeID] = p.self.Addr
	}
	for _, p := range all {
		if p != nil {
			p.until(0, "it sees all", func(v keeper.View) bool { return len(v.Members) == n })
		}
	}
}

// rests: sessions may still be known by the id of a node that has just ended.
func rests(t *table) {
	a := t.join(t.member("a:1"))
	used := map[uint64]bool{}
	for i := range 3 {
		self := t.member("b:1")
		p := t.join(self)
		if used[p.self.NodeID] || p.self.NodeID == a.self.NodeID {
			t.Errorf("process %d has the id %d, which another had a moment ago", i, p.self.NodeID)
		}
		used[p.self.NodeID] = true
		t.leave(p)
	}
}

// fixed: an id of the configuration is the node's or an error.
func fixed(t *table) {
	self := t.member("a:1")
	self.NodeID, self.Fixed = 7, true
	a := t.join(self)
	if a.self.NodeID != 7 {
		t.Errorf("the node has the id %d, want 7", a.self.NodeID)
	}
	self = t.member("b:1")
	self.NodeID, self.Fixed = 7, true
	if _, err := t.tryJoin(t.Context(), t.New(t.T), self); !errors.Is(err, keeper.ErrNodeIDTaken) {
		t.Errorf("a second node with the id: %v, want ErrNodeIDTaken", err)
	}
	// The same node, started again before it was missed.
	self = t.member("a:1")
	self.NodeID, self.Fixed = 7, true
	a.die()
	t.leave(t.join(self))
}

// dead: a node that has died may not stay for ever.
func dead(t *table) {
	a, b := t.join(t.member("a:1")), t.join(t.member("b:1"))
	a.sees(0, "a:1", "b:1")
	b.end()
	a.sees(t.TTL, "a:1")
}

// leaves: a node that ends in good order is missed at once, and does not come back.
func leaves(t *table) {
	a, b := t.join(t.member("a:1")), t.join(t.member("b:1"))
	a.sees(0, "a:1", "b:1")
	t.leave(b)
	for range b.views { // they end
	}
	t.leave(b)
	a.sees(0, "a:1")
	for end := time.Now().Add(t.TTL); a.next(time.Until(end)); {
		t.Errorf("a view came after the end: %v", addrs(a.newest))
	}
}

// updates: a node that drains gets no new sessions because all have read so.
func updates(t *table) {
	a, b := t.join(t.member("a:1")), t.join(t.member("b:1"))
	next := b.self
	next.State, next.Label, next.Services, next.NodeID = keeper.Draining, "another", []string{"Shop"}, 9999
	if err := b.k.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	next.NodeID = b.self.NodeID
	for _, p := range []*process{a, b} {
		p.until(0, "it sees the update", func(v keeper.View) bool {
			m, _ := v.Member("b:1")
			return m.Equal(next)
		})
	}
	a.sees(0, "a:1", "b:1")
}

// replaced: a node that is started again on its address is in, although the old process's time is
// not over. The old one, should it live, sees that.
func replaced(t *table) {
	a, old := t.join(t.member("a:1")), t.join(t.member("b:1"))
	newer := t.join(t.member("b:1"))
	is := func(v keeper.View) bool {
		m, _ := v.Member("b:1")
		return m.Epoch == newer.self.Epoch
	}
	a.until(0, "the newer process has the address", is)
	old.until(0, "the newer process has the address", is)
	if err := old.k.Update(t.Context(), old.self); err != nil {
		t.Logf("an update of the old process: %v", err)
	}
	// It stays so for longer than the old one's renewals and the newer one's time take.
	for end := time.Now().Add(t.TTL + t.TTL/2); a.next(time.Until(end)); {
		if !is(a.newest) {
			t.Fatalf("the old process is in the list again: %+v", a.newest)
		}
	}
}

// slow: a node that was busy goes on with the list as it is, not as it was.
func slow(t *table) {
	a, b := t.join(t.member("a:1")), t.join(t.member("b:1"))
	a.sees(0, "a:1", "b:1")
	for i := range 20 {
		self := b.self
		self.Label = strconv.Itoa(i)
		if err := b.k.Update(t.Context(), self); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 {
			b.until(0, "its own view has it", func(v keeper.View) bool {
				m, _ := v.Member("b:1")
				return m.Label == self.Label
			})
		}
	}
	views := 0
	for label := ""; label != "19"; views++ {
		if !a.next(t.Slack) {
			t.Fatalf("the newest view of all is %+v", a.newest)
		}
		m, _ := a.newest.Member("b:1")
		label = m.Label
	}
	if views > 10 {
		t.Errorf("%d views waited for a slow reader", views)
	}
}

// silent: a node that could not reach the engine is dropped, and back without being started again,
// with the id that its sessions have.
func silent(t *table) {
	a, b := t.join(t.member("a:1")), t.join(t.member("b:1"))
	a.sees(0, "a:1", "b:1")
	t.Cut(true, b.k)
	a.sees(t.TTL, "a:1")
	t.Cut(false, b.k)
	a.sees(t.TTL, "a:1", "b:1")
	if m, _ := a.newest.Member("b:1"); m.Epoch != b.self.Epoch || m.NodeID != b.self.NodeID {
		t.Errorf("%+v came back, want %+v", m, b.self)
	}
	b.sees(t.TTL, "a:1", "b:1")
	// Its time runs as before.
	b.end()
	a.sees(t.TTL, "a:1")
}

// away: nodes go on with the list that they have, however long the engine is away. When it is back,
// nobody who lives is dropped, and who has died meanwhile is.
func away(t *table) {
	a, b, c := t.join(t.member("a:1")), t.join(t.member("b:1")), t.join(t.member("c:1"))
	all := []*process{a, b}
	for _, p := range all {
		p.sees(0, "a:1", "b:1", "c:1")
	}
	late := t.New(t.T)
	t.Cut(true, a.k, b.k, c.k, late)

	ctx, cancel := context.WithTimeout(t.Context(), t.TTL/4)
	defer cancel()
	given := t.New(t.T)
	t.Cut(true, given)
	if _, err := t.tryJoin(ctx, given, t.member("e:1")); err == nil {
		t.Error("a node has joined an engine that cannot be reached")
	}

	type joined struct {
		p   *process
		err error
	}
	waits := make(chan joined, 1)
	self := t.member("d:1")
	go func() {
		p, err := t.tryJoin(t.Context(), late, self)
		waits <- joined{p, err}
	}()
	c.end()
	for _, p := range all {
		for end := time.Now().Add(2 * t.TTL); p.next(time.Until(end)); {
			t.Errorf("%s was told %v", p.self.Addr, addrs(p.newest))
		}
	}
	select {
	case j := <-waits:
		t.Errorf("a node has joined, %v", j.err)
	default:
	}

	t.Cut(false, a.k, b.k, late)
	j := <-waits
	if j.err != nil {
		t.Fatal(j.err)
	}
	for _, p := range all {
		p.until(3*t.TTL, "the new one is in, and the dead one is not", func(v keeper.View) bool {
			is := addrs(v)
			if !slices.Contains(is, "a:1") && p != a || !slices.Contains(is, "b:1") && p != b {
				t.Errorf("%s lost one that lives: %v", p.self.Addr, is)
			}
			return slices.Equal(is, []string{"a:1", "b:1", "d:1"})
		})
	}
	j.p.sees(3*t.TTL, "a:1", "b:1", "d:1")
}
