package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// outcome waits for the answer to a request, but not longer than within.
func outcome(t *testing.T, c *nanotest.Client, id uint64, within time.Duration) (failed bool) {
	t.Helper()
	began := time.Now()
	answer := make(chan bool, 1)
	go func() {
		m, err := c.NextMessage()
		answer <- err == nil && m.ID == id && m.Err
	}()
	select {
	case failed = <-answer:
	case <-time.After(20 * time.Second):
		c.Close()
		<-answer
	}
	if took := time.Since(began); took > within {
		t.Errorf("request %d had no outcome within %v, but after %v", id, within, took)
	}
	return failed
}

// A gate that the master cannot hear falls out of the list, though it reaches the backends. Its
// players play on there; and when it then dies, nothing of them may stay on a backend for good.
func TestGateOutsideTheListServesItsPlayers(t *testing.T) {
	setup := func(t *testing.T, f *apptest.Cluster) (g, b *apptest.Node, closed *ends, c *nanotest.Client) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g = f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
		b = f.Start(t, "back:1", apptest.Handlers(backend(nil)), nano.WithBindPolicy(nano.BindRefuseNew))
		closed = watch(b)
		apptest.Meet(t, m, g, b)
		c = g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Bind(t, c, "7", "<nil>")
		apptest.Call(t, c, "Back.Echo", "x", "x")
		f.Block("gate:1", apptest.Master)
		for range 10 {
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		if got := apptest.Members(b); slices.Contains(got, "gate:1") || !b.Online(7) || len(closed.list()) != 0 {
			t.Fatalf("the backend knows %v, closed %v; the user is online there: %v", got, closed.list(), b.Online(7))
		}
		apptest.Call(t, c, "Back.Who", "", "7 <nil> <nil> 192.0.2.2:40000")
		return g, b, closed, c
	}
	t.Run("and dies", func(t *testing.T) {
		apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
			_, b, closed, _ := setup(t, f)
			f.Kill("gate:1")
			time.Sleep(30 * time.Second)
			if got := closed.list(); len(got) != len(b.Opened()) || b.Online(7) {
				t.Errorf("%d sessions were opened, %v closed; the user is online: %v", len(b.Opened()), got, b.Online(7))
			}
		})
	})
	t.Run("and is heard again", func(t *testing.T) {
		apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
			_, b, _, c := setup(t, f)
			f.Allow("gate:1", apptest.Master)
			for range 3 {
				time.Sleep(time.Second)
				apptest.Pong(t, c)
			}
			apptest.Call(t, c, "Back.Who", "", "7 <nil> <nil> 192.0.2.2:40000")
			if got := apptest.Members(b); !slices.Contains(got, "gate:1") || len(b.Opened()) != 1 {
				t.Errorf("the backend knows %v, and has opened sessions %v", got, b.Opened())
			}
		})
	})
}

// A backend is started again on its address while there is no master: it waits to join, and serves
// nobody yet. Who was with the one before it must get an answer from another backend, and not wait
// for one that never comes.
func TestRestartWithoutMasterLosesNoAnswer(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		b2 := f.Start(t, "back:2", apptest.Handlers(backend(nil)))
		apptest.Meet(t, m, g, b, b2)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		sticky := func() { g.Session(g.Opened()[0]).Router().Bind("Back", "back:1") }
		sticky()
		apptest.Call(t, c, "Back.Echo", "x", "x")
		f.Kill(apptest.Master, "back:1")
		again := f.Make("back:1", apptest.Handlers(backend(nil)))
		started := make(chan error, 1)
		go func() { started <- again.Start(t.Context()) }()
		for range 4 {
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		sticky()
		if outcome(t, c, c.Request("Back.Echo", []byte("y")), time.Second) {
			t.Error("the request failed, although a backend lives")
		}
		if got := len(again.Opened()); got != 0 {
			t.Errorf("a node that has not joined has opened %d sessions", got)
		}
		again.Quit()
		<-started
	})
}

// The backend cannot connect to the gate, though the gate can to the backend: a firewall, or a
// wrong address. Players must be told, each time, or be served by another backend; when the way is
// free, they are served by this one.
func TestPlayersAreToldOfAOneWayLink(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(map[bool]string{true: "from the beginning", false: "later"}[before], func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(nil))
				if before {
					f.Block("back:1", "gate:1")
				}
				b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
				apptest.Meet(t, m, g, b)
				c := g.TCP.Client(t)
				c.Beats = true
				c.Ready(apptest.AcceptErrors)
				f.Block("back:1", "gate:1")
				for i := range 30 {
					if !outcome(t, c, c.Request("Back.Echo", nil), 2*time.Second) {
						t.Fatalf("after %d s: a request was answered", i)
					}
					time.Sleep(time.Second)
				}
				b2 := f.Start(t, "back:2", apptest.Handlers(backend(nil)))
				agree(t, time.Second, m, g, b, b2)
				time.Sleep(time.Second)
				apptest.Call(t, c, "Back.Echo", "x", "x")
				f.Allow("back:1", "gate:1")
				b2.Stop(t)
				for range 2 {
					time.Sleep(time.Second)
					apptest.Pong(t, c)
				}
				apptest.Call(t, c, "Back.Echo", "y", "y")
			})
		})
	}
}

// Neither of two nodes reaches the other, for long; then the network is whole again. Each end gives
// the other up, and must not wait for the other to come first.
func TestNodesFindEachOtherAgain(t *testing.T) {
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
		f.Block("back:1", "gate:1")
		f.Block("gate:1", "back:1")
		for range 20 {
			if !outcome(t, c, c.Request("Back.Echo", nil), time.Second) {
				t.Fatal("a request was answered")
			}
			time.Sleep(time.Second)
		}
		if got := closed.list(); len(got) != 1 {
			t.Errorf("OnClosed: %v", got)
		}
		f.Allow("back:1", "gate:1")
		f.Allow("gate:1", "back:1")
		for range 2 {
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		apptest.Call(t, c, "Back.Echo", "y", "y")
	})
}

// A gate dies while a batch of its frames waits for a backend that is busy for long. What comes
// after in that batch must not bring back its players: nobody would ever end them.
func TestDeadGatesPlayersDoNotComeBack(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		own := scheduler.New(scheduler.WithLimit(1), scheduler.WithSlow(0, nil))
		own.Start()
		t.Cleanup(own.Close)
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Slow": func(context.Context, *session.Session, []byte) error { time.Sleep(4 * time.Second); return nil },
		})), nano.WithScheduler(own))
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		var cs []*nanotest.Client
		for range 4 {
			c := g.TCP.Client(t)
			c.Ready()
			cs = append(cs, c)
		}
		apptest.Call(t, cs[0], "Back.Echo", "x", "x")
		synctest.Wait()
		f.Cut("back:1")
		time.Sleep(10 * time.Millisecond) // what follows waits for the link, and goes in one batch
		for i, c := range cs {
			for range 2 {
				c.Notify("Back.Slow", nil)
			}
			apptest.Bind(t, c, fmt.Sprint(i+1), "<nil>")
		}
		time.Sleep(500 * time.Millisecond)
		f.Kill("gate:1")
		time.Sleep(90 * time.Second)
		if got := apptest.Members(b); slices.Contains(got, "gate:1") {
			t.Fatalf("the backend knows %v", got)
		}
		if opened, ended := len(b.Opened()), len(closed.list()); opened == 0 || opened != ended || len(b.OnlineUIDs()) > 0 {
			t.Errorf("%d sessions were opened, %d ended; online: %v", opened, ended, b.OnlineUIDs())
		}
	})
}

// The link to one node breaks all the time, as soon as something went over it. That must not keep
// the master from noticing that another one is dead.
func TestFlappingLinkHidesNoDeadNode(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Note": func(context.Context, *session.Session, []byte) error { return nil }}))
		apptest.Meet(t, m, g, b)
		f.Kill("gate:1")
		for range 6 * 50 {
			if err := m.NotifyNode("back:1", "Back.Note", make([]byte, 20<<10)); err != nil { // is acknowledged at once
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
			f.CutFrom(apptest.Master)
			time.Sleep(10 * time.Millisecond)
		}
		if got := apptest.Members(m); !slices.Equal(got, []string{"back:1"}) {
			t.Errorf("after 6 s the master knows %v", got)
		}
	})
}

// The master's host loses its power, and another takes its address. Nothing tells the nodes that
// their connections are dead; the new master must know them all the same before it takes them for
// gone, or nobody could join for long.
func TestMasterOnAnotherHostIsFound(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Make(apptest.Master, apptest.Handlers(nil))
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(nil))
		apptest.Meet(t, m, g, b)
		resume := f.Stall(apptest.Master)
		defer m.Stop(t)
		defer resume()
		time.Sleep(time.Second)
		m2 := f.Start(t, apptest.Master, apptest.Handlers(nil))
		agree(t, 4*time.Second, m2, g, b)
	})
}
