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

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// rooms starts a master, a gate with these options and three backends that say their name.
func rooms(t *testing.T, f *apptest.Cluster, opts ...nano.Option) (g *apptest.Node, all []*apptest.Node) {
	t.Helper()
	all = []*apptest.Node{f.Start(t, apptest.Master, apptest.Handlers(nil))}
	g = f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), opts...)
	all = append(all, g)
	for i := range 3 {
		name := fmt.Sprint(i + 1)
		all = append(all, f.Start(t, "back:"+name, apptest.Handlers(names(name)), nano.WithLabel("room "+name)))
	}
	apptest.Meet(t, all...)
	return g, all
}

// enter connects a player and returns which backend serves them, asked three times.
func enter(t *testing.T, g *apptest.Node) (*nanotest.Client, string) {
	t.Helper()
	c := g.TCP.Client(t)
	c.Ready(apptest.AcceptErrors)
	name := string(c.Call("Room.Name", nil).Data)
	for range 2 {
		apptest.Call(t, c, "Room.Name", "", name) // sticky
	}
	return c, name
}

// Where a new player goes is the policy's choice, and there they stay.
func TestRoutingPolicyChoosesTheBackend(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy cluster.Routing
		counts func(at map[string]int) bool // of 30 players
	}{
		{"default", nil, func(at map[string]int) bool { return len(at) == 3 }},
		{"random", nano.RouteRandom(), func(at map[string]int) bool { return len(at) == 3 }},
		{"round robin", nano.RouteRoundRobin(), func(at map[string]int) bool { return at["1"] == 10 && at["2"] == 10 && at["3"] == 10 }},
		{"least sessions", nano.RouteLeastSessions(), func(at map[string]int) bool { return at["1"] == 10 && at["2"] == 10 && at["3"] == 10 }},
		{"hash", nano.RouteHash(func(*session.Session) string { return "lobby" }), func(at map[string]int) bool { return len(at) == 1 }},
		{"of the application", func(_ string, _ *session.Session, c []cluster.Candidate) int {
			return slices.IndexFunc(c, func(c cluster.Candidate) bool { return c.Label == "room 2" })
		}, func(at map[string]int) bool { return at["2"] == 30 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				g, _ := rooms(t, f, nano.WithRouting(c.policy))
				at := map[string]int{}
				for range 30 {
					_, name := enter(t, g)
					at[name]++
				}
				if !c.counts(at) {
					t.Errorf("the players are at %v", at)
				}
			})
		})
	}
}

// Least sessions counts those who are there now, not those who were once.
func TestLeastSessionsForgetsWhoLeft(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		g, _ := rooms(t, f, nano.WithRouting(nano.RouteLeastSessions()))
		at := map[string][]*nanotest.Client{}
		for range 9 {
			c, name := enter(t, g)
			at[name] = append(at[name], c)
		}
		for _, c := range at["2"] {
			c.Close()
		}
		synctest.Wait()
		for range 3 {
			if _, name := enter(t, g); name != "2" {
				t.Errorf("the next went to %s", name)
			}
		}
	})
}

// A backend that hands its players on, by RPC, spreads them like a gate does, and forgets those who
// have left. One node would have them all.
func TestLeastSessionsOfABackend(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		all := []*apptest.Node{f.Start(t, apptest.Master, apptest.Handlers(nil)), f.Start(t, "gate:1", apptest.Handlers(nil))}
		all = append(all, f.Start(t, "back:0", apptest.Handlers(apptest.Funcs{"Lobby.Enter": func(_ context.Context, s *session.Session, _ []byte) error {
			return s.RPC("Room.Enter", nil)
		}}), nano.WithRouting(nano.RouteLeastSessions())))
		for i := range 3 {
			name := fmt.Sprint(i + 1)
			all = append(all, f.Start(t, "back:"+name, apptest.Handlers(apptest.Funcs{"Room.Enter": func(_ context.Context, s *session.Session, _ []byte) error {
				return s.Push("at", []byte(name))
			}})))
		}
		apptest.Meet(t, all...)
		at := map[string][]*nanotest.Client{}
		enter := func() {
			c := all[1].TCP.Client(t)
			c.Ready()
			for range 2 { // sticky, and counted once
				c.Notify("Lobby.Enter", nil)
				c.Message()
			}
			c.Notify("Lobby.Enter", nil)
			name := string(c.Message().Data)
			at[name] = append(at[name], c)
		}
		for range 9 {
			enter()
		}
		for _, c := range at["2"] {
			c.Close()
		}
		synctest.Wait()
		for range 3 {
			enter()
		}
		if len(at["1"]) != 3 || len(at["2"]) != 6 || len(at["3"]) != 3 {
			t.Errorf("players went to %d, %d and %d", len(at["1"]), len(at["2"]), len(at["3"]))
		}
	})
}

// The application's function sees the members that run the service, and what goes wrong in it costs
// one message.
func TestRouteFunctionSeesTheMembers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		choose := "room 3"
		g, _ := rooms(t, f, nano.WithCustomerRemoteServiceRoute(func(service string, s *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo {
			if service != "Room" || len(members) != 3 || s == nil {
				t.Errorf("asked for %s of %v", service, members)
			}
			switch choose {
			case "panic":
				panic("secret")
			case "stranger":
				return &clusterpb.MemberInfo{ServiceAddr: "nowhere:1"}
			}
			i := slices.IndexFunc(members, func(m *clusterpb.MemberInfo) bool { return m.GetLabel() == choose })
			if i < 0 {
				return nil
			}
			return members[i]
		}))
		if _, name := enter(t, g); name != "3" {
			t.Errorf("at %s", name)
		}
		for _, choose = range []string{"panic", "stranger", "nobody"} {
			c := g.TCP.Client(t)
			c.Ready(apptest.AcceptErrors)
			if m := c.Call("Room.Name", nil); !m.Err || strings.Contains(string(m.Data), "secret") {
				t.Errorf("%s: answer %v %q", choose, m, m.Data)
			}
			choose = "room 1"
			apptest.Call(t, c, "Room.Name", "", "1")
		}
	})
}

// Router().Bind sends a player elsewhere, Delete lets the policy choose again, and a route to a
// node that left is none.
func TestRouterBindSendsAPlayerElsewhere(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		g, all := rooms(t, f, nano.WithRouting(nano.RouteHash(func(*session.Session) string { return "lobby" })))
		c, home := enter(t, g)
		s := g.Session(g.Opened()[0])
		away := map[string]string{"1": "2", "2": "3", "3": "1"}[home]
		s.Router().Bind("Room", "back:"+away)
		apptest.Call(t, c, "Room.Name", "", away)
		if addr, ok := s.Router().Find("Room"); !ok || addr != "back:"+away {
			t.Errorf("bound to %q", addr)
		}
		s.Router().Delete("Room")
		apptest.Call(t, c, "Room.Name", "", home)
		s.Router().Bind("Room", "nowhere:1")
		apptest.Call(t, c, "Room.Name", "", home)
		s.Router().Bind("Room", "back:"+away)
		for _, n := range all {
			if n.Addr == "back:"+away {
				n.Stop(t)
			}
		}
		synctest.Wait()
		apptest.Call(t, c, "Room.Name", "", home)
	})
}

// What Router().Find says holds now: a node that has left, or cannot be reached, is not in it, on
// gates and on backends, for sessions that have said nothing since. An application that asks where
// a player's room is would wait for a dead node.
func TestRouterFindsNoDeadNode(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		g, all := rooms(t, f)
		var inLobby *session.Session
		lobby := f.Start(t, "back:0", apptest.Handlers(apptest.Funcs{"Lobby.Enter": func(_ context.Context, s *session.Session, _ []byte) error {
			inLobby = s
			return errors.Join(s.RPC("Room.Name", nil), s.Response(nil))
		}}))
		apptest.Meet(t, append(all, lobby)...)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		c.Call("Lobby.Enter", nil)
		synctest.Wait()
		routers := map[string]*session.Router{"gate": g.Session(g.Opened()[0]).Router(), "backend": inLobby.Router()}
		expect := func(when, want string) {
			t.Helper()
			synctest.Wait()
			for where, r := range routers {
				if addr, ok := r.Find("Room"); addr != want || ok != (want != "") {
					t.Errorf("%s: on the %s the room is at %q, want %q", when, where, addr, want)
				}
			}
		}
		move := func(addr string) {
			for _, r := range routers {
				r.Bind("Room", addr)
			}
		}
		move("back:1")
		expect("at first", "back:1")
		f.Kill("back:1")
		time.Sleep(time.Second)
		expect("the node has crashed", "")
		f.Revive("back:1")
		time.Sleep(2 * time.Second)
		expect("it can be reached again", "back:1")
		move("back:2")
		expect("moved", "back:2")
		for _, n := range all {
			if n.Addr == "back:2" {
				n.Stop(t)
			}
		}
		expect("the node has left", "")
		move("nowhere:1")
		expect("bound to nowhere", "")
		move(apptest.Master)
		expect("bound to a node that does not run the service", "")
	})
}

// A route that no backend has is an answer, not a message that goes round between two of them for
// good.
func TestUnknownRouteDoesNotGoRound(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		g, all := rooms(t, f)
		c, _ := enter(t, g)
		m := c.Call("Room.None", nil)
		if !m.Err || !strings.Contains(string(m.Data), "not_found") {
			t.Errorf("answer %v %q", m, m.Data)
		}
		c.Notify("Room.None", nil)
		synctest.Wait()
		for _, n := range all[2:] {
			if _, err := nano.Call[string](n.Context(t.Context()), "Ping.None", nil); err == nil || !strings.Contains(err.Error(), "not_found") {
				t.Errorf("call: %v", err)
			}
		}
	})
}

// A node that drains gets no new players; those it has stay until it ends.
func TestDrainingNodeGetsNoNewPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithRouting(nano.RouteRoundRobin()))
		wait := make(chan struct{})
		cs := apptest.Handlers(names("1"))
		cs.Register(&apptest.Life{OnBeforeShutdown: func() { <-wait }})
		b1 := f.Start(t, "back:1", cs)
		b2 := f.Start(t, "back:2", apptest.Handlers(names("2")))
		apptest.Meet(t, m, g, b1, b2)
		at := map[string]*nanotest.Client{}
		for range 2 {
			c, name := enter(t, g)
			at[name] = c
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b1.Stop(t)
		}()
		synctest.Wait()
		apptest.Call(t, at["1"], "Room.Name", "", "1")
		for range 4 {
			if _, name := enter(t, g); name != "2" {
				t.Errorf("a new player is at %s", name)
			}
		}
		close(wait)
		<-stopped
		synctest.Wait()
		apptest.Call(t, at["1"], "Room.Name", "", "2")
	})
}

// A node whose components take long to begin is in the list, but gets no players before it is
// ready: they would wait.
func TestStartingNodeGetsNoPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithRouting(nano.RouteRoundRobin()))
		ready := make(chan struct{})
		cs := apptest.Handlers(names("2"))
		cs.Register(&apptest.Life{OnInit: func() { <-ready }})
		slow := f.Make("back:2", cs)
		started := make(chan error, 1)
		go func() { started <- slow.Start(t.Context()) }()
		release := sync.OnceFunc(func() { close(ready) })
		t.Cleanup(func() {
			release()
			slow.Stop(t)
		})
		apptest.Meet(t, m, g, slow)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		if !outcome(t, c, c.Request("Room.Name", nil), time.Second) {
			t.Fatal("a node that starts is asked")
		}
		f.Start(t, "back:1", apptest.Handlers(names("1")))
		synctest.Wait()
		for range 4 {
			if _, name := enter(t, g); name != "1" {
				t.Errorf("a new player is at %s", name)
			}
		}
		release()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		at := map[string]int{}
		for range 4 {
			_, name := enter(t, g)
			at[name]++
		}
		if at["1"] != 2 || at["2"] != 2 {
			t.Errorf("when it is ready, players are at %v", at)
		}
	})
}

// Session ids differ between all nodes, and between the runs of one.
func TestSessionIDsDifferBetweenNodes(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		seen := map[int64]string{}
		open := func(n *apptest.Node) {
			t.Helper()
			for range 3 {
				n.TCP.Client(t).Ready()
			}
			synctest.Wait()
			for _, id := range n.Opened() {
				if was, ok := seen[id]; ok {
					t.Errorf("%s gives the id %d, as %s did", n.Addr, id, was)
				}
				seen[id] = n.Addr
			}
		}
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		open(m)
		for i := range 5 {
			open(f.Start(t, fmt.Sprintf("gate:%d", i), apptest.Handlers(nil)))
		}
		open(f.Start(t, "gate:fixed", apptest.Handlers(nil), nano.WithNodeId(40000)))
		for range 3 {
			g := f.Make("gate:again", apptest.Handlers(nil))
			if err := g.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			open(g)
			g.Stop(t)
		}
	})
}

// A function that chooses backends and panics for one session costs that message: the gate serves
// on.
func TestPanicOfARouteFunctionCostsOneMessage(t *testing.T) {
	victim := func(s *session.Session) bool { return s.HasKey("victim") }
	for name, opt := range map[string]nano.Option{
		"the application's function": nano.WithCustomerRemoteServiceRoute(func(_ string, s *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo {
			if victim(s) {
				panic("route")
			}
			return members[0]
		}),
		"a policy": nano.WithRouting(func(_ string, s *session.Session, _ []cluster.Candidate) int {
			if victim(s) {
				panic("route")
			}
			return 0
		}),
	} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{
					"Gate.Mark": func(_ context.Context, s *session.Session, _ []byte) error {
						s.Set("victim", true)
						return s.Response([]byte("marked"))
					},
				}), opt)
				b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
					"Back.Echo": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) },
				}))
				apptest.Meet(t, m, g, b)
				c, neighbour := g.TCP.Client(t), g.TCP.Client(t)
				c.Ready(apptest.AcceptErrors)
				neighbour.Ready()
				c.Call("Gate.Mark", nil)
				if m := c.Call("Back.Echo", []byte("x")); !m.Err || !strings.Contains(string(m.Data), component.CodeInternal) {
					t.Errorf("answered with %v %q", m, m.Data)
				}
				apptest.Pong(t, c)
				if m := neighbour.Call("Back.Echo", []byte("y")); string(m.Data) != "y" {
					t.Errorf("the neighbour: %v %q", m, m.Data)
				}
				if !g.Log.Has("message failed", "panicked: route") {
					t.Errorf("the log: %q", g.Log.Lines("ERROR"))
				}
			})
		})
	}
}
