package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// The master's network is away for a while. Gate and backend have each other all the time: their
// players go on playing, and nobody is thrown out of a room, neither while the master is away nor
// when it is back.
func TestMasterThatIsCutOffEndsNoSession(t *testing.T) {
	const players = 10
	away := map[string]func(f *apptest.Cluster) (back func()){
		"silent": func(f *apptest.Cluster) func() {
			f.Freeze(apptest.Master)
			return func() { f.Thaw(apptest.Master) }
		},
		"refused": func(f *apptest.Cluster) func() {
			f.Kill(apptest.Master)
			return func() { f.Revive(apptest.Master) }
		},
	}
	for name, cut := range away {
		for _, d := range []time.Duration{3 * time.Second, 6 * time.Second, 20 * time.Second} {
			t.Run(fmt.Sprint(name, " for ", d), func(t *testing.T) {
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
					m := f.Start(t, apptest.Master, apptest.Handlers(nil))
					room := nano.NewGroup("room")
					b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Room.Join": func(_ context.Context, s *session.Session, _ []byte) error {
						if err := room.Add(s); err != nil {
							return err
						}
						return s.Response([]byte("joined"))
					}, "Room.Say": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) }}))
					closed := watch(b)
					g := f.Start(t, "gate:1", apptest.Handlers(nil))
					apptest.Meet(t, m, g, b)
					var all []*nanotest.Client
					for range players {
						c := g.TCP.Client(t)
						c.Beats = true
						c.Ready(apptest.AcceptErrors)
						apptest.Call(t, c, "Room.Join", "", "joined")
						all = append(all, c)
					}
					play := func(d time.Duration) {
						for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second / 2) {
							for _, c := range all {
								apptest.Call(t, c, "Room.Say", "here", "here")
							}
						}
					}
					back := cut(f)
					play(d)
					back()
					play(15 * time.Second)
					if n, ended := room.Count(), closed.list(); n != players || len(ended) > 0 {
						t.Errorf("the room has %d of %d players, %d sessions were closed there", n, players, len(ended))
					}
					apptest.Meet(t, m, g, b)
				})
			})
		}
	}
}

// apart makes a node whose service address leads to another: it says addr, and listens elsewhere.
func apart(f *apptest.Cluster, addr string, opts ...nano.Option) *apptest.Node {
	return apptest.NewAt(addr, apptest.Handlers(nil), append([]nano.Option{
		nano.WithServiceListener(nanotest.NewListener()),
		nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer(addr))),
		nano.WithAdvertiseAddr(apptest.Master, 100*time.Millisecond),
	}, opts...)...)
}

// Two nodes are given one service address by mistake: the one that lives keeps it, and the second
// is told what to do. It pushed the first one out, with all its players, and could not be reached
// itself.
func TestTakenAddressStaysItsOwners(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)), nano.WithLabel("first"))
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Echo", "x", "x")

		second := apart(f, "back:1")
		err := second.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "back:1") || !strings.Contains(err.Error(), `"first"`) || !strings.Contains(err.Error(), "an address of its own") {
			t.Errorf("the second starts: %v", err)
			second.Stop(t)
		}
		time.Sleep(3 * time.Second)
		apptest.Call(t, c, "Back.Echo", "x", "x")
		if got := closed.list(); len(got) > 0 {
			t.Errorf("sessions were closed at the first: %q", got)
		}

		// One of the 0.5 series lives at an address: ours is refused, and the old one's next run is
		// not.
		o := newOld(t, f, "old:1", "Old")
		o.register()
		synctest.Wait()
		if err := apart(f, "old:1").Start(t.Context()); err == nil || !strings.Contains(err.Error(), "an address of its own") {
			t.Errorf("one of ours takes the place of a v0.5 node: %v", err)
		}
		o.register()
		newOld(t, f, "old:1", "Old").register()

		// So it is where the list has lost the old one, or has never had it.
		newOld(t, f, "old:2", "Old")
		if err := apart(f, "old:2").Start(t.Context()); err == nil || !strings.Contains(err.Error(), "an address of its own") {
			t.Errorf("one of ours takes the place of a v0.5 node that is not in the list: %v", err)
		}
	})
}

// A process that was killed and is started again is in at once, also while its old run is still in
// the list; so is one whose old run hangs.
func TestRestartedNodeIsInAtOnce(t *testing.T) {
	for name, end := range map[string]func(f *apptest.Cluster) (undo func()){
		"killed": func(f *apptest.Cluster) func() { f.Kill("back:1"); return func() {} },
		"hangs":  func(f *apptest.Cluster) func() { return f.Stall("back:1") },
		"alive, but the address leads to the new run": func(*apptest.Cluster) func() { return func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				f.Start(t, "back:1", apptest.Handlers(backend(nil)))
				g := f.Start(t, "gate:1", apptest.Handlers(nil))
				nanotest.Until(t, "all know all", func() bool { return len(m.Members()) == 2 && len(g.Members()) == 2 })
				undo := end(f)
				defer undo()
				time.Sleep(time.Millisecond) // a later run begins later
				began := time.Now()
				f.Start(t, "back:1", apptest.Handlers(backend(nil)))
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("the start took %v", took)
				}
			})
		})
	}
}

// The list has lost a node that lives: the master could not reach it for a while, or was started
// again. Another process that is given its address by mistake is refused all the same, or the
// players of the one that lives would be thrown out, and it would never get into the list again.
func TestAddressOfANodeThatTheListHasLost(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, f *apptest.Cluster, m *apptest.Node, c *nanotest.Client){
		"dropped": func(t *testing.T, f *apptest.Cluster, m *apptest.Node, c *nanotest.Client) {
			f.Block("back:1", apptest.Master)
			nanotest.Until(t, "the master has dropped it", func() bool { apptest.Pong(t, c); return len(m.Members()) == 1 })
		},
		"the master is new": func(t *testing.T, f *apptest.Cluster, _ *apptest.Node, _ *nanotest.Client) {
			f.Block("back:1", apptest.Master)
			f.Kill(apptest.Master)
			f.Start(t, apptest.Master, apptest.Handlers(nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(nil))
				b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
				closed := watch(b)
				apptest.Meet(t, m, g, b)
				c := g.TCP.Client(t)
				c.Beats = true
				c.Ready(apptest.AcceptErrors)
				apptest.Call(t, c, "Back.Echo", "x", "x")
				lose(t, f, m, c)

				second := apart(f, "back:1", nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer("elsewhere:1"))))
				if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "an address of its own") {
					t.Errorf("the second starts: %v", err)
					second.Stop(t)
				}
				f.Allow("back:1", apptest.Master)
				for range 6 {
					time.Sleep(time.Second / 2)
					apptest.Call(t, c, "Back.Echo", "y", "y")
				}
				if got := closed.list(); len(got) > 0 {
					t.Errorf("sessions were closed at the first: %q", got)
				}
				if !strings.Contains(fmt.Sprint(g.Members()), "back:1") {
					t.Errorf("the gate knows %v", g.Members())
				}
			})
		})
	}
}
