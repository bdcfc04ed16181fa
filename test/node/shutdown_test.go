package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Once, twice and from two goroutines; each returns when everything is down.
func TestSecondShutdownWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hooks, closed atomic.Int64
		var n *apptest.Node
		comps := apptest.Handlers(nil)
		comps.Register(&apptest.Life{OnShutdown: func() { hooks.Add(1) }})
		n = apptest.New(comps)
		n.Lifetime().OnClosed(func(*session.Session) { closed.Add(1) })
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := n.TCP.Client(t)
		c.Ready()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				n.Stop(t)
				if closed.Load() != 1 {
					t.Error("Shutdown returned before OnClosed")
				}
			})
		}
		c.Kicked()
		c.Close()
		wg.Wait()
		n.Stop(t)
		n.Quit()
		if hooks.Load() != 1 {
			t.Errorf("the shutdown hook ran %d times", hooks.Load())
		}
		if err := n.Start(t.Context()); err == nil {
			t.Error("a node that has lived starts again")
		}
	})
}

// lastWords wants what client i is told by a node that ends: what was queued, what both hooks of
// both components broadcast, and the kick.
func lastWords(t *testing.T, i int, c *nanotest.Client) {
	t.Helper()
	for k := range 100 {
		if got := c.Push("onQueued"); string(got) != string(apptest.Number(k)) {
			t.Fatalf("client %d: push %d is %x", i, k, got)
		}
	}
	for _, name := range []string{"two", "one"} {
		if got := c.Push("onBye"); string(got) != name {
			t.Errorf("client %d: onBye %q, want %q", i, got, name)
		}
	}
	for _, name := range []string{"two", "one"} {
		if got := c.Push("onEnd"); string(got) != name {
			t.Errorf("client %d: onEnd %q, want %q", i, got, name)
		}
	}
	if reason := c.Kicked(); reason != "server shutdown" {
		t.Errorf("client %d: reason %q", i, reason)
	}
}

// inOrder wants the hooks of a node that ends in their order, and then the ends of its sessions.
func inOrder(t *testing.T, got []string) {
	t.Helper()
	if want := []string{"pushed", "BeforeShutdown two", "BeforeShutdown one", "Shutdown two", "Shutdown one"}; len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("order %q, want %q first", got, want)
	}
	rest := got[min(5, len(got)):]
	slices.Sort(rest)
	if want := []string{"closed 1", "closed 2", "closed 3", "closed 4"}; !slices.Equal(rest, want) {
		t.Errorf("after the hooks %q, want %q", rest, want)
	}
}

// talkative returns components that say something to all in g when they are asked to, and when n
// ends.
func talkative(t *testing.T, n **apptest.Node, g *nano.Group, order *nanotest.Record) *component.Components {
	say := func(route, name string) {
		if err := g.Broadcast(route, []byte(name)); err != nil {
			t.Error(err)
		}
	}
	comps := apptest.Handlers(apptest.Funcs{
		"A.Join": func(_ context.Context, s *session.Session, _ []byte) error {
			if err := g.Add(s); err != nil {
				return err
			}
			return s.Response([]byte("in"))
		},
		"A.Push": func(_ context.Context, _ *session.Session, _ []byte) error {
			for i := range 100 {
				if err := g.Broadcast("onQueued", apptest.Number(i)); err != nil {
					return err
				}
			}
			order.Add("pushed")
			return nil
		},
	})
	for _, name := range []string{"one", "two"} {
		comps.Register(&apptest.Life{
			OnBeforeShutdown: func() {
				order.Add("BeforeShutdown " + name)
				if _, err := (*n).TCP.Dial(); err == nil {
					t.Error("a new client is taken while the hooks run")
				}
				say("onBye", name)
			},
			OnShutdown: func() {
				order.Add("Shutdown " + name)
				say("onEnd", name)
			},
		}, component.WithName(name))
	}
	return comps
}

// Queued pushes and what the hooks broadcast arrive, then the kick, then the
// end; OnClosed once each and after the hooks; no new clients from the first moment.
func TestShutdownDeliversTheLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order nanotest.Record
		g := nano.NewGroup("all")
		var n *apptest.Node
		n = apptest.New(talkative(t, &n, g, &order))
		n.Lifetime().OnClosed(func(s *session.Session) {
			order.Add(fmt.Sprint("closed ", s.ID()))
			if s.ID() != 4 && !g.ContainsSession(s) {
				t.Error("it has left the group before OnClosed")
			}
		})
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		clients := []*nanotest.Client{n.TCP.Client(t), n.WS.WebSocket(t), n.TCP.Client(t)}
		for _, c := range clients {
			c.Ready()
			if m := c.Call("A.Join", nil); string(m.Data) != "in" {
				t.Fatalf("join: %v %q", m, m.Data)
			}
		}
		waiting := n.TCP.Client(t) // has not finished its handshake
		synctest.Wait()
		clients[0].Notify("A.Push", nil)
		synctest.Wait() // the pushes are queued: nobody reads

		down := make(chan struct{})
		began := time.Now()
		go func() {
			n.Stop(t)
			close(down)
		}()
		for i, c := range clients {
			lastWords(t, i, c)
			c.Ended()
			c.Close()
		}
		waiting.Ended()
		<-down
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		inOrder(t, order.List())
		if g.Count() != 0 {
			t.Errorf("%d sessions are left in the group", g.Count())
		}
	})
}

// Whatever hangs, the node is down when its time is over, and says what was cut.
func TestShutdownKeepsItsDeadline(t *testing.T) {
	const limit = 3 * time.Second
	for _, c := range []struct {
		name string
		want string
		hang func(release chan struct{}) (*apptest.Life, func() error)
	}{
		{"a hook", "hooks", func(release chan struct{}) (*apptest.Life, func() error) {
			return &apptest.Life{OnBeforeShutdown: func() { <-release }}, nil
		}},
		{"a handler", "scheduler", func(release chan struct{}) (*apptest.Life, func() error) {
			return &apptest.Life{}, func() error { <-release; return nil }
		}},
		{"a client that does not read", "cut with output left", func(chan struct{}) (*apptest.Life, func() error) { return &apptest.Life{}, nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				hooks, handler := c.hang(release)
				closed := 0
				comps := apptest.Handlers(apptest.Funcs{
					"A.Do": func(_ context.Context, s *session.Session, _ []byte) error {
						if handler != nil {
							return handler()
						}
						return s.Push("onIt", make([]byte, 1000))
					},
				})
				comps.Register(hooks)
				n := apptest.New(comps, nano.WithFlushTimeout(time.Minute), nano.WithWriteTimeout(time.Minute))
				n.Lifetime().OnClosed(func(*session.Session) { closed++ })
				if err := n.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				cl := n.TCP.Client(t)
				cl.Ready()
				cl.Notify("A.Do", nil)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				began := time.Now()
				err := n.Shutdown(ctx)
				if took := time.Since(began); took != limit {
					t.Errorf("Shutdown took %v, the deadline is %v", took, limit)
				}
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Shutdown: %v, want %q in it", err, c.want)
				}
				if again := n.Shutdown(t.Context()); !errors.Is(again, context.DeadlineExceeded) {
					t.Errorf("Shutdown again: %v", again)
				}
				close(release)
				synctest.Wait()
				if closed != 1 {
					t.Errorf("OnClosed ran %d times", closed)
				}
				for _, p := range cl.Rest() { // the socket is closed
					if p.Type == codec.Handshake {
						t.Error("a handshake")
					}
				}
			})
		})
	}
}

// Run returns, whichever way it is told to end.
func TestRunEndsWhenTold(t *testing.T) {
	for name, end := range map[string]func(n *apptest.Node, cancel func(), c *nanotest.Client){
		"context": func(_ *apptest.Node, cancel func(), _ *nanotest.Client) { cancel() },
		"Quit":    func(n *apptest.Node, _ func(), _ *nanotest.Client) { n.Quit() },
		"Shutdown": func(n *apptest.Node, _ func(), _ *nanotest.Client) {
			go func() { _ = n.Shutdown(context.Background()) }()
		},
		"a handler": func(_ *apptest.Node, _ func(), c *nanotest.Client) { c.Notify("A.Quit", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n *apptest.Node
				n = apptest.New(apptest.Handlers(apptest.Funcs{
					"A.Quit": func(context.Context, *session.Session, []byte) error { n.Quit(); return nil },
				}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error)
				go func() { ended <- n.Run(ctx) }()
				c := n.TCP.Client(t)
				c.Ready()
				apptest.Pong(t, c)
				end(n, cancel, c)
				if reason := c.Kicked(); reason != "server shutdown" {
					t.Errorf("reason %q", reason)
				}
				c.Close()
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// Called by a handler, Shutdown waits for itself until its context ends, and no longer.
func TestShutdownFromAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *apptest.Node
		result := make(chan error, 1)
		n = apptest.New(apptest.Handlers(apptest.Funcs{
			"A.Down": func(context.Context, *session.Session, []byte) error {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				result <- n.Shutdown(ctx)
				return nil
			},
		}))
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := n.TCP.Client(t)
		c.Ready()
		c.Notify("A.Down", nil)
		c.Kicked()
		c.Close()
		if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// A second Shutdown has a deadline of its own.
func TestSecondShutdownKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		comps := new(component.Components)
		comps.Register(&apptest.Life{OnShutdown: func() { <-release }})
		n := apptest.New(comps)
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		go n.Stop(t)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		close(release)
	})
}

// With no time at all a node still goes down: connections are cut.
func TestShutdownWithoutTime(t *testing.T) {
	nanotest.Leaks(t)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 {
		app := nano.New("127.0.0.1:0", nano.WithComponents(apptest.Handlers(nil)), apptest.Quiet())
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := nanotest.Dial(t, app.Addr())
		c.Ready()
		apptest.Pong(t, c)
		if err := app.Shutdown(over); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		c.Rest()
		c.Close()
	}
}

func TestShutdownBeforeStart(t *testing.T) {
	app := nano.New("127.0.0.1:0", apptest.Quiet())
	apptest.Shutdown(t, app)
	if err := app.Run(context.Background()); err != nil {
		t.Errorf("Run after Shutdown ends at once: %v", err)
	}
	if app.Stats().Sessions != 0 || app.Session(1) != nil || len(app.SessionsOf(1)) != 0 || len(app.UIDs()) != 0 {
		t.Error("something lives")
	}
}
