package cluster_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Two gates are configured with the same node id. A master of ours refuses the second;
// one of the 0.5 series cannot, and then every player still sees only what is theirs.
func TestNodeIDOfTwoGatesIsRefused(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		f.Start(t, apptest.Master, apptest.Handlers(nil))
		f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithNodeId(7))
		n := f.Make("gate:2", apptest.Handlers(nil), nano.WithNodeId(7))
		if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "gate:1 has 7") {
			t.Errorf("the second starts: %v", err)
		}
		f.Start(t, "gate:3", apptest.Handlers(nil), nano.WithNodeId(8))
	})
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		newOld(t, f, apptest.Master)
		g1 := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithNodeId(7))
		g2 := f.Start(t, "gate:2", apptest.Handlers(apptest.SignIn()), nano.WithNodeId(7))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		closed := watch(b)
		synctest.Wait()
		one, two := g1.TCP.Client(t), g2.TCP.Client(t)
		one.Ready()
		two.Ready()
		apptest.Call(t, one, "Back.Bind", "1", "<nil>")
		apptest.Call(t, two, "Back.Bind", "2", "<nil>")
		if a, b := g1.Opened()[0], g2.Opened()[0]; a != b {
			t.Fatalf("the gates' ids %d and %d do not even collide", a, b)
		}
		apptest.Call(t, one, "Back.Who", "", "1 <nil> <nil> 192.0.2.2:40000")
		apptest.Call(t, two, "Back.Who", "", "2 <nil> <nil> 192.0.2.2:40000")
		one.Close()
		synctest.Wait()
		apptest.Call(t, two, "Back.Who", "", "2 <nil> <nil> 192.0.2.2:40000")
		if got := closed.list(); !slices.Equal(got, []string{"uid 1 name <nil>"}) {
			t.Errorf("OnClosed: %q", got)
		}
	})
}

// names has each backend say its own name.
func names(name string) apptest.Funcs {
	return apptest.Funcs{"Room.Name": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte(name)) }}
}

// A backend dies. Its players' requests fail within a second, then go to a living one;
// new players never notice for longer.
func TestDeadBackendCostsOneSecond(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithRouting(nano.RouteRoundRobin()))
		b1 := f.Start(t, "back:1", apptest.Handlers(names("1")))
		b2 := f.Start(t, "back:2", apptest.Handlers(names("2")))
		apptest.Meet(t, m, g, b1, b2)
		var clients []*nanotest.Client
		on := map[string]int{}
		for range 10 {
			c := g.TCP.Client(t)
			c.Ready(apptest.AcceptErrors)
			on[string(c.Call("Room.Name", nil).Data)]++
			clients = append(clients, c)
		}
		if on["1"] != 5 || on["2"] != 5 {
			t.Errorf("in turn they are at %v", on)
		}
		f.Kill("back:1")
		began := time.Now()
		var ids []uint64
		for _, c := range clients {
			ids = append(ids, c.Request("Room.Name", nil))
		}
		failed := 0
		for i, c := range clients {
			if m := c.Response(ids[i]); m.Err {
				failed++
			}
		}
		if took := time.Since(began); failed != 5 || took > time.Second {
			t.Errorf("%d failed, after %v", failed, took)
		}
		for _, c := range clients {
			apptest.Call(t, c, "Room.Name", "", "2")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("all are served again after %v", took)
		}
		for range 10 {
			c := g.TCP.Client(t)
			c.Ready(apptest.AcceptErrors)
			apptest.Call(t, c, "Room.Name", "", "2")
		}
	})
}

// A backend hangs. Others' calls go on as before, and closed players leave nothing
// that waits for it. When it goes on, it hears what has ended.
func TestHungBackendHoldsUpNobodyElse(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithRouting(nano.RouteRoundRobin()))
		b1 := f.Start(t, "back:1", apptest.Handlers(names("1")))
		b2 := f.Start(t, "back:2", apptest.Handlers(names("2")))
		closed := watch(b1)
		apptest.Meet(t, m, g, b1, b2)
		at := map[string]*nanotest.Client{}
		for range 2 {
			c := g.TCP.Client(t)
			c.Ready(apptest.AcceptErrors)
			at[string(c.Call("Room.Name", nil).Data)] = c
		}
		f.Freeze("back:1")
		at["1"].Request("Room.Name", nil)
		began := time.Now()
		for range 100 {
			apptest.Call(t, at["2"], "Room.Name", "", "2")
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the others waited %v", took)
		}
		at["1"].Close()
		synctest.Wait()
		if s := g.Stats(); s.Sessions != 1 || s.Connections != 1 {
			t.Errorf("%d sessions and %d connections for 1 client", s.Sessions, s.Connections)
		}
		time.Sleep(time.Second)
		f.Thaw("back:1")
		synctest.Wait()
		if got := closed.list(); len(got) != 1 {
			t.Errorf("OnClosed: %q", got)
		}
	})
}

// A backend hangs until it is dropped from the list: a request that it has gets an answer.
func TestHungBackendsRequestsAreAnswered(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b1 := f.Start(t, "back:1", apptest.Handlers(names("1")))
		closed := watch(b1)
		apptest.Meet(t, m, g, b1)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Room.Name", "", "1")
		f.Freeze("back:1")
		id := c.Request("Room.Name", nil)
		began := time.Now()
		if m := c.Response(id); !m.Err {
			t.Errorf("answer %v", m)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
		c.Close()
		f.Thaw("back:1")
		apptest.Meet(t, m, g, b1)
		nanotest.Until(t, "the backend has closed what it had", func() bool { return len(closed.list()) == 1 })
		c = g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Room.Name", "", "1")
	})
}

// A gate hangs and then dies. The others' players are served as before, and its own sessions
// close once.
func TestHungOrDeadGateCostsOnlyItsPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g1 := f.Start(t, "gate:1", apptest.Handlers(nil))
		g2 := f.Start(t, "gate:2", apptest.Handlers(nil))
		room := nano.NewGroup("room")
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Room.Say": func(_ context.Context, s *session.Session, data []byte) error {
			if !room.ContainsSession(s) {
				if err := room.Add(s); err != nil {
					return err
				}
			}
			return room.Broadcast("said", data)
		}}))
		closed := watch(b)
		apptest.Meet(t, m, g1, g2, b)
		one, two := g1.TCP.Client(t), g2.TCP.Client(t)
		two.Beats = true
		one.Ready()
		two.Ready()
		one.Notify("Room.Say", []byte("here"))
		one.Push("said")
		f.Freeze("gate:1")
		began := time.Now()
		for i := range 1000 {
			two.Notify("Room.Say", fmt.Append(nil, i))
			if got := two.Push("said"); string(got) != fmt.Sprint(i) {
				t.Fatalf("said %q", got)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the others waited %v", took)
		}
		f.Kill("gate:1")
		f.Thaw("gate:1")
		nanotest.Until(t, "the dead gate's session has ended", func() bool {
			apptest.Pong(t, two)
			return len(closed.list()) > 0
		})
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it took %v", took)
		}
		two.Notify("Room.Say", []byte("still"))
		two.Push("said")
		if room.Count() != 1 || len(closed.list()) != 1 {
			t.Errorf("%d in the room, OnClosed %q", room.Count(), closed.list())
		}
	})
}

// A broadcast to 1,000 members behind 3 gates is 3 frames.
func TestBroadcastIsOneFrameForEachGate(t *testing.T) {
	const n = 1000
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		gates := []*apptest.Node{f.Start(t, "gate:1", apptest.Handlers(nil)), f.Start(t, "gate:2", apptest.Handlers(nil)), f.Start(t, "gate:3", apptest.Handlers(nil))}
		room := nano.NewGroup("room")
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
			"Room.Join": func(_ context.Context, s *session.Session, _ []byte) error { return room.Add(s) },
		}))
		apptest.Meet(t, m, gates[0], gates[1], gates[2], b)
		got := make(chan error, n)
		var clients []*nanotest.Client
		for i := range n {
			c := gates[i%3].TCP.Client(t)
			c.Ready()
			c.Notify("Room.Join", nil)
			clients = append(clients, c)
			go func() {
				for i := range 3 {
					m, err := c.NextMessage()
					if err == nil && string(m.Data) != fmt.Sprint(i) {
						err = fmt.Errorf("%v %q", m, m.Data)
					}
					if err != nil {
						got <- err
						return
					}
				}
				got <- nil
			}()
		}
		synctest.Wait()
		if room.Count() != n {
			t.Fatalf("%d members", room.Count())
		}
		if err := room.Broadcast("to", []byte("0")); err != nil {
			t.Error(err)
		}
		if err := room.Multicast("to", []byte("1"), func(*session.Session) bool { return true }); err != nil {
			t.Error(err)
		}
		b.Scheduler().PushTask(func() { // in a handler, too
			if err := room.Broadcast("to", []byte("2")); err != nil {
				t.Error(err)
			}
		})
		for range clients {
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
		if sent := f.Sent("Multicast"); sent != 9 {
			t.Errorf("3 broadcasts were %d frames", sent)
		}
		if sent := f.Sent("Push"); sent != 0 {
			t.Errorf("and %d pushes", sent)
		}
	})
}

// agree waits until these nodes have the same view, which must be soon, and nothing else.
func agree(t *testing.T, within time.Duration, nodes ...*apptest.Node) {
	t.Helper()
	began := time.Now()
	nanotest.Until(t, "all views are equal", func() bool {
		for _, n := range nodes {
			want := []string{}
			for _, o := range nodes {
				if o != n {
					want = append(want, o.Addr)
				}
			}
			slices.Sort(want)
			if !slices.Equal(apptest.Members(n), want) {
				return false
			}
		}
		return true
	})
	if took := time.Since(began); took > within {
		t.Errorf("the views were equal after %v", took)
	}
}

// The heartbeat is 1 s.
func TestMembersAgreeInTheEnd(t *testing.T) {
	const within = 5 * time.Second
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b1 := f.Start(t, "back:1", apptest.Handlers(names("1")))
		b2 := f.Start(t, "back:2", apptest.Handlers(names("2")))
		b3 := f.Start(t, "back:3", apptest.Handlers(names("3")))
		agree(t, time.Second, m, g, b1, b2, b3)
		serves := func(want ...string) {
			t.Helper()
			nanotest.Until(t, "players are served", func() bool {
				c := g.TCP.Client(t)
				c.Beats = true
				c.Ready(apptest.AcceptErrors)
				defer c.Close()
				m := c.Call("Room.Name", nil)
				return !m.Err && slices.Contains(want, string(m.Data))
			})
		}

		// Two nodes die together, and a join does not wait for them.
		f.Kill("back:1", "back:2")
		began := time.Now()
		b4 := f.Start(t, "back:4", apptest.Handlers(names("4")))
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("joining took %v", took)
		}
		agree(t, within, m, g, b3, b4)
		serves("3", "4")

		// They come back on their addresses as other processes.
		c1 := f.Start(t, "back:1", apptest.Handlers(names("1")))
		c2 := f.Start(t, "back:2", apptest.Handlers(names("2")))
		agree(t, time.Second, m, g, b3, b4, c1, c2)

		// One is started again at its address before anybody has missed it.
		f.Kill("back:1")
		c1 = f.Start(t, "back:1", apptest.Handlers(names("1 again")))
		agree(t, time.Second, m, g, b3, b4, c1, c2)
		serves("1 again")

		// The master is started again while another joins.
		f.Kill(apptest.Master)
		joins := f.Make("back:5", apptest.Handlers(names("5")))
		joined := make(chan error, 1)
		go func() { joined <- joins.Start(t.Context()) }()
		time.Sleep(2 * time.Second)
		serves("3")
		m = f.Start(t, apptest.Master, apptest.Handlers(nil))
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { joins.Stop(t) })
		agree(t, within, m, g, b3, b4, c1, c2, joins)

		// One is paused for 7 s and comes back.
		f.Freeze("back:3")
		agree(t, within, m, g, b4, c1, c2, joins)
		time.Sleep(2 * time.Second)
		f.Thaw("back:3")
		agree(t, within, m, g, b3, b4, c1, c2, joins)
		serves("3")

		// So is the master.
		f.Freeze(apptest.Master)
		time.Sleep(7 * time.Second)
		serves("4")
		f.Thaw(apptest.Master)
		agree(t, within, m, g, b3, b4, c1, c2, joins)
		serves("5")
	})
}

// A gate is paused for so long that it is dropped. When it goes on its players, who
// never noticed, are known again as who they are.
func TestPausedGateKeepsItsPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithHeartbeatInterval(time.Second))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Bind(t, c, "7", "<nil>")
		apptest.Call(t, c, "Back.Who", "", "7 <nil> <nil> 192.0.2.2:40000")
		synctest.Wait()
		f.Freeze("gate:1")
		for range 7 {
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		if got := closed.list(); len(got) != 1 || b.Online(7) {
			t.Errorf("OnClosed: %q; the user is online there: %v", got, b.Online(7))
		}
		f.Thaw("gate:1")
		apptest.Meet(t, m, g, b)
		nanotest.Until(t, "the backend serves the player again", func() bool {
			apptest.Pong(t, c)
			m := c.Call("Back.Who", nil)
			return !m.Err
		})
		nanotest.Until(t, "the backend knows that the user is online", func() bool { return b.Online(7) && m.Online(7) })
		apptest.Call(t, c, "Back.Who", "", "7 <nil> <nil> 192.0.2.2:40000")
		c.Close()
		synctest.Wait()
		if got := closed.list(); len(got) != 2 || b.Online(7) {
			t.Errorf("OnClosed: %q; the user is online there: %v", got, b.Online(7))
		}
	})
}

// Thousands of notifies from gate to backend and pushes back are in order, also while the
// connections below the links break.
func TestMessagesBetweenNodesKeepTheirOrder(t *testing.T) {
	const n = 5000
	for _, cuts := range []int{0, 5} {
		t.Run(strconv.Itoa(cuts)+" cuts", func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(nil))
				next := 0
				b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Say": func(_ context.Context, s *session.Session, data []byte) error {
					if i := int(binary.BigEndian.Uint32(data)); i != next {
						t.Errorf("notify %d came, want %d", i, next)
					}
					next++
					return s.Push("said", data)
				}}))
				apptest.Meet(t, m, g, b)
				c := g.TCP.Client(t)
				c.Ready()
				go func() {
					for i := range n {
						c.Notify("Back.Say", apptest.Number(i))
						if cuts > 0 && i%(n/cuts) == n/cuts/2 {
							f.Cut([]string{"back:1", "gate:1"}[i/(n/cuts)%2])
						}
					}
				}()
				for i := range n {
					if got := c.Push("said"); int(binary.BigEndian.Uint32(got)) != i {
						t.Fatalf("push %d came, want %d", binary.BigEndian.Uint32(got), i)
					}
				}
			})
		})
	}
}
