package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
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
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A test suite, or a program with many worlds, starts and stops nodes all
// day, on one port even.
func TestNodeStartsAndStopsAgain(t *testing.T) {
	nanotest.Leaks(t)
	files := nanotest.OpenFiles(t)
	addr := "127.0.0.1:0"
	for range 100 {
		app := nano.New(addr, nano.WithComponents(apptest.Handlers(nil)), apptest.Quiet())
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		addr = app.Addr().String()
		c := nanotest.Dial(t, app.Addr())
		c.Ready()
		apptest.Pong(t, c)
		down := make(chan struct{})
		go func() {
			apptest.Shutdown(t, app)
			close(down)
		}()
		if reason := c.Kicked(); reason != "server shutdown" {
			t.Errorf("reason %q", reason)
		}
		c.Ended()
		c.Close()
		<-down
	}
	nanotest.Until(t, "descriptors are closed", func() bool { return nanotest.OpenFiles(t) <= files })
}

// Two nodes at once share nothing, and the end of one is not the other's.
func TestTwoNodesShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hooks [2]int
		var nodes [2]*apptest.Node
		var clients [2]*nanotest.Client
		for i := range nodes {
			n := apptest.New(apptest.Handlers(apptest.Funcs{
				"A.Who": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response(fmt.Sprint("node ", i)) },
				"A.Bind": func(_ context.Context, s *session.Session, _ []byte) error {
					return errors.Join(s.Bind(7), s.Response(s.ID()))
				},
			}), nano.WithHeartbeatInterval(time.Duration(i+1)*time.Second), nano.WithDictionary(map[string]uint16{"A.Who": uint16(i) + 1}))
			n.Lifetime().OnClosed(func(*session.Session) { hooks[i]++ })
			if err := n.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			nodes[i] = n
			clients[i] = n.TCP.Client(t)
			a := clients[i].Ready()
			if a.Sys.Heartbeat.String() != fmt.Sprint(i+1) || a.Sys.Dict["A.Who"] != uint16(i)+1 {
				t.Errorf("node %d tells its clients %s", i, a.Body)
			}
		}
		defer nodes[1].Stop(t)
		for i, c := range clients {
			if m := c.Call("A.Who", nil); string(m.Data) != fmt.Sprintf("%q", fmt.Sprint("node ", i)) {
				t.Errorf("node %d answers %q", i, m.Data)
			}
			if m := c.Call("A.Bind", nil); string(m.Data) != "1" {
				t.Errorf("the first session of node %d has the id %s", i, m.Data)
			}
			if all := nodes[i].SessionsOf(7); len(all) != 1 || nodes[i].Session(1) != all[0] || !slices.Equal(nodes[i].UIDs(), []int64{7}) {
				t.Errorf("node %d has %d sessions of the user", i, len(all))
			}
		}
		if nodes[0].Session(1) == nodes[1].Session(1) || nodes[0].Scheduler() == nodes[1].Scheduler() || nodes[0].Scheduler() == scheduler.Default() {
			t.Error("they share something")
		}
		down := make(chan struct{})
		go func() {
			nodes[0].Stop(t)
			close(down)
		}()
		clients[0].Kicked()
		clients[0].Close()
		<-down
		apptest.Pong(t, clients[1])
		if hooks != [2]int{1, 0} || nodes[1].Stats().Sessions != 1 || nodes[0].Stats().Sessions != 0 {
			t.Errorf("OnClosed ran %v times", hooks)
		}
	})
}

// What is wrong is returned, before anybody is served, and nothing is left open.
func TestFailedStartLeavesNothingOpen(t *testing.T) {
	nanotest.Leaks(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := nanotest.FreeAddr(t)
	none := filepath.Join(t.TempDir(), "none.pem")
	files := nanotest.OpenFiles(t)

	for _, c := range []struct {
		name  string
		addr  string
		comps func(*component.Components)
		opts  []nano.Option
		want  string
		init  bool // of the good component has run
	}{
		{"port in use", taken.Addr().String(), nil, nil, "address already in use", false},
		{"second port in use", addr, nil, []nano.Option{nano.WithClientAddr(addr), nano.WithEndpoint(nano.Endpoint{Addr: taken.Addr().String()})}, "address already in use", false},
		{"missing certificate", addr, nil, []nano.Option{nano.WithTSLConfig(none, none)}, "none.pem", false},
		{"missing certificate, WebSocket", addr, nil, []nano.Option{nano.WithTSLConfig(none, none), nano.WithIsWebsocket(true)}, "none.pem", false},
		{"component without handlers", addr, with(&Mute{}), nil, "Loud: takes no *session.Session", false},
		{"bad route", addr, handlersAt("NoDot"), nil, `"NoDot"`, false},
		{"two of one route", addr, handlersAt("A.B", "A.B"), nil, "A.B", false},
		{"bad dictionary", addr, nil, []nano.Option{nano.WithDictionary(map[string]uint16{"a": 1, "b": 1})}, "code", false},
		{"bad proxy", addr, nil, []nano.Option{nano.WithTrustedProxies("x")}, `"x"`, false},
		{"contradiction", addr, nil, []nano.Option{nano.WithProxyProtocol()}, "no proxy is trusted", false},
		{"bad heartbeat", addr, nil, []nano.Option{nano.WithHeartbeatInterval(0)}, "WithHeartbeatInterval", false},
		{"Init panics", addr, with(&apptest.Life{OnInit: func() { panic("no database") }}), nil, "no database", true},
		{"AfterInit panics", addr, with(&apptest.Life{OnAfterInit: func() { panic("no database") }}), nil, "no database", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			comps := new(component.Components)
			var order []string
			comps.Register(&Good{apptest.Life{
				OnInit:           func() { order = append(order, "Init") },
				OnBeforeShutdown: func() { order = append(order, "BeforeShutdown") },
				OnShutdown:       func() { order = append(order, "Shutdown") },
			}})
			if c.comps != nil {
				c.comps(comps)
			}
			app := nano.New(c.addr, append([]nano.Option{nano.WithComponents(comps), apptest.Quiet()}, c.opts...)...)
			err := app.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Start: %v, want %q in it", err, c.want)
			}
			if again := app.Start(t.Context()); again == nil {
				t.Error("it starts when asked again")
			}
			if err := app.Run(context.Background()); err == nil {
				t.Error("Run returns no error")
			}
			apptest.Shutdown(t, app)
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Errorf("something is left open: %v", err)
			} else {
				_ = l.Close()
			}
			want := []string(nil)
			if c.init {
				want = []string{"Init", "BeforeShutdown", "Shutdown"}
			}
			if !slices.Equal(order, want) {
				t.Errorf("hooks of the good component: %v, want %v", order, want)
			}
		})
	}
	nanotest.Until(t, "descriptors are closed", func() bool { return nanotest.OpenFiles(t) <= files })
}

type Good struct{ apptest.Life }

// Mute has no handler.
type Mute struct{ component.Base }

func (*Mute) Loud(string) error { return nil }

func with(c component.Component, opts ...component.Option) func(*component.Components) {
	return func(cs *component.Components) { cs.Register(c, opts...) }
}

func handlersAt(routes ...string) func(*component.Components) {
	return func(cs *component.Components) {
		for _, r := range routes {
			component.HandleRaw(cs, r, func(context.Context, *session.Session, []byte) error { return nil })
		}
	}
}

// A scheduler of the application's serves the node and outlives it.
func TestSchedulerOfTheApplications(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("running before: %v", running), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sched := scheduler.New()
				if running {
					sched.Start()
				}
				closed := make(chan struct{}, 1)
				n := apptest.New(apptest.Handlers(nil), nano.WithScheduler(sched))
				n.Lifetime().OnClosed(func(*session.Session) { closed <- struct{}{} })
				if err := n.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n.Scheduler() != sched {
					t.Error("another scheduler")
				}
				c := n.TCP.Client(t)
				c.Ready()
				apptest.Pong(t, c)
				c.Close()
				n.Stop(t)
				if len(closed) != 1 {
					t.Error("Shutdown returned before OnClosed")
				}
				ran := make(chan struct{})
				sched.PushTask(func() { close(ran) })
				<-ran
				sched.Close()
			})
		})
	}
}

// An application that ends its scheduler first is not kept waiting by the node.
func TestSchedulerThatEndedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sched := scheduler.New()
		n := apptest.Start(t, apptest.Handlers(nil), nano.WithScheduler(sched))
		sched.Close()
		began := time.Now()
		n.Stop(t)
		if took := time.Since(began); took != 0 {
			t.Errorf("Shutdown took %v", took)
		}
	})
}

// comeAndGo connects 10,000 clients that end in every way, and some by WebSocket; it returns their
// number.
func comeAndGo(t *testing.T, app *nano.App) int {
	t.Helper()
	const total, workers = 10000, 50
	packet := func(kind codec.PacketType, body string) []byte { return codec.AppendPacket(nil, kind, []byte(body)) }
	notify := func(route string) []byte {
		b, _ := codec.AppendData(nil, codec.Notify, 0, route, nil, 0, nil, 0)
		return b
	}
	ready := append(packet(codec.Handshake, "{}"), packet(codec.HandshakeAck, "")...)
	joined := append(ready, notify("A.Join")...)
	ends := []struct {
		send   []byte
		read   bool // until the server has closed
		abrupt bool // a reset instead of a goodbye
	}{
		{nil, false, false},
		{packet(codec.Handshake, "{}"), false, false},
		{ready, false, false},
		{joined, false, false},
		{joined, false, true},
		{append(slices.Clip(joined), notify("A.Close")...), true, false},
		{append(slices.Clip(joined), notify("A.Kick")...), true, false},
		{append(slices.Clip(joined), 0xff), true, false},
		{append(slices.Clip(joined), notify("A.Kick")...), false, true},
		{[]byte("GET"), true, false},
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range total / workers {
				e := ends[(w+i)%len(ends)]
				nc, err := net.Dial("tcp", app.Addrs()[0].String())
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				_ = nc.SetDeadline(time.Now().Add(nanotest.Patience))
				if _, err := nc.Write(e.send); err != nil {
					t.Errorf("write: %v", err)
				}
				if e.read {
					if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the server did not close after %q", e.send)
					}
				}
				if e.abrupt {
					_ = nc.(*net.TCPConn).SetLinger(0)
				}
				_ = nc.Close()
			}
		})
	}
	for range 4 { // and some that are upgraded
		wg.Go(func() {
			for range 50 {
				nc, err := net.Dial("tcp", app.Addrs()[1].String())
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				c, err := nanotest.Upgrade(t, nc, "/", nil)
				if err != nil {
					t.Errorf("upgrade: %v", err)
					return
				}
				_ = c.Send(joined)
				c.Close()
			}
		})
	}
	wg.Wait()
	return total + 200
}

// After 10,000 connects and ends of every kind nothing of them remains.
func TestNothingIsLeftOfClosedConnections(t *testing.T) {
	nanotest.Leaks(t)
	files := nanotest.OpenFiles(t)
	var opened, closed atomic.Int64
	seen := sync.Map{} // id of the session: how often it was closed
	g := nano.NewGroup("all")
	comps := apptest.Handlers(apptest.Funcs{
		"A.Join": func(_ context.Context, s *session.Session, _ []byte) error {
			s.Set("key", "value")
			return errors.Join(g.Add(s), s.Bind(s.ID()%100+1))
		},
		"A.Close": func(_ context.Context, s *session.Session, _ []byte) error { s.Close(); return nil },
		"A.Kick":  func(_ context.Context, s *session.Session, _ []byte) error { return s.Kick("go") },
	})
	app := nano.New("", nano.WithComponents(comps), apptest.Quiet(),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}), nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true}))
	app.Lifetime().OnOpened(func(*session.Session) { opened.Add(1) })
	app.Lifetime().OnClosed(func(s *session.Session) {
		closed.Add(1)
		n, _ := seen.LoadOrStore(s.ID(), new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer apptest.Shutdown(t, app)

	all := comeAndGo(t, app)
	nanotest.Until(t, "all connections are gone", func() bool {
		st := app.Stats()
		return st.Accepted == uint64(all) && st.Connections == 0 && closed.Load() == int64(all)
	})
	// What a scheduler has queued has run: OnClosed is on it, and groups are left after it.
	ran := make(chan struct{})
	app.Scheduler().PushTask(func() { close(ran) })
	<-ran
	if st := app.Stats(); st.Sessions != 0 || len(app.UIDs()) != 0 || g.Count() != 0 {
		t.Errorf("left: %d sessions, users %v, %d group members", st.Sessions, app.UIDs(), g.Count())
	}
	n := 0
	seen.Range(func(id, times any) bool {
		n++
		if got := times.(*atomic.Int64).Load(); got != 1 {
			t.Errorf("OnClosed ran %d times for session %d", got, id)
		}
		return true
	})
	if n != all {
		t.Errorf("OnClosed ran for %d sessions of %d", n, all)
	}
	if opened.Load() > closed.Load() || opened.Load() == 0 {
		t.Errorf("%d opened", opened.Load())
	}
	apptest.Shutdown(t, app)
	nanotest.Until(t, "descriptors are closed", func() bool { return nanotest.OpenFiles(t) <= files })
}

// What a context knows of its call, through the names that applications use.
func TestContextOfAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{
			"A.Ctx": func(ctx context.Context, s *session.Session, _ []byte) error {
				ctx = context.WithValue(ctx, key{}, 1)
				return s.Response(fmt.Sprintln(nano.MessageID(ctx), nano.Route(ctx), nano.SessionOf(ctx) == s))
			},
		}))
		c := n.TCP.Client(t)
		c.Ready()
		c.Call("Ping.Pong", nil)
		if m := c.Call("A.Ctx", nil); string(m.Data) != `"2 A.Ctx true\n"` {
			t.Errorf("got %s", m.Data)
		}
	})
	ctx := context.Background()
	if nano.MessageID(ctx) != 0 || nano.Route(ctx) != "" || nano.SessionOf(ctx) != nil {
		t.Error("a context of nobody knows something")
	}
	if err := nano.Refuse(501, "too old"); !strings.Contains(err.Error(), "501") || !strings.Contains(err.Error(), "too old") {
		t.Errorf("Refuse: %v", err)
	}
	if err := nano.Errorf("full", "room: %w", io.EOF); !errors.Is(err, io.EOF) || err.Code != "full" {
		t.Errorf("Errorf: %v", err)
	}
}
