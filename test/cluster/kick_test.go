package cluster_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/test/internal/apptest"
)

// A user has just signed in, at the gate or by a backend: whoever has seen the answer can have them
// kicked from any node, at once. An operator who bans a player would be told that it is done, and
// the player would play on.
func TestKickFindsAUserRightAfterLogin(t *testing.T) {
	for _, route := range []string{"A.Bind", "Back.Bind"} {
		t.Run(route, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g1, g2 := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn())), f.Start(t, "gate:2", apptest.Handlers(apptest.SignIn()))
				b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
				third := f.Start(t, "back:2", apptest.Handlers(nil))
				apptest.Meet(t, m, g1, g2, b, third)
				for uid := range int64(80) {
					var all []*nanotest.Client
					for _, g := range []*apptest.Node{g1, g2} { // under the default policy both stay
						c := g.TCP.Client(t)
						c.Ready(apptest.AcceptErrors)
						all = append(all, c)
						apptest.Call(t, c, route, fmt.Sprint(1+uid), "<nil>")
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

// Where the network is slow, the kick waits for the gate's word. An operator would be told that the
// player is not online, who was kicked all the same, or that it is done, when nobody knows.
func TestKickOverASlowNetwork(t *testing.T) {
	for name, c := range map[string]struct {
		lag  time.Duration
		want func(error) bool
	}{
		"slow":      {300 * time.Millisecond, func(err error) bool { return err == nil }},
		"very slow": {600 * time.Millisecond, func(err error) bool { return dispatch.CodeOf(err) == component.CodeUnavailable }},
	} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
				apptest.Meet(t, m, g)
				c1 := g.TCP.Client(t)
				c1.Ready(apptest.AcceptErrors)
				f.Lag(c.lag) // each way
				defer f.Lag(0)
				apptest.Call(t, c1, "A.Bind", "7", "<nil>")
				if err := m.KickUser(7, "banned"); !c.want(err) {
					t.Errorf("the kick says %v", err)
				}
				if reason := c1.Kicked(); reason != "banned" {
					t.Errorf("the user was kicked with %q", reason)
				}
			})
		})
	}
}

// Nobody has the user: that is said, and not after long. While a gate hangs, nobody can say it, for
// however long that is.
func TestKickOfNobodySaysSo(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
		hangs := f.Start(t, "gate:2", apptest.Handlers(apptest.SignIn()))
		apptest.Meet(t, m, g, hangs)
		c := hangs.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "A.Bind", "7", "<nil>")
		c.Close()
		nanotest.Until(t, "the master has heard of the end", func() bool { return !m.Online(7) })
		began := time.Now()
		if err := m.KickUser(7, "banned"); !errors.Is(err, nano.ErrOffline) {
			t.Errorf("the kick of nobody says %v", err)
		}
		f.Freeze("gate:2")
		for _, wait := range []time.Duration{0, 3 * time.Second} {
			time.Sleep(wait)
			err := m.KickUser(7, "banned")
			if code := dispatch.CodeOf(err); code != component.CodeUnavailable || errors.Is(err, nano.ErrOffline) {
				t.Errorf("the kick while a gate hangs says %v", err)
			}
			if took := time.Since(began) - wait; took > time.Second {
				t.Errorf("that took %v", took)
			}
			began = time.Now()
		}
		f.Thaw("gate:2")
	})
}

// A player signs in again at the same gate, and the first session goes. Whoever else is told of the
// player has to hear of its end, too: or the other nodes take them for online for good, push into
// nothing, and keep one entry for each login.
func TestSecondLoginAtAGateLeavesNobodyOnline(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithBindPolicy(nano.BindKickOld))
		apptest.Meet(t, m, g)
		var all []*nanotest.Client
		for range 3 {
			c := g.TCP.Client(t)
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			apptest.Call(t, c, "A.Bind", "7", "<nil>")
			all = append(all, c)
		}
		synctest.Wait()
		if !m.Online(7) {
			t.Error("with its last session open the user is offline")
		}
		for _, c := range all {
			c.Close()
		}
		nanotest.Until(t, "the gate takes the user for offline", func() bool { return !g.Online(7) })
		time.Sleep(time.Second)
		if m.Online(7) || len(m.OnlineUIDs()) != 0 {
			t.Errorf("the master takes the user for online: %v, all of them are %v", m.Online(7), m.OnlineUIDs())
		}
		if err := m.KickUser(7, "banned"); !errors.Is(err, nano.ErrOffline) {
			t.Errorf("the kick says %v", err)
		}
		if err := m.PushTo(7, "on", []byte("x")); !errors.Is(err, nano.ErrOffline) {
			t.Errorf("the push says %v", err)
		}
	})
}

// A gate cannot be reached just then, so who kicks is told that the user is not online. Whoever
// signs in there after that is not kicked when the network is back.
func TestKickThatFoundNobodyKicksNobodyLater(t *testing.T) {
	for _, before := range []time.Duration{time.Second, 3 * time.Second} { // with the link up, and down
		t.Run(before.String(), func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
				third := f.Start(t, "back:1", apptest.Handlers(nil))
				apptest.Meet(t, m, g, third)
				f.Freeze("gate:1")
				time.Sleep(before)
				if err := third.KickUser(7, "banned"); err == nil {
					t.Fatal("the kick says that it found somebody")
				}
				c := g.TCP.Client(t)
				c.Beats = true
				c.Ready(apptest.AcceptErrors)
				apptest.Call(t, c, "A.Bind", "7", "<nil>")
				for range 5 {
					time.Sleep(time.Second / 2)
					apptest.Pong(t, c)
				}
				f.Thaw("gate:1")
				nanotest.Until(t, "all hear each other again", func() bool { apptest.Pong(t, c); return third.Online(7) })
				time.Sleep(time.Second)
				apptest.Pong(t, c)
			})
		})
	}
}

// A user's session goes from one gate to another just as somebody has the user kicked. Whenever that
// is, the session ends if the kick says so, and a user who plays is not called offline.
func TestKickFindsASessionOnItsWay(t *testing.T) {
	const lag = 200 * time.Millisecond
	for wait := time.Duration(0); wait <= 8*lag; wait += lag / 2 {
		t.Run(wait.String(), func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := startMoves(t, f, true)
				tr := &traveller{m: m}
				tr.come("gate:1")
				tr.call("Room.Join", "7", "in")
				s := <-m.in
				synctest.Wait()
				f.Lag(lag)
				defer f.Lag(0)
				came := make(chan struct{})
				go func() {
					defer close(came)
					tr.try("gate:2")
				}()
				time.Sleep(wait + time.Millisecond)
				if err := m.gates["gate:3"].KickUser(7, "banned"); err != nil {
					t.Errorf("the kick says %v", err)
				}
				<-came
				f.Lag(0)
				time.Sleep(10 * time.Second)
				if !s.Closed() || m.back.Online(7) {
					t.Errorf("closed %v, online %v: %q", s.Closed(), m.back.Online(7), m.told.List())
				}
			})
		})
	}
}
