package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// victim is the payload for which a filter panics.
const victim = "victim"

func panicOnVictim(m *pipeline.Message) {
	if string(m.Data) == victim {
		panic("a filter")
	}
}

// panicking is a callback of the application that panics for one client.
type panicking struct {
	name    string
	options func() []nano.Option
	do      func(s *session.Session) error // what H.Do does
	act     func(t *testing.T, w *panicWorld)
	logged  string
}

// panicWorld is the node that it happens to.
type panicWorld struct {
	*apptest.Node
	h *Hostile
	c *nanotest.Client // the client that it happens to
}

// Each of the application's callbacks panics for one client. The process would end, or the
// neighbour's connection, or the scheduler, and with it everybody's game.
func TestPanicCostsOneCall(t *testing.T) {
	for _, row := range slices.Concat(panicsOfMessages, panicsOfConnections, panicsOfTheScheduler) {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &panicWorld{h: &Hostile{}}
				if row.do != nil {
					w.h.do = func(s *session.Session, _ []byte) error {
						if err := row.do(s); err != nil {
							return err
						}
						return s.Response([]byte("done"))
					}
				}
				var opts []nano.Option
				if row.options != nil {
					opts = row.options()
				}
				cs := w.h.comps()
				component.HandleNotify(cs, "G.Typed", func(_ context.Context, _ *session.Session, _ *bomb) error { return nil })
				w.Node = apptest.Start(t, cs, opts...)
				neighbour := w.TCP.Client(t)
				neighbour.Beats = true
				neighbour.Ready()
				alive(t, neighbour)
				w.c = w.TCP.Client(t)
				w.c.Beats = true
				w.c.Ready(`{"sys":{"accept":["error"]}}`)
				row.act(t, w)
				alive(t, neighbour)
				if row.logged != "" && !w.Log.Has(row.logged) {
					t.Errorf("nothing in the log says %q: %q", row.logged, w.Log.Lines())
				}
			})
		})
	}
}

// panicsOfMessages happen while a message is handled or sent.
var panicsOfMessages = []panicking{
	{
		name: "inbound filter",
		options: func() []nano.Option {
			p := pipeline.New()
			p.Inbound().PushBack(func(_ *session.Session, m *pipeline.Message) error { panicOnVictim(m); return nil })
			return []nano.Option{nano.WithPipeline(p)}
		},
		act: func(t *testing.T, w *panicWorld) {
			if m := w.c.Call("H.Echo", []byte(victim)); !m.Err {
				t.Errorf("answered with %v", m)
			}
			alive(t, w.c)
		},
		logged: "message failed",
	},
	{
		name: "outbound filter",
		options: func() []nano.Option {
			p := pipeline.New()
			p.Outbound().PushBack(func(_ *session.Session, m *pipeline.Message) error { panicOnVictim(m); return nil })
			return []nano.Option{nano.WithPipeline(p)}
		},
		act: func(t *testing.T, w *panicWorld) {
			if m := w.c.Call("H.Echo", []byte(victim)); !m.Err {
				t.Errorf("answered with %v", m)
			}
			alive(t, w.c)
		},
		logged: "message failed",
	},
	{
		name: "handler",
		do:   func(*session.Session) error { panic("handler") },
		act: func(t *testing.T, w *panicWorld) {
			if m := w.c.Call("H.Do", nil); !m.Err || !strings.Contains(string(m.Data), component.CodeInternal) || strings.Contains(string(m.Data), "handler") {
				t.Errorf("answered with %v", m)
			}
			w.c.Notify("H.Do", nil)
			alive(t, w.c)
		},
		logged: "handler panicked",
	},
	{
		name: "handler out of range",
		do:   func(s *session.Session) error { return fmt.Errorf("%d", make([]int, 1)[s.ID()]) },
		act: func(t *testing.T, w *panicWorld) {
			w.c.Call("H.Do", nil)
			alive(t, w.c)
		},
		logged: "handler panicked",
	},
	{
		name:    "serializer",
		options: func() []nano.Option { return []nano.Option{nano.WithSerializer(panicky{json.NewSerializer()})} },
		do:      func(s *session.Session) error { return s.Push("onIt", bomb{}) },
		act: func(t *testing.T, w *panicWorld) {
			if m := w.c.Call("H.Do", nil); !m.Err {
				t.Errorf("answered with %v", m)
			}
			if m := w.c.Call("G.Typed", []byte(victim)); !m.Err {
				t.Errorf("answered with %v", m)
			}
			alive(t, w.c)
		},
		logged: "serializer panicked",
	},
	{
		name: "error shape",
		options: func() []nano.Option {
			return []nano.Option{nano.WithErrorShape(func(*session.Session, string, error) any { panic("shape") })}
		},
		do: func(*session.Session) error { return errors.New("x") },
		act: func(t *testing.T, w *panicWorld) {
			if m := w.c.Call("H.Do", nil); !m.Err || !strings.Contains(string(m.Data), component.CodeInternal) {
				t.Errorf("answered with %v", m)
			}
		},
		logged: "error shape function panicked",
	},
	{
		name: "group filter",
		do: func(s *session.Session) error {
			g := nano.NewGroup("g")
			if err := g.Add(s); err != nil {
				return err
			}
			return g.Multicast("onIt", []byte("x"), func(*session.Session) bool { panic("filter") })
		},
		act: func(t *testing.T, w *panicWorld) {
			if m := w.c.Call("H.Do", nil); !m.Err {
				t.Errorf("answered with %v", m)
			}
			alive(t, w.c)
		},
		logged: "handler panicked",
	},
}

// panicsOfConnections happen before a client has a session.
var panicsOfConnections = []panicking{
	{
		name: "validator",
		options: func() []nano.Option {
			return []nano.Option{nano.WithHandshakeValidator(func(_ *session.Session, b []byte) error {
				if bytes.Contains(b, []byte(victim)) {
					panic("validator")
				}
				return nil
			})}
		},
		act: func(t *testing.T, w *panicWorld) {
			c := w.TCP.Client(t)
			if a := c.Handshake(`{"user":"victim"}`); a.Code != 500 {
				t.Errorf("answered with %s", a.Body)
			}
			c.Ended()
		},
		logged: "validator panicked",
	},
	{
		name: "origin check",
		options: func() []nano.Option {
			return []nano.Option{nano.WithCheckOriginFunc(func(r *http.Request) bool {
				if r.Header.Get("Origin") != "" {
					panic("origin")
				}
				return true
			})}
		},
		act: func(t *testing.T, w *panicWorld) {
			nc, err := w.WS.Dial()
			if err != nil {
				t.Fatal(err)
			}
			var refused *nanotest.RefusedError
			if _, err := nanotest.Upgrade(t, nc, "/", http.Header{"Origin": {"https://x.example"}}); !errors.As(err, &refused) {
				t.Errorf("the upgrade: %v", err)
			}
			c := w.WS.WebSocket(t)
			c.Ready()
			alive(t, c)
		},
		logged: "origin check panicked",
	},
	{
		name: "page",
		options: func() []nano.Option {
			return []nano.Option{nano.WithHTTPHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("page") }))}
		},
		act: func(t *testing.T, w *panicWorld) {
			nc, err := w.WS.Dial()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nanotest.Upgrade(t, nc, "/page", nil); err == nil {
				t.Error("a page that panics was upgraded")
			}
			c := w.WS.WebSocket(t)
			c.Ready()
			alive(t, c)
		},
		logged: "ERROR page panicked path=/page panic=page",
	},
	{
		name: "page that ends its request",
		options: func() []nano.Option {
			return []nano.Option{nano.WithHTTPHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))}
		},
		act: func(t *testing.T, w *panicWorld) {
			nc, err := w.WS.Dial()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nanotest.Upgrade(t, nc, "/page", nil); err == nil {
				t.Error("a page that ends its request was upgraded")
			}
			if got := w.Log.Lines("panicked"); len(got) != 0 {
				t.Errorf("logged: %q", got)
			}
		},
	},
}

// panicsOfTheScheduler happen beside messages.
var panicsOfTheScheduler = []panicking{
	{
		name: "task",
		act: func(t *testing.T, w *panicWorld) {
			w.Scheduler().PushTask(func() { panic("task") })
			alive(t, w.c)
		},
		logged: "a task or timer panicked",
	},
	{
		name: "timer",
		act: func(t *testing.T, w *panicWorld) {
			var ticks atomic.Int32
			timer := w.Scheduler().NewTimer(100*time.Millisecond, func() {
				ticks.Add(1)
				panic("timer")
			})
			time.Sleep(350 * time.Millisecond)
			timer.Stop()
			if got := ticks.Load(); got != 3 {
				t.Errorf("the timer ran %d times, want 3: a panic costs one call", got)
			}
			alive(t, w.c)
		},
		logged: "a task or timer panicked",
	},
	{
		name: "OnOpened, OnBound and OnClosed",
		do:   func(s *session.Session) error { return s.Bind(7) },
		act: func(t *testing.T, w *panicWorld) {
			synctest.Wait() // the session that is open already has had its OnOpened
			var after atomic.Int32
			for _, add := range []func(session.LifetimeHandler){w.Lifetime().OnOpened, w.Lifetime().OnBound, w.Lifetime().OnClosed} {
				add(func(*session.Session) { panic("lifetime") })
				add(func(*session.Session) { after.Add(1) })
			}
			c := w.TCP.Client(t)
			c.Ready(`{"sys":{"accept":["error"]}}`)
			if m := c.Call("H.Do", nil); m.Err { // the bind itself worked
				t.Errorf("answered with %v", m)
			}
			c.Close()
			synctest.Wait()
			if got := after.Load(); got != 3 {
				t.Errorf("%d of the 3 handlers after a panicking one were called", got)
			}
			if got := w.SessionsOf(7); len(got) > 0 {
				t.Errorf("the session is still known: %v", got)
			}
		},
		logged: "lifetime handler panicked",
	},
}

// bomb is what no serializer can carry.
type bomb struct{}

type panicky struct{ *json.Serializer }

func (p panicky) Marshal(v any) ([]byte, error) {
	if _, ok := v.(bomb); ok {
		panic("marshal")
	}
	return p.Serializer.Marshal(v)
}

func (p panicky) Unmarshal(b []byte, v any) error {
	if _, ok := v.(*bomb); ok {
		panic("unmarshal")
	}
	return p.Serializer.Unmarshal(b, v)
}

// A panic in Init is the reason why a node does not start, not the end of the process that started
// it.
func TestPanicInInitIsAnErrorOfStart(t *testing.T) {
	for _, row := range []struct {
		name string
		comp component.Component
	}{{"Init", &BadInit{}}, {"AfterInit", &BadAfterInit{}}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cs := &component.Components{}
				cs.Register(row.comp)
				n := apptest.New(cs)
				if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), row.name) || !strings.Contains(err.Error(), "not today") {
					t.Errorf("Start returned %v", err)
				}
				if _, err := n.TCP.Dial(); err == nil {
					t.Error("the listener is still open")
				}
				n.Stop(t)
			})
		})
	}
}

// BadInit and BadAfterInit are components that cannot start.
type BadInit struct{ component.Base }

func (*BadInit) Init() { panic("not today") }

func (*BadInit) Hello(*session.Session, []byte) error { return nil }

type BadAfterInit struct{ component.Base }

func (*BadAfterInit) AfterInit() { panic("not today") }

func (*BadAfterInit) Hello(*session.Session, []byte) error { return nil }

// A component that cannot shut down does not keep the others from it, nor the process alive.
func TestPanicInAShutdownHookKeepsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hostile{}
		cs := h.comps()
		bad := &BadShutdown{}
		cs.Register(bad)
		n := apptest.Start(t, cs)
		c := n.TCP.Client(t)
		c.Ready()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			n.Stop(t)
		}()
		if got := c.Kicked(); got == "" {
			t.Error("kicked without a reason")
		}
		<-ended
		if !bad.before || !n.Log.Has("BeforeShutdown", "panicked") || !n.Log.Has("=Shutdown of", "panicked") {
			t.Errorf("hooks were not run or not reported: %q", n.Log.Lines())
		}
	})
}

// BadShutdown panics in both hooks.
type BadShutdown struct {
	component.Base
	before bool
}

func (b *BadShutdown) BeforeShutdown() { b.before = true; panic("before") }

func (b *BadShutdown) Shutdown() { panic("shutdown") }

func (*BadShutdown) Hello(*session.Session, []byte) error { return nil }
