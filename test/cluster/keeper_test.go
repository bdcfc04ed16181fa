package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/test/internal/apptest"
)

// A cluster without a master: its nodes find each other by another engine's list, which nobody of
// them keeps.
func TestKeeper(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		table := newTable()
		g, _ := table.start(t, f, "gate:1", apptest.Handlers(apptest.SignIn()))
		b1, k1 := table.start(t, f, "back:1", apptest.Handlers(names("1")))
		b2, _ := table.start(t, f, "back:2", apptest.Handlers(names("2")))
		apptest.Meet(t, g, b1, b2)
		time.Sleep(time.Second) // until all are known to work
		ids := map[uint64]int{1: 1, 2: 1, 3: 1}
		if got := table.ids(); fmt.Sprint(got) != fmt.Sprint(ids) {
			t.Errorf("node ids %v", got)
		}
		at := map[string]int{}
		for range 40 {
			_, name := enter(t, g)
			at[name]++
		}
		if at["1"] == 0 || at["2"] == 0 {
			t.Errorf("players are at %v", at)
		}
		if id := g.Opened()[0]; id>>(64-16-1) == 0 {
			t.Errorf("the session id %d has no node id in it", id)
		}

		// One dies, and is dropped.
		f.Kill("back:1")
		k1.die()
		agree(t, 4*time.Second, g, b2)
		for range 4 {
			if _, name := enter(t, g); name != "2" {
				t.Errorf("a new player is at %s", name)
			}
		}
		// It comes back as another process, and once more before it was missed.
		c1, k1 := table.start(t, f, "back:1", apptest.Handlers(names("1 again")))
		agree(t, time.Second, g, b2, c1)
		f.Kill("back:1")
		k1.die()
		d1, _ := table.start(t, f, "back:1", apptest.Handlers(names("1 anew")))
		agree(t, time.Second, g, b2, d1)
		nanotest.Until(t, "the newest process is asked", func() bool {
			c := g.TCP.Client(t)
			c.Ready(apptest.AcceptErrors)
			return string(c.Call("Room.Name", nil).Data) == "1 anew" // at first it cannot be reached
		})
		for id, n := range table.ids() {
			if n != 1 {
				t.Errorf("%d nodes have the id %d", n, id)
			}
		}
		// It leaves, which all know at once, not only when its time is over.
		d1.Stop(t)
		agree(t, time.Second, g, b2)
	})
}

// The engine is away for a while: players notice nothing, whoever cannot be reached is asked no
// more, and what has changed meanwhile is made good.
func TestKeeperIsAway(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		table := newTable()
		g, _ := table.start(t, f, "gate:1", apptest.Handlers(apptest.SignIn()))
		b1, _ := table.start(t, f, "back:1", apptest.Handlers(backend(nil)))
		b2, _ := table.start(t, f, "back:2", apptest.Handlers(nil))
		closed := watch(b1)
		apptest.Meet(t, g, b1, b2)
		time.Sleep(time.Second)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Bind(t, c, "7", "<nil>")
		table.setAway(true)
		late, _ := table.make(f, "back:3", apptest.Handlers(nil))
		started := make(chan error, 1)
		go func() { started <- late.Start(t.Context()) }()
		for i := range 20 {
			apptest.Call(t, c, "Back.Who", "", "7 <nil> <nil> 192.0.2.2:40000")
			if i == 10 {
				b2.Stop(t)
			}
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		if got := apptest.Members(g); !slices.Equal(got, []string{"back:1", "back:2"}) || !b1.Online(7) || len(closed.list()) != 0 {
			t.Errorf("the gate knows %v; the user is online: %v; OnClosed: %v", got, b1.Online(7), closed.list())
		}
		table.setAway(false)
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { late.Stop(t) })
		for range 4 {
			time.Sleep(time.Second)
			apptest.Call(t, c, "Back.Who", "", "7 <nil> <nil> 192.0.2.2:40000")
		}
		agree(t, 0, g, b1, late)
	})
}

// The list is told what a node is up to: one that has just started, while the engine is away, is
// used as soon as the list can say that it works, and one that drains gets no new players.
func TestKeeperIsToldStates(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		table := newTable()
		g, _ := table.start(t, f, "gate:1", apptest.Handlers(nil))
		cs := apptest.Handlers(names("1"))
		cs.Register(&apptest.Life{OnInit: func() { table.setAway(true) }})
		b, _ := table.start(t, f, "back:1", cs, func(o *cluster.Options) { o.RetryInterval = time.Second })
		time.Sleep(5 * time.Second)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		if !outcome(t, c, c.Request("Room.Name", nil), time.Second) {
			t.Error("a node is asked of which nobody knows that it works")
		}
		table.setAway(false)
		apptest.Meet(t, g, b)
		time.Sleep(2 * time.Second)
		enter(t, g)

		wait := make(chan struct{})
		cs = apptest.Handlers(names("2"))
		cs.Register(&apptest.Life{OnBeforeShutdown: func() { <-wait }})
		b2, _ := table.start(t, f, "back:2", cs)
		time.Sleep(time.Second)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b2.Stop(t)
		}()
		time.Sleep(time.Second)
		for range 10 {
			if _, name := enter(t, g); name != "1" {
				t.Errorf("a new player is at %s", name)
			}
		}
		close(wait)
		<-stopped
	})
}

// A gate was silent for so long that the list has dropped it, and is back: its players are known
// again as who they are.
func TestKeeperDropsWhoIsSilent(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		table := newTable()
		g, k := table.start(t, f, "gate:1", apptest.Handlers(apptest.SignIn()))
		b, _ := table.start(t, f, "back:1", apptest.Handlers(backend(nil)))
		closed := watch(b)
		apptest.Meet(t, g, b)
		time.Sleep(time.Second)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Bind(t, c, "7", "<nil>")
		apptest.Call(t, c, "Back.Echo", "x", "x")
		k.setSilent(true)
		for range 6 {
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		if got := apptest.Members(b); len(got) != 0 || !b.Online(7) || len(closed.list()) != 0 {
			t.Errorf("the backend knows %v; the user is online: %v; OnClosed: %v", got, b.Online(7), closed.list())
		}
		k.setSilent(false)
		for range 3 {
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		apptest.Call(t, c, "Back.Who", "", "7 <nil> <nil> 192.0.2.2:40000")
		if got := apptest.Members(b); len(got) != 1 {
			t.Errorf("the backend knows %v after the gate is in the list again", got)
		}
	})
}

// What a Keeper refuses ends the start, and nothing is left; and so does who starts a node and
// changes their mind.
func TestKeeperStart(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		table := newTable()
		g, _ := table.start(t, f, "gate:1", apptest.Handlers(nil), nano.WithNodeId(7))
		n, _ := table.make(f, "gate:2", apptest.Handlers(nil), nano.WithNodeId(7))
		if err := n.Start(t.Context()); !errors.Is(err, keeper.ErrNodeIDTaken) || !strings.Contains(err.Error(), "gate:1") {
			t.Errorf("a second node with the same id: %v", err)
		}
		n, k := table.make(f, "gate:2", apptest.Handlers(nil))
		k.fail = errors.New("wrong password")
		if err := n.Start(t.Context()); !errors.Is(err, k.fail) {
			t.Errorf("start: %v", err)
		}
		cs := apptest.Handlers(nil)
		cs.Register(&apptest.Life{OnInit: func() { panic("no database") }})
		n, _ = table.make(f, "gate:2", cs)
		if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no database") {
			t.Errorf("start: %v", err)
		}
		if got := table.ids(); len(got) != 1 {
			t.Errorf("the list holds the ids %v", got)
		}
		table.setAway(true)
		n, _ = table.make(f, "gate:2", apptest.Handlers(nil))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := n.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		n, _ = table.make(f, "gate:2", apptest.Handlers(nil))
		over := make(chan error, 1)
		go func() { over <- n.Start(t.Context()) }()
		time.Sleep(time.Second)
		n.Stop(t)
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("start: %v", err)
		}
		table.setAway(false)
		synctest.Wait()
		if got := apptest.Members(g); len(got) != 0 {
			t.Errorf("it knows %v", got)
		}
	})
}

// Where an engine keeps the list, nobody else has a say in it: not who plays a master, not a gate
// that nobody knows.
func TestKeeperAlone(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		n, _ := newTable().start(t, f, "back:1", apptest.Handlers(backend(nil)))
		conn := newStranger(t, f, "back:1", insecure.NewCredentials())
		c := clusterpb.NewMemberClient(conn)
		_, err := c.NewMember(t.Context(), &clusterpb.NewMemberRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: "evil:1"}})
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("NewMember: %v", err)
		}
		_, err = c.DelMember(t.Context(), &clusterpb.DelMemberRequest{ServiceAddr: "evil:1"})
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("DelMember: %v", err)
		}
		_, err = c.HandleNotify(t.Context(), &clusterpb.NotifyMessage{GateAddr: "evil:1", SessionId: 1, Route: "Back.Echo"})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("HandleNotify: %v", err)
		}
		if got := apptest.Members(n); len(got) != 0 || len(n.Opened()) != 0 {
			t.Errorf("it knows %v, and %d sessions", got, len(n.Opened()))
		}
	})
	for _, master := range []nano.Option{nano.WithMaster(), nano.WithAdvertiseAddr("m:1")} {
		err := nano.New("x:1", nano.WithKeeper(newTable().keeper()), master).Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "WithKeeper") {
			t.Errorf("with a master, too: %v", err)
		}
	}
}

// Two nodes are given one service address by mistake, in a cluster without a master: the one that
// lives keeps it, and the second is told what to do. One that is started again after its end is in.
func TestTakenAddressStaysItsOwnersInAKeepersList(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		table := newTable()
		g, _ := table.start(t, f, "gate:1", apptest.Handlers(nil))
		b, k := table.start(t, f, "back:1", apptest.Handlers(backend(nil)))
		apptest.Meet(t, g, b)
		closed := watch(b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Echo", "x", "x")

		second := apptest.NewAt("back:1", apptest.Handlers(nil), nano.WithKeeper(table.keeper()),
			nano.WithServiceListener(nanotest.NewListener()), nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer("back:1"))))
		if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "back:1") || !strings.Contains(err.Error(), "an address of its own") {
			t.Errorf("the second starts: %v", err)
			second.Stop(t)
		}
		time.Sleep(3 * time.Second)
		apptest.Call(t, c, "Back.Echo", "x", "x")
		if got := closed.list(); len(got) > 0 {
			t.Errorf("sessions were closed at the first: %q", got)
		}

		f.Kill("back:1")
		k.die()
		time.Sleep(time.Millisecond)
		table.start(t, f, "back:1", apptest.Handlers(backend(nil)))
	})
}

// The engine has given up while the node runs: the node goes on with the list as it is, for good.
// Whoever runs it has to know.
func TestKeeperThatEndsItsViewsIsLogged(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		table := newTable()
		g, _ := table.start(t, f, "gate:1", apptest.Handlers(nil))
		b, k := table.start(t, f, "back:1", apptest.Handlers(nil))
		apptest.Meet(t, g, b)
		k.die()
		time.Sleep(time.Second)
		if lines := b.Log.Lines("views"); len(lines) != 1 || !strings.Contains(lines[0], "WARN") {
			t.Errorf("logged: %q", lines)
		}
		g.Stop(t)
		if lines := g.Log.Lines("views"); len(lines) != 0 {
			t.Errorf("a node that ends logs: %q", lines)
		}
	})
}
