package nano_test

import (
	"context"
	"fmt"
	"testing"
	"time"

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
