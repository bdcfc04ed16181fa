package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A backend that is told to end answers what it was asked, its hooks' broadcast
// arrives, and its players go on at another.
func TestStoppingBackendAnswersWhatItWasAsked(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		room := nano.NewGroup("room")
		cs := apptest.Handlers(apptest.Funcs{
			"Back.Join": func(_ context.Context, s *session.Session, _ []byte) error {
				if err := room.Add(s); err != nil {
					return err
				}
				return s.Response([]byte("joined"))
			},
			"Back.Slow": func(_ context.Context, s *session.Session, data []byte) error {
				time.Sleep(100 * time.Millisecond)
				return s.Response(data)
			},
		})
		var hooks []string
		cs.Register(&apptest.Life{
			OnBeforeShutdown: func() { hooks = append(hooks, "before"); _ = room.Broadcast("notice", []byte("we close")) },
			OnShutdown:       func() { hooks = append(hooks, "shutdown"); _ = room.Broadcast("notice", []byte("bye")) },
		})
		b := f.Start(t, "back:1", cs)
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Join", "", "joined")
		for i := range 5 {
			c.Request("Back.Slow", fmt.Append(nil, i))
		}
		synctest.Wait()
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b.Stop(t)
		}()
		answers, notices := 0, []string{}
		for range 7 {
			switch m := c.Message(); {
			case m.Route == "notice":
				notices = append(notices, string(m.Data))
			case m.Err:
				t.Errorf("answer %q", m.Data)
			default:
				answers++
			}
		}
		<-stopped
		if answers != 5 || !slices.Equal(notices, []string{"we close", "bye"}) || !slices.Equal(hooks, []string{"before", "shutdown"}) {
			t.Errorf("%d answers, notices %q, hooks %q", answers, notices, hooks)
		}
		if got := closed.list(); len(got) != 1 {
			t.Errorf("OnClosed: %q", got)
		}
		if m := c.Call("Back.Join", nil); !m.Err {
			t.Errorf("answer %v", m)
		}
		next := f.Start(t, "back:2", apptest.Handlers(backend(nil)))
		apptest.Meet(t, m, g, next)
		apptest.Call(t, c, "Back.Echo", "x", "x")
	})
}

// Its players are told, and their sessions end on every backend.
func TestStoppingGateTellsItsPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		atGate, atBack := watch(g), watch(b)
		apptest.Meet(t, m, g, b)
		var clients []*nanotest.Client
		for range 10 {
			c := g.TCP.Client(t)
			c.Ready()
			apptest.Call(t, c, "Back.Echo", "x", "x")
			clients = append(clients, c)
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			g.Stop(t)
		}()
		for _, c := range clients {
			if reason := c.Kicked(); reason != "server shutdown" {
				t.Errorf("kicked because of %q", reason)
			}
			c.Close()
		}
		<-stopped
		synctest.Wait()
		if a, b := atGate.list(), atBack.list(); len(a) != 10 || len(b) != 10 {
			t.Errorf("OnClosed %d times on the gate, %d times on the backend", len(a), len(b))
		}
		if got := apptest.Members(b); !slices.Equal(got, []string{apptest.Master}) {
			t.Errorf("the backend knows %v", got)
		}
	})
}

// After thousands of connects and closes no session is left on any node, and OnClosed
// ran once wherever OnOpened did. The bubble sees that no goroutine is left.
func TestNothingIsLeftOnBackends(t *testing.T) {
	const n = 1000
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		nodes := []*apptest.Node{m,
			f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn())), f.Start(t, "gate:2", apptest.Handlers(apptest.SignIn())),
			f.Start(t, "back:1", apptest.Handlers(backend(nil))), f.Start(t, "back:2", apptest.Handlers(backend(nil))),
			f.Start(t, "back:3", apptest.Handlers(apptest.Funcs{"Other.Echo": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) }})),
		}
		var closed []*ends
		for _, n := range nodes {
			closed = append(closed, watch(n))
		}
		apptest.Meet(t, nodes...)
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := range n / 4 {
					c := nodes[1+i%2].TCP.Client(t)
					c.Ready()
					c.Notify("A.Bind", fmt.Append(nil, 1+w*n+i))
					c.Request("Back.Echo", []byte("x"))
					if i%3 > 0 {
						c.Notify("Other.Echo", nil)
					}
					if i%3 > 1 {
						c.Message()
					}
					c.Close()
				}
			})
		}
		all.Wait()
		time.Sleep(2 * time.Second)
		for i, node := range nodes {
			opened, ended := len(node.Opened()), len(closed[i].list())
			if opened != ended {
				t.Errorf("%s: opened %d, closed %d", node.Addr, opened, ended)
			}
			if s := node.Stats(); s.Sessions != 0 || s.Connections != 0 {
				t.Errorf("%s: left %d sessions, %d connections", node.Addr, s.Sessions, s.Connections)
			}
			if uids := node.OnlineUIDs(); len(uids) != 0 {
				t.Errorf("%s: %d users left", node.Addr, len(uids))
			}
			unique := node.Opened()
			slices.Sort(unique)
			if len(slices.Compact(unique)) != opened {
				t.Errorf("%s has opened a session twice", node.Addr)
			}
		}
		if got := len(nodes[1].Opened()) + len(nodes[2].Opened()); got != n {
			t.Errorf("%d sessions at the gates, want %d", got, n)
		}
	})
}
