package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/cluster/keeper/keepertest"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/test/internal/apptest"
)

// timeToLive is how long an entry of the table lasts that nobody renews: less than four heartbeats
// of the tests' nodes.
const timeToLive = 3 * time.Second

var errAway = errors.New("the table cannot be reached")

// table is an engine that keeps the list of members, such as etcd, in memory: entries with a time
// to live.
type table struct {
	mu      sync.Mutex
	away    bool // it cannot be reached
	changes uint64
	lastID  uint64
	entries map[string]*entry
}

type entry struct {
	member keeper.Member
	until  time.Time
}

func newTable() *table { return &table{entries: make(map[string]*entry)} }

// setAway takes the table off the network, and back: whose time would have run out meanwhile gets
// another.
func (t *table) setAway(away bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = away
	for _, e := range t.entries {
		e.until = time.Now().Add(timeToLive)
	}
}

// viewLocked is the list, without those whose time is over.
func (t *table) viewLocked() keeper.View {
	v := keeper.View{Settled: true}
	for addr, e := range t.entries {
		if time.Now().After(e.until) {
			delete(t.entries, addr)
			t.changes++
			continue
		}
		v.Members = append(v.Members, e.member)
	}
	slices.SortFunc(v.Members, func(a, b keeper.Member) int { return strings.Compare(a.Addr, b.Addr) })
	v.Version = keeper.Version{Master: 1, N: t.changes}
	return v
}

// tableKeeper is one node's way to the table.
type tableKeeper struct {
	t    *table
	stop chan struct{} // closed by Leave, and when its process dies
	once sync.Once
	fail error // of Join

	mu     sync.Mutex
	self   keeper.Member
	silent bool // it renews nothing
}

func (t *table) keeper() *tableKeeper { return &tableKeeper{t: t, stop: make(chan struct{})} }

// die is the end of the process: nothing is renewed any more.
func (k *tableKeeper) die() { k.once.Do(func() { close(k.stop) }) }

func (k *tableKeeper) setSilent(silent bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.silent = silent
}

// put enters or renews the node, and returns the list.
func (k *tableKeeper) put() (keeper.View, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away || k.silent {
		return keeper.View{}, errAway
	}
	t.viewLocked()
	e := t.entries[k.self.Addr]
	if e != nil && e.member.Epoch > k.self.Epoch {
		return t.viewLocked(), nil // this process was replaced
	}
	if k.self.Fixed {
		for _, o := range t.entries {
			if o.member.Addr != k.self.Addr && o.member.NodeID == k.self.NodeID {
				return keeper.View{}, fmt.Errorf("%w: %s", keeper.ErrNodeIDTaken, o.member.Addr)
			}
		}
	}
	if k.self.NodeID == 0 {
		t.lastID++
		k.self.NodeID = t.lastID
	}
	if e == nil || !e.member.Equal(k.self) {
		t.changes++
	}
	t.entries[k.self.Addr] = &entry{k.self, time.Now().Add(timeToLive)}
	return t.viewLocked(), nil
}

func (k *tableKeeper) Join(ctx context.Context, self keeper.Member) (<-chan keeper.View, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	k.self = self
	tick := time.NewTicker(timeToLive / 12)
	for {
		v, err := k.put()
		if err == nil {
			views := make(chan keeper.View, 1)
			views <- v
			go k.renew(ctx, tick, views, v.Version)
			return views, nil
		}
		if !errors.Is(err, errAway) {
			tick.Stop()
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

func (k *tableKeeper) renew(ctx context.Context, tick *time.Ticker, views chan keeper.View, seen keeper.Version) {
	defer close(views)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.stop:
			return
		case <-tick.C:
		}
		if v, err := k.put(); err == nil && v.Version != seen {
			seen = v.Version
			select {
			case <-views: // it was slow, and gets the newest
			default:
			}
			views <- v
		}
	}
}

func (k *tableKeeper) Update(_ context.Context, self keeper.Member) error {
	k.mu.Lock()
	self.NodeID = k.self.NodeID
	k.self = self
	k.mu.Unlock()
	_, err := k.put()
	return err
}

func (k *tableKeeper) Leave(context.Context) error {
	k.die()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.t.mu.Lock()
	defer k.t.mu.Unlock()
	if k.t.away {
		return errAway
	}
	if e := k.t.entries[k.self.Addr]; e != nil && e.member.Epoch == k.self.Epoch {
		delete(k.t.entries, k.self.Addr)
		k.t.changes++
	}
	return nil
}

// ids are the node ids in the list, and how many nodes have one.
func (t *table) ids() map[uint64]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := map[uint64]int{}
	for _, m := range t.viewLocked().Members {
		ids[m.NodeID]++
	}
	return ids
}

// make makes a node of a cluster whose list is in the table.
func (t *table) make(f *apptest.Cluster, addr string, comps *component.Components, opts ...nano.Option) (*apptest.Node, *tableKeeper) {
	k := t.keeper()
	return apptest.NewAt(addr, comps, append([]nano.Option{
		nano.WithKeeper(k),
		nano.WithServiceListener(f.Listen(addr)),
		nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer(addr)), f.CountFrames(addr)),
	}, opts...)...), k
}

func (t *table) start(tt *testing.T, f *apptest.Cluster, addr string, comps *component.Components, opts ...nano.Option) (*apptest.Node, *tableKeeper) {
	tt.Helper()
	n, k := t.make(f, addr, comps, opts...)
	if err := n.Start(tt.Context()); err != nil {
		tt.Fatalf("start %s: %v", addr, err)
	}
	tt.Cleanup(func() { n.Stop(tt) })
	return n, k
}

// The engine of these tests makes the promises that the nodes rely on.
func TestTableKeepsThePromises(t *testing.T) {
	keepertest.Run(t, func(t *testing.T, test func(*testing.T, keepertest.Engine)) {
		synctest.Test(t, func(t *testing.T) {
			table := newTable()
			test(t, keepertest.Engine{
				TTL: timeToLive,
				New: func(*testing.T) keeper.Keeper { return table.keeper() },
				Cut: func(cut bool, of ...keeper.Keeper) {
					if len(of) > 1 {
						table.setAway(cut)
						return
					}
					of[0].(*tableKeeper).setSilent(cut)
				},
			})
		})
	})
}
