// Package keepertest tests whether a Keeper keeps its promises, those of package keeper. Whoever
// writes an engine runs it:
//
//	func TestKeeper(t *testing.T) {
//		keepertest.Run(t, func(t *testing.T, test func(*testing.T, keepertest.Engine)) {
//			test(t, keepertest.Engine{New: newKeeper, TTL: 2 * time.Second})
//		})
//	}
//
// The tests take a few times to live. They measure no durations on a fake clock of their own, so an
// engine in memory may run them in a synctest bubble.
package keepertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/service"
)

// Engine is what keeps the list, empty at the start of a test.
type Engine struct {
	// New returns the Keeper of one more process.
	New func(t *testing.T) keeper.Keeper

	// TTL is how long a process that says nothing stays in the list. The tests allow Slack more.
	TTL time.Duration

	// Slack is how late anything may be on a busy machine. Default: 10 s.
	Slack time.Duration

	// Cut takes the processes of these Keepers off the engine's network, or back onto it. Nil: the
	// tests that need it are skipped.
	Cut func(cut bool, of ...keeper.Keeper)
}

// Run runs all tests. start makes an engine for each, calls test with it, and returns after that.
func Run(t *testing.T, start func(t *testing.T, test func(*testing.T, Engine))) {
	t.Helper()
	for _, c := range []struct {
		name string
		cuts bool // needs Engine.Cut
		test func(*table)
	}{
		{"members find each other as they are", false, members},
		{"ids are unique", false, ids},
		{"a freed id rests", false, rests},
		{"a configured id is kept or refused", false, fixed},
		{"the dead leave the views", false, dead},
		{"who leaves is gone at once", false, leaves},
		{"an update is seen by all", false, updates},
		{"a newer process takes the address", false, replaced},
		{"a slow reader gets the newest view", false, slow},
		{"the silent come back by themselves", true, silent},
		{"while the engine is away nothing changes and joins wait", true, away},
	} {
		t.Run(c.name, func(t *testing.T) {
			start(t, func(t *testing.T, e Engine) {
				t.Helper()
				if c.cuts && e.Cut == nil {
					t.Skip("the engine cannot be cut off: Engine.Cut is not set")
				}
				if e.Slack == 0 {
					e.Slack = 10 * time.Second
				}
				c.test(&table{T: t, Engine: e})
			})
		})
	}
}

// table is one test with its engine.
type table struct {
	*testing.T
	Engine
	epoch atomic.Uint64
}

// process is one process of a node, as far as the list goes.
type process struct {
	t      *table
	k      keeper.Keeper
	self   keeper.Member
	views  <-chan keeper.View
	newest keeper.View
	die    context.CancelFunc
}

func (t *table) member(addr string) keeper.Member {
	return keeper.Member{
		Addr: addr, Label: "label of " + addr, Services: []string{"Chat", "Room"}, State: keeper.Starting, Link: 1, Epoch: 100 + t.epoch.Add(1),
	}
}

// join enters a process that must get in, and takes it out when the test ends.
func (t *table) join(self keeper.Member) *process {
	t.Helper()
	p, err := t.tryJoin(t.Context(), t.New(t.T), self)
	if err != nil {
		t.Fatalf("join %s: %v", self.Addr, err)
	}
	return p
}

func (t *table) tryJoin(ctx context.Context, k keeper.Keeper, self keeper.Member) (*process, error) {
	ctx, die := context.WithCancel(ctx)
	views, err := k.Join(ctx, self)
	if err != nil {
		die()
		return nil, err
	}
	p := &process{t: t, k: k, self: self, views: views, die: die}
	t.Cleanup(p.end)
	if !p.next(0) {
		return nil, errors.New("keepertest: the first view was not there when Join returned")
	}
	m, ok := p.newest.Member(self.Addr)
	if !ok || m.Epoch != self.Epoch {
		return nil, fmt.Errorf("keepertest: the first view does not hold the process: %+v", p.newest)
	}
	if m.NodeID == 0 || m.NodeID > service.MaxNodeID {
		return nil, fmt.Errorf("keepertest: the node id is %d", m.NodeID)
	}
	p.self.NodeID = m.NodeID
	return p, nil
}

// end ends the process, and waits until its views have ended.
func (p *process) end() {
	p.die()
	for range p.views { // until it is closed
	}
}

// next waits for a view, but not longer than d.
func (p *process) next(d time.Duration) bool {
	p.t.Helper()
	late := time.NewTimer(d)
	defer late.Stop()
	var v keeper.View
	var more bool
	select {
	case v, more = <-p.views:
	default:
		select {
		case v, more = <-p.views:
		case <-late.C:
			return false
		}
	}
	if !more {
		p.t.Fatalf("the views of %s have ended", p.self.Addr)
	}
	if old := p.newest.Version; v.Version.Master == old.Master && v.Version.N < old.N {
		p.t.Errorf("a view of version %v came after %v", v.Version, old)
	}
	if !slices.IsSortedFunc(v.Members, func(a, b keeper.Member) int { return compare(a.Addr, b.Addr) }) {
		p.t.Errorf("the members are not sorted by address: %v", addrs(v))
	}
	p.newest = v
	return true
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// until waits for a view, within d and the engine's slack.
func (p *process) until(d time.Duration, what string, ok func(keeper.View) bool) {
	p.t.Helper()
	end := time.Now().Add(d + p.t.Slack)
	for !ok(p.newest) {
		if !p.next(time.Until(end)) {
			p.t.Fatalf("%s: %s does not hold %v later; the newest view is %+v", p.self.Addr, what, d+p.t.Slack, p.newest)
		}
	}
}

// sees waits until the view holds just these addresses.
func (p *process) sees(d time.Duration, want ...string) {
	p.t.Helper()
	slices.Sort(want)
	p.until(d, fmt.Sprintf("it sees %v", want), func(v keeper.View) bool { return slices.Equal(addrs(v), want) })
}

func addrs(v keeper.View) []string {
	all := make([]string, 0, len(v.Members))
	for _, m := range v.Members {
		all = append(all, m.Addr)
	}
	return all
}

func (t *table) leave(p *process) {
	t.Helper()
	if err := p.k.Leave(t.Context()); err != nil {
		t.Fatalf("leave: %v", err)
	}
}
