package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// local is a scheduler of the application's: it keeps tasks until run is called.
type local struct {
	tasks []scheduler.Task
	panic bool
}

func (l *local) Schedule(t scheduler.Task) {
	if l.panic {
		panic("no room")
	}
	l.tasks = append(l.tasks, t)
}

func (l *local) run() {
	for _, t := range l.tasks {
		t()
	}
	l.tasks = nil
}

// Where a component's handlers run is what the application said, or rooms that rely on one
// goroutine would race.
func TestWithScheduler(t *testing.T) {
	l := new(local)
	calls := 0
	b := newBench(t, raw("Room.Say", func(context.Context, *session.Session, []byte) error { calls++; return nil }, component.WithScheduler(l)))
	b.add(request(1, "Room.Say", ""))
	b.finish()
	if calls != 0 || len(l.tasks) != 1 {
		t.Fatalf("%d calls elsewhere, %d tasks", calls, len(l.tasks))
	}
	l.run()
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	if err := b.Notify(b.peer, "Room.Say", nil); err != nil || len(l.tasks) != 1 {
		t.Errorf("Notify: %v, %d tasks", err, len(l.tasks))
	}
}

func TestWithSchedulerOfOurs(t *testing.T) {
	own := scheduler.New()
	calls := 0
	b := newBench(t, raw("Room.Say", func(context.Context, *session.Session, []byte) error { calls++; return nil }, component.WithScheduler(own)))
	b.add(request(1, "Room.Say", ""))
	b.finish()
	if calls != 0 {
		t.Error("it ran on the node's scheduler")
	}
	own.Start()
	finish(own)
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	b.add(request(2, "Room.Say", ""))
	if f := b.peer.failure(t, 2); f.Code != component.CodeUnavailable {
		t.Errorf("after the room's end: %+v", f)
	}
}

// A session brings its room's scheduler as a value, and takes another one along when it changes
// rooms.
func TestWithSchedulerName(t *testing.T) {
	comps := func() *component.Components {
		return raw("Room.Say", func(_ context.Context, s *session.Session, _ []byte) error { return s.Response("ok") },
			component.WithSchedulerName("room"))
	}
	ours := scheduler.New()
	closed := scheduler.New()
	closed.Close()
	one, two := new(local), new(local)
	for _, c := range []struct {
		name  string
		value any
		run   func()
		code  string // of the error; "" if it runs
	}{
		{"the application's", one, one.run, ""},
		{"another", two, two.run, ""},
		{"ours", ours, func() { ours.Start(); finish(ours) }, ""},
		{"ours, closed", closed, nil, component.CodeUnavailable},
		{"none", nil, nil, component.CodeNotFound},
		{"of another type", "room 7", nil, component.CodeNotFound},
		{"one that panics", &local{panic: true}, nil, component.CodeInternal},
		{"a nil pointer of ours", (*scheduler.Scheduler)(nil), nil, component.CodeInternal},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, comps())
			if c.value != nil {
				b.peer.s.Set("room", c.value)
			}
			b.add(request(7, "Room.Say", ""))
			b.finish()
			if c.code != "" {
				f := b.peer.failure(t, 7)
				if f.Code != c.code || len(b.peer.Responses()) != 0 {
					t.Errorf("the client is told %+v, answers %+v", f, b.peer.Responses())
				}
				// Clients send what they like before they are in a room, and after its end: they
				// would fill the log.
				if loud := b.log.Has("ERROR", "message failed"); loud != (c.code == component.CodeInternal) {
					t.Errorf("logged as an error: %v", loud)
				}
				if strings.Contains(f.Error, "shutting down") || c.code != component.CodeInternal && !strings.Contains(f.Error, "scheduler") {
					t.Errorf("the client is told %q", f.Error)
				}
				return
			}
			if len(b.peer.Responses()) != 0 {
				t.Error("it ran on the node's scheduler")
			}
			c.run()
			if n := len(b.peer.Responses()); n != 1 {
				t.Errorf("%d answers", n)
			}
		})
	}
}

// A room that is flooded holds up the connections that flood it, and nothing else.
func TestSchedulerOfASessionPushesBack(t *testing.T) {
	room := scheduler.New(scheduler.WithLimit(1))
	b := newBench(t, raw("Room.Say", func(context.Context, *session.Session, []byte) error { return nil }, component.WithSchedulerName("room")))
	b.peer.s.Set("room", room)
	b.add(notify("Room.Say", ""))
	second := make(chan struct{})
	go func() {
		b.add(notify("Room.Say", ""))
		close(second)
	}()
	select {
	case <-second:
		t.Error("a full scheduler takes more")
	default:
	}
	room.Start()
	<-second
	finish(room)
	if n := room.Stats().Executed; n != 2 {
		t.Errorf("%d ran", n)
	}
}

// What one client sends in a row goes to two schedulers in turn, each part in its order and none
// before its predecessors were handed over.
func TestOrderOverTwoSchedulers(t *testing.T) {
	var order seen[string]
	see := func(_ context.Context, _ *session.Session, data []byte) error { order.add(string(data)); return nil }
	inline := schedulerFunc(func(t scheduler.Task) { t() })
	cs := raw("Node.Do", see)
	component.HandleRaw(cs, "Room.Do", see, component.WithScheduler(inline))
	b := newBench(t, cs)
	b.start()
	batch := b.Begin()
	for i := range 10 {
		route := "Node.Do"
		if i%2 == 1 {
			route = "Room.Do"
		}
		batch.Add(b.peer, notify(route, fmt.Sprint(i)))
	}
	batch.Submit()
	b.end()
	var odd, even []string
	for _, s := range order.list() {
		if strings.ContainsAny(s, "13579") {
			odd = append(odd, s)
		} else {
			even = append(even, s)
		}
	}
	if !slices.Equal(odd, []string{"1", "3", "5", "7", "9"}) || !slices.Equal(even, []string{"0", "2", "4", "6", "8"}) {
		t.Errorf("order %v", order.list())
	}
}

type schedulerFunc func(scheduler.Task)

func (f schedulerFunc) Schedule(t scheduler.Task) { f(t) }

// What is wrong with the components shows when the node starts, and not with the first message.
func TestNewRefuses(t *testing.T) {
	nothing := func(context.Context, *session.Session, []byte) error { return nil }
	long := strings.Repeat("x", 250) + ".Method"
	for _, c := range []struct {
		name string
		svc  component.Service
		want string
	}{
		{"two ways to choose", component.Service{Name: "Room", Scheduler: new(local), SchedName: "room"}, "contradict"},
		{"a long route", component.Service{Name: long[:250], Handlers: map[string]*component.Handler{"Method": {}}}, "255"},
	} {
		_, err := New(Config{Services: []*component.Service{&c.svc}, Log: discardLog()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
	// All at once: nobody wants to start a node once a mistake.
	services, err := raw("A.B", nothing, component.WithScheduler(new(local)), component.WithSchedulerName("a")).Services()
	if err != nil {
		t.Fatal(err)
	}
	services = append(services, &component.Service{Name: "C", Scheduler: new(local), SchedName: "c"})
	_, err = New(Config{Services: services, Log: discardLog()})
	if err == nil || !strings.Contains(err.Error(), "component A") || !strings.Contains(err.Error(), "component C") {
		t.Errorf("not both: %v", err)
	}
}

// Session.RPC on a single node: the handler runs in the session's name, later, and nobody waits.
func TestNotify(t *testing.T) {
	var got seen[string]
	cs := raw("A.Raw", func(ctx context.Context, s *session.Session, data []byte) error {
		_, _, mid, _ := CallOf(ctx)
		got.add(fmt.Sprintf("%d %d %s", s.ID(), mid, data))
		return nil
	})
	component.HandleNotify(cs, "A.Typed", func(_ context.Context, _ *session.Session, a *Ask) error { got.add(a.Name); return nil })
	component.HandleRaw(cs, "Room.Say", func(context.Context, *session.Session, []byte) error { return nil }, component.WithSchedulerName("room"))

	b := newBench(t, cs)
	data := []byte("data")
	for _, c := range []struct {
		route, data string
		code        string
		fails       bool
	}{
		{"A.Raw", "data", "", false},
		{"A.Typed", `{"Name":"Ann"}`, "", false},
		{"A.Typed", `{`, component.CodeInvalid, true},
		{"X.Y", "", component.CodeNotFound, true},
		{"Room.Say", "", "", true},
	} {
		err := b.Notify(b.peer, c.route, append(data[:0], c.data...))
		var e *component.Error
		if (err != nil) != c.fails || c.code != "" && (!errors.As(err, &e) || e.Code != c.code) {
			t.Errorf("Notify(%q, %q): %v", c.route, c.data, err)
		}
	}
	copy(data, "****") // the caller's again
	if len(got.list()) != 0 {
		t.Error("it ran on the caller's goroutine")
	}
	b.finish()
	if all := got.list(); !slices.Equal(all, []string{"1 0 data", "Ann"}) {
		t.Errorf("handlers saw %q", all)
	}
	b.peer.s.Set("room", &local{panic: true})
	if err := b.Notify(b.peer, "Room.Say", nil); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("a scheduler that panics: %v", err)
	}
}

func TestNotifyElsewhere(t *testing.T) {
	why := errors.New("why")
	var got *codec.Message
	b := newBench(t, new(component.Components), func(c *Config) {
		c.Remote = func(_ Entity, m *codec.Message, _ tracing.Span) error { got = m; return why }
	})
	if err := b.Notify(b.peer, "X.Y", []byte("data")); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	if got == nil || got.Type != codec.Notify || got.Route != "X.Y" || string(got.Data) != "data" {
		t.Errorf("sent %v", got)
	}
}

// A handler may call on, and the scheduler that runs it must not wait for itself, however full it
// is.
func TestNotifyFromAHandlerNeverBlocks(t *testing.T) {
	const n = 1000
	calls := 0
	cs := raw("A.Inner", func(context.Context, *session.Session, []byte) error { calls++; return nil })
	var b *bench
	component.HandleRaw(cs, "A.Outer", func(context.Context, *session.Session, []byte) error {
		for range n {
			if err := b.Notify(b.peer, "A.Inner", nil); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	b = newBench(t, cs, func(c *Config) { c.Scheduler = scheduler.New(scheduler.WithLimit(1)) })
	b.sched = b.cfg.Scheduler
	b.add(notify("A.Outer", ""))
	b.sched.Start()
	ran := make(chan struct{})
	// Behind the outer call, so that its calls are all queued, and behind those.
	b.sched.PushTask(func() { b.sched.PushTask(func() { close(ran) }) })
	<-ran
	b.end()
	if calls != n {
		t.Errorf("%d calls, want %d", calls, n)
	}
}
