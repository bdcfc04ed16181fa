package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// routeOf returns the figures of a route.
func routeOf(t *testing.T, s metrics.Snapshot, name string) metrics.Route {
	t.Helper()
	for _, r := range s.Routes {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no route %s in the snapshot", name)
	return metrics.Route{}
}

// about tells whether a figure that is known to the width of a bucket is right.
func about(got, want time.Duration) bool { return got > want*5/6 && got < want*6/5 }

// startRoutes starts a node with a handler of each kind, and connects a client.
func startRoutes(t *testing.T) (n *apptest.Node, c *nanotest.Client) {
	t.Helper()
	cs := apptest.Handlers(apptest.Funcs{
		"A.Slow": func(_ context.Context, s *session.Session, _ []byte) error {
			time.Sleep(100 * time.Millisecond)
			return s.Response([]byte("{}"))
		},
		"A.Quick": apptest.Echo,
		"A.Fails": func(context.Context, *session.Session, []byte) error {
			return component.Errorf("no_money", "no money")
		},
		"A.Panics": func(context.Context, *session.Session, []byte) error { panic("boom") },
		"A.Awaits": func(_ context.Context, s *session.Session, _ []byte) error {
			n.Scheduler().Await(func() { time.Sleep(time.Second) })
			return s.Response([]byte("{}"))
		},
		"A.Tasks": func(context.Context, *session.Session, []byte) error {
			n.Scheduler().PushTask(func() { time.Sleep(10 * time.Second) })
			return nil
		},
	})
	n = apptest.Start(t, cs, nano.WithErrorResponses(true), nano.WithSlowHandler(-1), nano.WithHeartbeatInterval(time.Hour))
	c = n.TCP.Client(t)
	c.Ready(`{"sys":{"accept":["error"]}}`)
	return n, c
}

// Who looks for what is slow must find it: the time in a handler, and the time that others wait for
// it, are those of the route, whichever way the handler ends.
func TestSnapshotOfRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := startRoutes(t)
		// The second waits for the first, and the third for both.
		for _, mid := range []uint64{c.Request("A.Slow", nil), c.Request("A.Slow", nil), c.Request("A.Quick", []byte("x"))} {
			c.Response(mid)
		}
		for range 3 {
			c.Response(c.Request("A.Fails", nil))
		}
		c.Response(c.Request("A.Panics", nil))
		c.Response(c.Request("A.Nobody", nil))
		c.Notify("A.Quick", []byte("x"))
		synctest.Wait()

		s := n.Snapshot()
		slow := routeOf(t, s, "A.Slow")
		if slow.Requests != 2 || slow.Handler.Count != 2 || slow.Handler.Sum != 200*time.Millisecond || !about(slow.Handler.Quantile(0.5), 100*time.Millisecond) {
			t.Errorf("the slow handler: %+v", slow)
		}
		if slow.Wait.Sum != 100*time.Millisecond {
			t.Errorf("they waited for %v, want 100 ms", slow.Wait.Sum)
		}
		quick := routeOf(t, s, "A.Quick")
		if quick.Requests != 1 || quick.Notifies != 1 || quick.Wait.Sum != 200*time.Millisecond || quick.Handler.Sum != 0 || quick.Errors["invalid_argument"] != 1 { // a notify has no answer
			t.Errorf("the quick handler: %+v", quick)
		}
		if r := routeOf(t, s, "A.Fails"); r.Errors["no_money"] != 3 || r.Failed() != 3 || r.Handler.Count != 3 || r.Panics != 0 {
			t.Errorf("the handler that fails: %+v", r)
		}
		if r := routeOf(t, s, "A.Panics"); r.Errors["internal"] != 1 || r.Panics != 1 || r.Handler.Count != 1 {
			t.Errorf("the handler that panics: %+v", r)
		}
		if s.Elsewhere.Requests != 1 || s.Elsewhere.Errors["not_found"] != 1 {
			t.Errorf("elsewhere: %+v", s.Elsewhere)
		}
		if st := n.Stats(); st.Failed != 6 || st.Notifies < 1 {
			t.Errorf("the totals: %+v", st)
		}
		if got := s.Schedulers[0].Busy; got != 200*time.Millisecond {
			t.Errorf("the scheduler was busy for %v, want 200 ms", got)
		}
	})
}

// A call in Await takes its time; one that runs meanwhile does not.
func TestSnapshotOfACallInAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := startRoutes(t)
		awaits := c.Request("A.Awaits", nil)
		synctest.Wait()
		if r := routeOf(t, n.Snapshot(), "A.Awaits"); r.Running != 1 || r.Handler.Count != 0 {
			t.Errorf("while it waits: %+v", r)
		}
		c.Notify("A.Quick", nil)
		c.Response(awaits)
		s := n.Snapshot()
		if r := routeOf(t, s, "A.Awaits"); r.Running != 0 || r.Handler.Sum != time.Second {
			t.Errorf("when it has waited: %+v", r)
		}
		if r := routeOf(t, s, "A.Quick"); r.Handler.Count != 1 || r.Handler.Sum != 0 {
			t.Errorf("what ran meanwhile: %+v", r)
		}
		if busy := s.Schedulers[0].Busy; busy != 0 {
			t.Errorf("the scheduler was busy for %v while nothing ran", busy)
		}
	})
}

// A task is no part of the handler before or after it.
func TestSnapshotOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := startRoutes(t)
		c.Notify("A.Tasks", nil)
		synctest.Wait()
		if got := n.Snapshot().Schedulers[0]; got.Running != "task" || got.Kind != metrics.SchedulerOfNode || time.Since(got.Since) > time.Second {
			t.Errorf("while a task runs: %+v", got)
		}
		c.Response(c.Request("A.Quick", nil))
		s := n.Snapshot()
		if r := routeOf(t, s, "A.Tasks"); r.Handler.Sum != 0 {
			t.Errorf("a handler that pushes a task took %v", r.Handler.Sum)
		}
		if r := routeOf(t, s, "A.Quick"); r.Handler.Sum != 0 || r.Wait.Sum != 10*time.Second {
			t.Errorf("what came behind the task took %v and waited for %v", r.Handler.Sum, r.Wait.Sum)
		}
	})
}

// What the node says of its clients agrees with what these have seen.
func TestSnapshotOfClients(t *testing.T) {
	noThieves := func(_ *session.Session, b []byte) error {
		if strings.Contains(string(b), "thief") {
			return errors.New("no thieves")
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		g, none := nano.NewGroup("lobby"), nano.NewGroup("nobody is in it")
		cs := apptest.Handlers(apptest.Funcs{
			"A.Join": func(_ context.Context, s *session.Session, _ []byte) error {
				return errors.Join(s.Bind(s.ID()), g.Add(s), s.Response([]byte("{}")))
			},
		})
		n := apptest.Start(t, cs, nano.WithMaxConnections(4), nano.WithHandshakeTimeout(time.Second),
			nano.WithHeartbeatInterval(time.Hour), nano.WithHandshakeValidator(noThieves))
		tcp, ws := n.TCP.Client(t), n.WS.WebSocket(t)
		for _, c := range []*nanotest.Client{tcp, ws} {
			c.Ready()
			c.Response(c.Request("A.Join", nil))
		}
		thief := n.TCP.Client(t)
		thief.Handshake(`{"thief":true}`)
		thief.Ended()
		late := n.TCP.Client(t)
		time.Sleep(2 * time.Second)
		late.Ended()
		synctest.Wait()

		if err := g.Broadcast("onIt", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := none.Broadcast("onIt", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*nanotest.Client{tcp, ws} {
			c.Push("onIt")
		}
		synctest.Wait()
		s := n.Snapshot()
		gate := s.Gate
		if gate.Connections != (metrics.Connections{TCP: 1, WebSocket: 1}) || gate.Connections.Total() != 2 || gate.Sessions != 2 || gate.Users != 2 {
			t.Errorf("connections %+v, %d sessions, %d users", gate.Connections, gate.Sessions, gate.Users)
		}
		if fmt.Sprint(gate.Refused) != "map[handshake:1 late:1]" || n.Stats().Refused != 1 {
			t.Errorf("refused %v, in all %d", gate.Refused, n.Stats().Refused)
		}
		// In: a handshake, an ack and a request of each, and the thief's handshake. Out: an answer
		// to these, and the push.
		if gate.PacketsIn != 2*3+1 || gate.PacketsOut != 2*3+1 {
			t.Errorf("%d packets in, %d out", gate.PacketsIn, gate.PacketsOut)
		}
		if gate.BytesIn == 0 || gate.BytesOut == 0 || gate.Opened != 2 || gate.Accepted != 4 {
			t.Errorf("%+v", gate)
		}
		if got := s.Groups; got.Count != 1 || got.Members != 2 || got.Broadcasts != 1 || got.Pushes != 2 || len(got.Largest) != 1 ||
			got.Largest[0] != (metrics.Group{Name: "lobby", Members: 2, Broadcasts: 1}) {
			t.Errorf("groups %+v", got)
		}

		// Each kind of end.
		tcp.Close()
		ws.Close()
		synctest.Wait()
		s = n.Snapshot()
		if s.Gate.Connections.Total() != 0 || s.Gate.Sessions != 0 || s.Groups.Members != 0 || s.Groups.Count != 1 {
			t.Errorf("after the end: %+v, groups %+v", s.Gate, s.Groups)
		}
		if got := s.Gate.Ends; got["handshake"] != 2 || s.Gate.Closed != 4 {
			t.Errorf("ends %v of %d", got, s.Gate.Closed)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if got := n.Snapshot().Groups; got.Count != 0 || got.Broadcasts != 1 {
			t.Errorf("after its close: %+v", got)
		}
	})
}

// A client that does not read is seen before it is kicked.
func TestSnapshotOfQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{"A.Echo": apptest.Echo}), nano.WithHeartbeatInterval(time.Hour))
		c := n.TCP.Client(t)
		c.Ready()
		synctest.Wait()
		s := n.Session(n.Opened()[0])
		for range 10 {
			if err := s.Push("onIt", make([]byte, 100<<10)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		g := n.Snapshot().Gate
		if g.Slow != 1 || g.Queued < 900<<10 || g.Queued > 1100<<10 || g.Largest != g.Queued {
			t.Errorf("%d slow, %d bytes queued, %d the largest", g.Slow, g.Queued, g.Largest)
		}
		for range 10 {
			c.Push("onIt")
		}
		synctest.Wait()
		if g := n.Snapshot().Gate; g.Slow != 0 || g.Queued != 0 || g.Largest != 0 {
			t.Errorf("when all is read: %d slow, %d bytes queued, %d the largest", g.Slow, g.Queued, g.Largest)
		}
	})
}

// Rooms come and go: what is listed is bounded, and what has ended is not.
func TestSnapshotOfSchedulers(t *testing.T) {
	own := scheduler.New(scheduler.WithName("own"))
	defer own.Close()
	own.Start()
	cs := &component.Components{}
	cs.Register(&apptest.Life{}, component.WithName("Own"), component.WithScheduler(own))
	n := apptest.Start(t, cs)
	release := make(chan struct{})
	var rooms []*scheduler.Scheduler
	for i := range metrics.MaxListed + 20 {
		room := n.NewScheduler(fmt.Sprint("room ", i))
		room.Start()
		rooms = append(rooms, room)
	}
	held := make(chan struct{})
	rooms[7].PushTask(func() { close(held); holdUp(release) })
	<-held
	rooms[7].PushTask(func() {})
	s := n.Snapshot()
	if len(s.Schedulers) != 2+metrics.MaxListed || s.MadeSchedulers.Count != len(rooms) || s.MadeSchedulers.Queued != 1 {
		t.Errorf("%d are listed of %+v", len(s.Schedulers), s.MadeSchedulers)
	}
	if s.Schedulers[1].Kind != metrics.SchedulerOfComponent || s.Schedulers[1].Name != "own" {
		t.Errorf("the second is %+v", s.Schedulers[1])
	}
	if got := s.Schedulers[2]; got.Name != "room 7" || got.Kind != metrics.SchedulerMade || got.Running != "task" {
		t.Errorf("the busiest is %+v", got)
	}
	if stack, ok := n.SchedulerStack("room 7"); !ok || !strings.Contains(stack, "holdUp") {
		t.Errorf("its stack (%v):\n%s", ok, stack)
	}
	if stack, ok := n.SchedulerStack("room 8"); !ok || stack != "" {
		t.Errorf("one that is idle has the stack (%v)\n%s", ok, stack)
	}
	if _, ok := n.SchedulerStack("nobody"); ok {
		t.Error("one that is not there has a stack")
	}
	close(release)
	for _, room := range rooms {
		room.Close()
		if err := room.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := n.Snapshot(); len(s.Schedulers) != 2 || s.MadeSchedulers != (metrics.MadeSchedulers{}) {
		t.Errorf("when the rooms have ended: %+v", s.MadeSchedulers)
	}
}

//go:noinline
func holdUp(release chan struct{}) { <-release }

// A balancer sends no clients to a node that is starting, full, held up or about to end, and
// whoever restarts programs restarts one only when that helps.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starting, ending := make(chan struct{}), make(chan struct{})
		cs := &component.Components{}
		cs.Register(&apptest.Life{OnInit: func() { <-starting }, OnShutdown: func() { <-ending }}, component.WithName("L"))
		n := apptest.New(cs, nano.WithMaxConnections(1), nano.WithHeartbeatInterval(time.Hour), nano.WithSlowHandler(-1))
		expect := func(what string, live, ready bool, codes ...metrics.ReasonCode) {
			t.Helper()
			synctest.Wait()
			for _, probe := range []struct {
				handler http.Handler
				good    bool
			}{{nano.HealthHandler(n.App), live}, {nano.ReadyHandler(n.App), ready}} {
				w := httptest.NewRecorder()
				probe.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				var h metrics.Health
				if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
					t.Fatal(err)
				}
				var got []metrics.ReasonCode
				for _, r := range h.Reasons {
					got = append(got, r.Code)
				}
				if (w.Code == http.StatusOK) != probe.good || h.Live != live || h.Ready != ready || fmt.Sprint(got) != fmt.Sprint(codes) {
					t.Errorf("%s: %d %s, want live %v, ready %v, %q", what, w.Code, w.Body, live, ready, codes)
				}
			}
		}
		expect("before the start", true, false, metrics.ReasonStarting)
		started := make(chan error)
		go func() { started <- n.Start(t.Context()) }()
		expect("while it starts", true, false, metrics.ReasonStarting)
		close(starting)
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		expect("while it works", true, true)
		c := n.TCP.Client(t)
		c.Ready()
		expect("when it is full", true, false, metrics.ReasonOverloaded)
		c.Close()
		expect("when the client has gone", true, true)
		n.Scheduler().PushTask(func() { time.Sleep(70 * time.Second) })
		synctest.Wait()
		n.Scheduler().PushTask(func() {})
		time.Sleep(6 * time.Second)
		expect("while a call waits", true, false, metrics.ReasonOverloaded)
		time.Sleep(60 * time.Second)
		expect("when it has waited for a minute", false, false, metrics.ReasonOverloaded, metrics.ReasonStuck)
		time.Sleep(10 * time.Second)
		expect("when it is over", true, true)
		ended := make(chan struct{})
		go func() { n.Stop(t); close(ended) }()
		expect("while it ends", true, false, metrics.ReasonDraining)
		close(ending)
		<-ended
		expect("when it has ended", false, false, metrics.ReasonStopped)
	})
}
