package nano_test

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
)

// The master's network is away for a while. Gate and backend have each other all the time: their players go on playing, and
// nobody is thrown out of a room, neither while the master is away nor when it is back.
func TestClusterMasterCutOff(t *testing.T) {
	const players = 10
	away := map[string]func(f *fabric) (back func()){
		"silent": func(f *fabric) func() {
			f.freeze(masterAddr)
			return func() { f.thaw(masterAddr) }
		},
		"refused": func(f *fabric) func() {
			f.kill(masterAddr)
			return func() { f.revive(masterAddr) }
		},
	}
	for name, cut := range away {
		for _, d := range []time.Duration{3 * time.Second, 6 * time.Second, 20 * time.Second} {
			t.Run(fmt.Sprint(name, " for ", d), func(t *testing.T) {
				inBubble(t, func(t *testing.T, f *fabric) {
					m := f.start(t, masterAddr, handlers(nil))
					room := nano.NewGroup("room")
					b := f.start(t, "back:1", handlers(fns{"Room.Join": func(_ context.Context, s *session.Session, _ []byte) error {
						if err := room.Add(s); err != nil {
							return err
						}
						return s.Response([]byte("joined"))
					}, "Room.Say": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) }}))
					closed := watch(b)
					g := f.start(t, "gate:1", handlers(nil))
					meet(t, m, g, b)
					var all []*nanotest.Client
					for range players {
						c := g.tcp.Client(t)
						c.Beats = true
						c.Ready(acceptErrors)
						call1(t, c, "Room.Join", "", "joined")
						all = append(all, c)
					}
					play := func(d time.Duration) {
						for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second / 2) {
							for _, c := range all {
								call1(t, c, "Room.Say", "here", "here")
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
					meet(t, m, g, b)
				})
			})
		}
	}
}

// apart makes a node whose service address leads to another: it says addr, and listens elsewhere.
func (f *fabric) apart(addr string, opts ...nano.Option) *node {
	return newNodeAt(addr, handlers(nil), append([]nano.Option{
		nano.WithServiceListener(nanotest.NewListener()),
		nano.WithGrpcOptions(grpc.WithContextDialer(f.dialer(addr))),
		nano.WithAdvertiseAddr(masterAddr, 100*time.Millisecond),
	}, opts...)...)
}

// Two nodes are given one service address by mistake: the one that lives keeps it, and the second is told what to do. It
// pushed the first one out, with all its players, and could not be reached itself.
func TestClusterAddressTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(nil))
		b := f.start(t, "back:1", handlers(backend(nil)), nano.WithLabel("first"))
		closed := watch(b)
		meet(t, m, g, b)
		c := g.tcp.Client(t)
		c.Beats = true
		c.Ready(acceptErrors)
		call1(t, c, "Back.Echo", "x", "x")

		second := f.apart("back:1")
		err := second.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "back:1") || !strings.Contains(err.Error(), `"first"`) || !strings.Contains(err.Error(), "an address of its own") {
			t.Errorf("the second starts: %v", err)
			second.stop(t)
		}
		time.Sleep(3 * time.Second)
		call1(t, c, "Back.Echo", "x", "x")
		if got := closed.list(); len(got) > 0 {
			t.Errorf("sessions were closed at the first: %q", got)
		}

		// One of the 0.5 series lives at an address: ours is refused, and the old one's next run is not.
		o := f.old(t, "old:1", "Old")
		o.register()
		synctest.Wait()
		if err := f.apart("old:1").Start(t.Context()); err == nil || !strings.Contains(err.Error(), "an address of its own") {
			t.Errorf("one of ours takes the place of a v0.5 node: %v", err)
		}
		o.register()
		f.old(t, "old:1", "Old").register()
	})
}

// A process that was killed and is started again is in at once, also while its old run is still in the list; so is one whose
// old run hangs.
func TestClusterRestartAtItsAddress(t *testing.T) {
	for name, end := range map[string]func(f *fabric) (undo func()){
		"killed": func(f *fabric) func() { f.kill("back:1"); return func() {} },
		"hangs":  func(f *fabric) func() { return f.stall("back:1") },
		"alive, but the address leads to the new run": func(*fabric) func() { return func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fabric) {
				m := f.start(t, masterAddr, handlers(nil))
				f.start(t, "back:1", handlers(backend(nil)))
				g := f.start(t, "gate:1", handlers(nil))
				nanotest.Until(t, "all know all", func() bool { return len(m.Members()) == 2 && len(g.Members()) == 2 })
				undo := end(f)
				defer undo()
				time.Sleep(time.Millisecond) // a later run begins later
				began := time.Now()
				f.start(t, "back:1", handlers(backend(nil)))
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("the start took %v", took)
				}
			})
		})
	}
}
