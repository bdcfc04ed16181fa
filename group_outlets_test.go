package nano_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/lonng/nano"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// outlet stands for the way to a gate, and counts what each session gets by it.
type outlet struct{ got map[*session.Session]int }

func (o *outlet) Multicast(_ string, _ any, to []*session.Session) error {
	for _, s := range to {
		o.got[s]++
	}
	return nil
}

// behind is a session's entity that is behind an outlet, which may change.
type behind struct {
	*mock.NetworkEntity
	way   atomic.Pointer[outlet]
	asked *atomic.Int64 // how often anybody has looked for an outlet
}

func (b *behind) Outlet() session.Outlet {
	b.asked.Add(1)
	if o := b.way.Load(); o != nil {
		return o
	}
	return nil
}

func (b *behind) move(to *outlet) {
	b.way.Store(to)
	session.OutletChanged()
}

// TestGroupKnowsItsMembersGates makes a group's members come, go, move between gates and lose them,
// with broadcasts in between. Each broadcast has to reach each member once, where it is then.
func TestGroupKnowsItsMembersGates(t *testing.T) {
	for _, size := range []int{5, 200} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(size), 1))
			ways := []*outlet{nil, {map[*session.Session]int{}}, {map[*session.Session]int{}}, {map[*session.Session]int{}}}
			var asked atomic.Int64
			g := nano.NewGroup("members of many gates")
			var all []*session.Session
			var entities []*behind
			for range size + size/2 {
				e := &behind{NetworkEntity: mock.NewNetworkEntity(), asked: &asked}
				e.way.Store(ways[1+rnd.IntN(3)])
				s := session.New(e)
				all, entities = append(all, s), append(entities, e)
				if err := g.Add(s); err != nil {
					t.Fatal(err)
				}
			}
			want := map[*session.Session]int{}
			for range 300 {
				for range rnd.IntN(3) { // often none: then what is known of the outlets is used
					i := rnd.IntN(len(all))
					switch rnd.IntN(3) {
					case 0:
						entities[i].move(ways[rnd.IntN(4)])
					case 1:
						if !g.ContainsSession(all[i]) {
							_ = g.Add(all[i])
						}
					case 2:
						if g.Count() > size {
							_ = g.Leave(all[i])
						}
					}
				}
				if err := g.Broadcast("onIt", []byte("x")); err != nil {
					t.Fatal(err)
				}
				for i, s := range all {
					if g.ContainsSession(s) {
						want[s]++
					}
					n := len(entities[i].Pushes()) // while it had no outlet
					for _, o := range ways[1:] {
						n += o.got[s]
					}
					if n != want[s] {
						t.Fatalf("session %d was reached %d times by %d broadcasts", s.ID(), n, want[s])
					}
				}
			}
			before := asked.Load()
			_ = g.Broadcast("onIt", []byte("x"))
			_ = g.Broadcast("onIt", []byte("x"))
			if again := asked.Load() - before; again > int64(g.Count())+1 {
				t.Errorf("two broadcasts to %d members that stayed where they were looked for %d outlets", g.Count(), again)
			}
		})
	}
}

// BenchmarkBroadcastByGates measures what a broadcast to 100,000 clients of 50 gates costs the
// backend before each gate's part is encoded.
func BenchmarkBroadcastByGates(b *testing.B) {
	ways := make([]*nowhere, 50)
	for i := range ways {
		ways[i] = &nowhere{name: i}
	}
	g := nano.NewGroup("a very large room")
	for i := range 100_000 {
		if err := g.Add(session.New(&atGate{NetworkEntity: mock.NewNetworkEntity(), way: ways[i%len(ways)]})); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := g.Broadcast("onIt", []byte("x")); err != nil {
			b.Fatal(err)
		}
	}
}

type nowhere struct{ name int }

func (*nowhere) Multicast(string, any, []*session.Session) error { return nil }

type atGate struct {
	*mock.NetworkEntity
	way *nowhere
}

func (a *atGate) Outlet() session.Outlet { return a.way }
