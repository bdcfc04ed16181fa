package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/test/internal/apptest"
)

// A backend is in the list and about to be ready when the first players come: their first requests
// and calls wait for it a moment, and are served. They failed because the gate had not heard yet
// that the backend works.
func TestFirstMessagesWaitForAStart(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		ready := make(chan struct{})
		cs := apptest.Handlers(backend(nil))
		cs.Register(&apptest.Life{OnInit: func() { <-ready }})
		b := f.Make("back:1", cs)
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context()) }()
		t.Cleanup(func() { b.Stop(t) })
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		id := c.Request("Back.Echo", []byte("first"))
		called := make(chan error, 1)
		go func() { called <- g.Call(t.Context(), "Back.Echo", []byte("first"), nil) }()
		time.Sleep(100 * time.Millisecond)
		close(ready)
		if got := c.Response(id); got.Err || string(got.Data) != "first" {
			t.Errorf("the first request is answered with %q", got.Data)
		}
		if err := <-called; err != nil {
			t.Errorf("the first call: %v", err)
		}
		if err := <-started; err != nil {
			t.Error(err)
		}
	})
}

// WaitFor returns when a call is served, and no earlier.
func TestWaitForAService(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		g := f.Make("gate:1", apptest.Handlers(nil))
		if err := g.WaitFor(t.Context(), "Back"); err == nil || !strings.Contains(err.Error(), "has not started") {
			t.Errorf("before the start: %v", err)
		}
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Stop(t) })
		apptest.Meet(t, m, g)
		if err := g.WaitFor(t.Context(), "Ping"); err != nil {
			t.Errorf("its own service: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.WaitFor(ctx, "Ping", "Back"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"Back"`) {
			t.Errorf("nobody runs it: %v", err)
		}
		ready := make(chan struct{})
		cs := apptest.Handlers(backend(nil))
		cs.Register(&apptest.Life{OnInit: func() { <-ready }})
		b := f.Make("back:1", cs)
		waited := make(chan error, 1)
		go func() { waited <- g.WaitFor(t.Context(), "Ping", "Back") }()
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context()) }()
		t.Cleanup(func() { b.Stop(t) })
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
		f.Block("gate:1", "back:1")
		time.Sleep(100 * time.Millisecond)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.WaitFor(ctx, "Back"); err == nil {
			t.Error("a node that cannot be reached counts as reached")
		}
		f.Allow("gate:1", "back:1")
		if err := g.WaitFor(t.Context(), "Back"); err != nil {
			t.Errorf("when it can be reached again: %v", err)
		}
	})
}

// A node of the 0.5 series is reached when there is a connection to it.
func TestWaitForAnOldNode(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		apptest.Meet(t, m, g)
		f.Block("gate:1", "old:1")
		newOld(t, f, "old:1", "Old").register()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := g.WaitFor(ctx, "Old"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing gets there: %v", err)
		}
		f.Allow("gate:1", "old:1")
		if err := g.WaitFor(t.Context(), "Old"); err != nil {
			t.Errorf("when it can be reached: %v", err)
		}
	})
}

// A node in no cluster says at once what it will never reach.
func TestWaitForAlone(t *testing.T) {
	n := apptest.Start(t, apptest.Handlers(nil))
	if err := n.WaitFor(t.Context(), "Ping"); err != nil {
		t.Errorf("its own: %v", err)
	}
	var coded *nano.Error
	if err := n.WaitFor(t.Context(), "Back"); !errors.As(err, &coded) || coded.Code != "not_found" {
		t.Errorf("another: %v", err)
	}
}

// A backend that takes long to start: who waited in vain is told, and the messages behind do not
// each wait again. A client that sends a few would not be read for seconds, and lose its session as
// silent.
func TestSlowStartHoldsUpNoClient(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		ready := make(chan struct{})
		cs := apptest.Handlers(backend(nil))
		cs.Register(&apptest.Life{OnInit: func() { <-ready }})
		b := f.Make("back:1", cs)
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context()) }()
		t.Cleanup(func() { b.Stop(t) })
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		began := time.Now()
		var ids []uint64
		for range 10 {
			ids = append(ids, c.Request("Back.Echo", []byte("early")))
		}
		for _, id := range ids {
			if got := c.Response(id); !got.Err {
				t.Errorf("a request is answered with %q", got.Data)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("all have their errors after %v", took)
		}
		began = time.Now()
		if err := g.Call(t.Context(), "Back.Echo", nil, nil); err == nil || time.Since(began) > 0 {
			t.Errorf("a later call: %v after %v", err, time.Since(began))
		}
		close(ready)
		if err := <-started; err != nil {
			t.Error(err)
		}
		if err := g.WaitFor(t.Context(), "Back"); err != nil {
			t.Error(err)
		}
		if got := c.Call("Back.Echo", []byte("late")); string(got.Data) != "late" {
			t.Errorf("when it has started: %q", got.Data)
		}
	})
}
