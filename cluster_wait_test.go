package nano_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/session"
)

// A backend has started, the gate knows it, and the first players are there in the same moment: their first requests and
// calls are served, and do not fail because the gate has not heard yet that the backend works.
func TestClusterFirstMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(nil))
		meet(t, m, g)
		c := g.tcp.Client(t)
		c.Ready(acceptErrors)
		f.start(t, "back:1", handlers(backend(nil)))
		call1(t, c, "Back.Echo", "first", "first")
		f.start(t, "back:2", handlers(fns{"Two.Echo": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) }}))
		var reply []byte
		if err := g.Call(t.Context(), "Two.Echo", []byte("first"), &reply); err != nil || string(reply) != "first" {
			t.Errorf("the first call is answered with %q, %v", reply, err)
		}
	})
}

// WaitFor returns when a call is served, and no earlier.
func TestClusterWaitFor(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		g := f.make("gate:1", handlers(nil))
		if err := g.WaitFor(t.Context(), "Back"); err == nil || !strings.Contains(err.Error(), "has not started") {
			t.Errorf("before the start: %v", err)
		}
		m := f.start(t, masterAddr, handlers(nil))
		if err := g.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.stop(t) })
		meet(t, m, g)
		if err := g.WaitFor(t.Context(), "Ping"); err != nil {
			t.Errorf("its own service: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.WaitFor(ctx, "Ping", "Back"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"Back"`) {
			t.Errorf("nobody runs it: %v", err)
		}
		ready := make(chan struct{})
		cs := handlers(backend(nil))
		cs.Register(&Life{init: func() { <-ready }})
		b := f.make("back:1", cs)
		waited := make(chan error, 1)
		go func() { waited <- g.WaitFor(t.Context(), "Ping", "Back") }()
		started := make(chan error, 1)
		go func() { started <- b.Start() }()
		t.Cleanup(func() { b.stop(t) })
		time.Sleep(3 * time.Second)
		select {
		case err := <-waited:
			t.Errorf("it returned before the node was ready: %v", err)
		default:
		}
		close(ready)
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil {
			t.Error(err)
		}
		if err := g.Call(t.Context(), "Back.Echo", []byte("x"), nil); err != nil {
			t.Errorf("a call after it: %v", err)
		}
		f.block("gate:1", "back:1")
		time.Sleep(100 * time.Millisecond)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.WaitFor(ctx, "Back"); err == nil {
			t.Error("a node that cannot be reached counts as reached")
		}
		f.allow("gate:1", "back:1")
		if err := g.WaitFor(t.Context(), "Back"); err != nil {
			t.Errorf("when it can be reached again: %v", err)
		}
	})
}

// A node in no cluster says at once what it will never reach.
func TestWaitForAlone(t *testing.T) {
	n := start(t, handlers(nil))
	if err := n.WaitFor(t.Context(), "Ping"); err != nil {
		t.Errorf("its own: %v", err)
	}
	var coded *nano.Error
	if err := n.WaitFor(t.Context(), "Back"); !errors.As(err, &coded) || coded.Code != "not_found" {
		t.Errorf("another: %v", err)
	}
}
