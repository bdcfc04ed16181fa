package node_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A handler that pushes 10,000 tasks does not wait for itself, and they
// run in order before what came after it.
func TestHandlerPushesManyTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *apptest.Node
		ran := 0
		cs := apptest.Handlers(apptest.Funcs{
			"A.Tasks": func(_ context.Context, s *session.Session, _ []byte) error {
				for i := range many {
					n.Scheduler().PushTask(func() {
						if ran != i {
							t.Errorf("task %d ran as number %d", i, ran)
						}
						ran++
					})
				}
				if ran != 0 {
					t.Error("a task ran within the handler")
				}
				return s.Response([]byte{})
			},
			"A.Ran": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response(apptest.Number(ran)) },
		})
		// A queue far shorter than that makes readers wait, not tasks.
		sched := scheduler.New(scheduler.WithLimit(10))
		n = apptest.Start(t, cs, nano.WithScheduler(sched))
		c := n.TCP.Client(t)
		c.Ready()
		c.Call("A.Tasks", nil)
		if m := c.Call("A.Ran", nil); string(m.Data) != string(apptest.Number(many)) {
			t.Errorf("ran %x, want %x", m.Data, apptest.Number(many))
		}
		n.Stop(t)
		sched.Close()
	})
}

// busyNode is a node one of whose handlers can hold the scheduler for 5 seconds.
type busyNode struct {
	*apptest.Node
	t        *testing.T
	busy     chan struct{} // closed when it does
	closed   chan int64
	sessions map[string]*session.Session // by name, see connect
}

// startBusy starts one with its own scheduler, or with the application's.
func startBusy(t *testing.T, own bool) *busyNode {
	t.Helper()
	n := &busyNode{t: t, busy: make(chan struct{}), closed: make(chan int64, 10), sessions: map[string]*session.Session{}}
	cs := apptest.Handlers(apptest.Funcs{
		"A.Busy": func(_ context.Context, s *session.Session, _ []byte) error {
			close(n.busy)
			time.Sleep(5 * time.Second)
			return s.Response([]byte("done"))
		},
		"A.Name": func(_ context.Context, s *session.Session, name []byte) error {
			n.sessions[string(name)] = s
			return s.Response(name)
		},
	})
	var opts []nano.Option
	if !own {
		sched := scheduler.New(scheduler.WithSlow(0, nil))
		t.Cleanup(sched.Close)
		opts = append(opts, nano.WithScheduler(sched))
	}
	n.Node = apptest.New(cs, opts...)
	n.Lifetime().OnClosed(func(s *session.Session) { n.closed <- s.ID() })
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop(t) })
	return n
}

// connect connects a client, and has the node remember its session if it has a name.
func (n *busyNode) connect(ws bool, name string) *nanotest.Client {
	n.t.Helper()
	var c *nanotest.Client
	if ws {
		c = n.WS.WebSocket(n.t)
	} else {
		c = n.TCP.Client(n.t)
	}
	c.Beats = true
	c.Ready()
	if name != "" {
		if m := c.Call("A.Name", []byte(name)); string(m.Data) != name {
			n.t.Fatalf("got %v %q", m, m.Data)
		}
	}
	return c
}

// While one handler holds the scheduler for 5 seconds (a heartbeat is 1), clients
// are kept alive, others come and go, and what is pushed from elsewhere arrives.
func TestBusySchedulerKeepsClientsAlive(t *testing.T) {
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("the node's own scheduler: %v", own), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testBusyScheduler(t, startBusy(t, own)) })
		})
	}
}

func testBusyScheduler(t *testing.T, n *busyNode) {
	asker, bystander, leaver := n.connect(false, "asker"), n.connect(true, "bystander"), n.connect(false, "leaver")
	synctest.Wait()
	began := time.Now()
	id := asker.Request("A.Busy", nil)
	<-n.busy
	within := func(d time.Duration, what string) {
		t.Helper()
		if took := time.Since(began); took > d {
			t.Errorf("%s took %v", what, took)
		}
	}

	// Pushes from outside of the scheduler arrive at once.
	if err := n.sessions["bystander"].Push("onIt", []byte("x")); err != nil {
		t.Error(err)
	}
	if got := bystander.Push("onIt"); string(got) != "x" {
		t.Errorf("the push is %q", got)
	}
	within(100*time.Millisecond, "a push")
	// New connections get their handshakes.
	late := n.connect(false, "")
	n.connect(true, "").Close()
	within(200*time.Millisecond, "handshakes")
	// Who leaves is gone; who is closed is told.
	leaver.Close()
	n.sessions["bystander"].Close()
	bystander.Ended()
	within(2*time.Second, "a close")
	synctest.Wait()
	if n.Session(n.sessions["leaver"].ID()) != nil || n.Session(n.sessions["bystander"].ID()) != nil || n.Stats().Sessions != 2 {
		t.Errorf("%d sessions live, want 2", n.Stats().Sessions)
	}
	// Heartbeats go on for those who stay.
	for range 3 {
		for _, c := range []*nanotest.Client{late, asker} {
			if p := c.Packet(); p.Type != codec.Heartbeat {
				t.Fatalf("got %v", p)
			}
		}
	}
	within(4*time.Second, "three heartbeats")
	if len(n.closed) != 0 {
		t.Error("OnClosed ran beside a handler")
	}
	if m := asker.Response(id); string(m.Data) != "done" || time.Since(began) < 5*time.Second {
		t.Errorf("the answer after %v: %q", time.Since(began), m.Data)
	}
	synctest.Wait()
	if len(n.closed) != 3 {
		t.Errorf("OnClosed ran for %d of 3", len(n.closed))
	}
}

// A client whose messages wait because the scheduler is full is not taken for
// silent, although nobody reads its heartbeats.
func TestFullSchedulerTakesNobodyForSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sched := scheduler.New(scheduler.WithLimit(1), scheduler.WithSlow(0, nil))
		calls := 0
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{
			"A.Busy": func(context.Context, *session.Session, []byte) error {
				time.Sleep(5 * time.Second)
				return nil
			},
			"A.Count": func(context.Context, *session.Session, []byte) error { calls++; return nil },
		}), nano.WithScheduler(sched))
		defer sched.Close()
		defer n.Stop(t)
		c := n.TCP.Client(t)
		c.Ready()
		c.Notify("A.Busy", nil)
		sent := make(chan struct{})
		go func() { // these wait, one behind the other
			defer close(sent)
			for range 20 {
				b, _ := codec.AppendData(nil, codec.Notify, 0, "A.Count", nil, 0, nil, 0)
				if err := c.Send(b); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		began := time.Now()
		for beats := 0; beats < 4; {
			p, err := c.Next()
			if err != nil {
				t.Fatalf("gone after %v: %v", time.Since(began), err)
			}
			if p.Type == codec.Heartbeat {
				beats++
			}
		}
		<-sent
		apptest.Pong(t, c)
		if calls != 20 {
			t.Errorf("%d of 20 were served", calls)
		}
	})
}

// Rooms with schedulers of their own: one that is busy holds up nobody else's.
func TestBusyRoomHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *apptest.Node
		free := make(chan struct{})
		cs := apptest.Handlers(nil)
		room := scheduler.New()
		room.Start()
		defer room.Close()
		component.HandleRaw(cs, "Room.Busy", func(_ context.Context, s *session.Session, _ []byte) error {
			<-free
			return s.Response([]byte("room"))
		}, component.WithScheduler(room))
		n = apptest.Start(t, cs)
		c := n.TCP.Client(t)
		c.Ready()
		mid := c.Request("Room.Busy", nil)
		for range 3 {
			apptest.Pong(t, c)
		}
		close(free)
		if m := c.Message(); m.Type != codec.Response {
			t.Errorf("got %v, want the answer to %d", m, mid)
		}
	})
}

// A room's scheduler that the application made is like the node's own: what it runs goes out, who
// holds it up is named, and a panic costs one task. It is made in Init, in handlers, and ended at
// will.
func TestNewScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *apptest.Node
		rooms := map[string]*scheduler.Scheduler{}
		open := func(name string) {
			rooms[name] = n.NewScheduler(name)
			rooms[name].Start()
		}
		cs := apptest.Handlers(apptest.Funcs{
			"A.Open": func(_ context.Context, s *session.Session, name []byte) error {
				open(string(name))
				return s.Response(name)
			},
			"A.Play": func(_ context.Context, s *session.Session, name []byte) error {
				room := rooms[string(name)]
				room.PushTask(func() { panic("in " + string(name)) })
				room.PushTask(func() {
					for i := range 3 {
						if err := s.Push("onIt", apptest.Number(i)); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(3 * time.Second)
				})
				return nil
			},
			"A.Close": func(ctx context.Context, s *session.Session, name []byte) error {
				room := rooms[string(name)]
				room.Close()
				if err := room.Wait(ctx); err != nil {
					return err
				}
				return s.Response(name)
			},
		})
		cs.Register(&apptest.Life{OnInit: func() { open("first") }})
		n = apptest.New(cs, nano.WithSlowHandler(time.Second))
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer n.Stop(t)
		c := n.TCP.Client(t)
		c.Beats = true
		c.Ready()
		c.Call("A.Open", []byte("second"))
		for _, name := range []string{"first", "second"} {
			began := time.Now()
			c.Notify("A.Play", []byte(name))
			for i := range 3 {
				if got := c.Push("onIt"); string(got) != string(apptest.Number(i)) {
					t.Errorf("%s: push %d is %x", name, i, got)
				}
			}
			if d := time.Since(began); d > 100*time.Millisecond { // not only when the task is over
				t.Errorf("%s: the pushes came after %v", name, d)
			}
			apptest.Pong(t, c) // the node's own is not held up
			if m := c.Call("A.Close", []byte(name)); string(m.Data) != name || time.Since(began) != 3*time.Second {
				t.Errorf("%s: closed after %v: %v", name, time.Since(began), m)
			}
			if !n.Log.Has("WARN", "scheduler="+name, "for=") {
				t.Errorf("%s: nobody is told who holds it up: %q", name, n.Log.Lines("WARN"))
			}
			if !n.Log.Has("ERROR", "panicked", "in "+name) {
				t.Errorf("%s: nobody is told of the panic: %q", name, n.Log.Lines("ERROR"))
			}
		}
	})
}

// A handler that holds up everybody is named in the log while it still runs.
func TestSlowHandlerIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{
			"A.Slow": func(context.Context, *session.Session, []byte) error {
				time.Sleep(3 * time.Second)
				return nil
			},
		}), nano.WithSlowHandler(2*time.Second))
		c := n.TCP.Client(t)
		c.Ready()
		c.Notify("A.Slow", nil)
		time.Sleep(2900 * time.Millisecond)
		synctest.Wait()
		if !n.Log.Has("WARN", "route=A.Slow", "scheduler_test.go") { // the stack says where
			t.Errorf("the log: %q", n.Log.Lines("WARN"))
		}
	})
}
