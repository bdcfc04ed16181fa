package nano_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
)

// A user has just signed in, at the gate or by a backend: whoever has seen the answer can have them kicked from any node, at
// once. An operator who bans a player would be told that it is done, and the player would play on.
func TestClusterKickRightAfterLogin(t *testing.T) {
	for _, route := range []string{"A.Bind", "Back.Bind"} {
		t.Run(route, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fabric) {
				m := f.start(t, masterAddr, handlers(nil))
				g1, g2 := f.start(t, "gate:1", handlers(signIn())), f.start(t, "gate:2", handlers(signIn()))
				b := f.start(t, "back:1", handlers(backend(nil)))
				third := f.start(t, "back:2", handlers(nil))
				meet(t, m, g1, g2, b, third)
				for uid := range int64(80) {
					var all []*nanotest.Client
					for _, g := range []*node{g1, g2} { // under the default policy both stay
						c := g.tcp.Client(t)
						c.Ready(acceptErrors)
						all = append(all, c)
						call1(t, c, route, fmt.Sprint(1+uid), "<nil>")
					}
					if err := third.KickUser(1+uid, "banned"); err != nil {
						t.Errorf("the kick of user %d says %v", 1+uid, err)
					}
					for i, c := range all {
						if reason := c.Kicked(); reason != "banned" {
							t.Errorf("session %d of user %d was kicked with %q", i, 1+uid, reason)
						}
						c.Close()
					}
				}
			})
		})
	}
}

// Nobody has the user: that is said, and not after long, also while a gate hangs.
func TestClusterKickNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(signIn()))
		hangs := f.start(t, "gate:2", handlers(signIn()))
		meet(t, m, g, hangs)
		c := hangs.tcp.Client(t)
		c.Ready(acceptErrors)
		call1(t, c, "A.Bind", "7", "<nil>")
		c.Close()
		kick := func() {
			t.Helper()
			began := time.Now()
			if err := m.KickUser(7, "banned"); !errors.Is(err, nano.ErrOffline) {
				t.Errorf("the kick of nobody says %v", err)
			}
			if took := time.Since(began); took > 250*time.Millisecond {
				t.Errorf("that took %v", took)
			}
		}
		nanotest.Until(t, "the master has heard of the end", func() bool { return !m.Online(7) })
		kick()
		f.freeze("gate:2")
		kick()
		f.thaw("gate:2")
	})
}
