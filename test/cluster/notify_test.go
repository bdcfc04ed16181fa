package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Calls between nodes: replies, errors with their codes, deadlines, and the death of who was asked.
func TestCallsBetweenNodes(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		type text struct{ S string }
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		a := f.Start(t, "back:1", apptest.Handlers(nil))
		cs := new(component.Components)
		component.Handle(cs, "B.Echo", func(_ context.Context, s *session.Session, req *text) (*text, error) {
			return &text{fmt.Sprintf("%s %d %s", req.S, s.UID(), s.RemoteAddr())}, s.Push("x", nil)
		})
		component.Handle(cs, "B.OK", func(_ context.Context, _ *session.Session, req *text) (*text, error) { return req, nil })
		component.Handle(cs, "B.Coded", func(context.Context, *session.Session, *text) (*text, error) {
			return nil, nano.Errorf("full", "room %d is full", 3)
		})
		component.Handle(cs, "B.Error", func(context.Context, *session.Session, *text) (*text, error) { return nil, errors.New("secret") })
		component.Handle(cs, "B.Panic", func(context.Context, *session.Session, *text) (*text, error) { panic("secret") })
		component.HandleRaw(cs, "B.Never", func(context.Context, *session.Session, []byte) error { return nil })
		component.HandleRaw(cs, "B.Raw", func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) })
		b := f.Start(t, "back:2", cs, nano.WithErrorShape(func(*session.Session, string, error) any { return "for clients" }))
		apptest.Meet(t, m, a, b)
		ctx := a.Context(t.Context())
		if got, err := nano.Call[text](ctx, "B.OK", text{"hello"}); err != nil || got.S != "hello" {
			t.Errorf("got %v, %v", got, err)
		}
		if got, err := nano.Call[text](b.Context(t.Context()), "B.OK", text{"here"}); err != nil || got.S != "here" {
			t.Errorf("on the node itself: %v, %v", got, err)
		}
		for _, c := range []struct{ route, code, text string }{
			{"B.Coded", "full", "room 3 is full"},
			{"B.Error", component.CodeInternal, "internal error"},
			{"B.Panic", component.CodeInternal, "internal error"},
			{"B.Echo", component.CodeInvalid, "there is no client"}, // to push to
			{"B.None", component.CodeNotFound, "B"},
			{"None.None", component.CodeNotFound, "None"},
			{"None", component.CodeInvalid, "None"},
		} {
			for _, n := range []*apptest.Node{a, b} {
				var e *nano.Error
				_, err := nano.Call[text](n.Context(t.Context()), c.route, text{"x"})
				if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Message, c.text) || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s from %s: %v", c.route, n.Addr, err)
				}
			}
		}
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := nano.Call[text](short, "B.Never", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 50*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		began = time.Now()
		if _, err := nano.Call[text](ctx, "B.Never", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != cluster.DefaultCallTimeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		cause := errors.New("enough")
		canceled, stop := context.WithCancelCause(ctx)
		time.AfterFunc(time.Millisecond, func() { stop(cause) })
		if _, err := nano.Call[text](canceled, "B.Never", nil); !errors.Is(err, cause) {
			t.Errorf("canceled: %v", err)
		}
		if _, err := nano.Call[text](t.Context(), "B.OK", nil); !errors.Is(err, nano.ErrNoApp) {
			t.Errorf("from nowhere: %v", err)
		}
		// It dies.
		failed := make(chan error, 1)
		go func() {
			_, err := nano.Call[text](ctx, "B.Never", nil)
			failed <- err
		}()
		synctest.Wait()
		f.Kill("back:2")
		began = time.Now()
		var e *nano.Error
		if err := <-failed; !errors.As(err, &e) || e.Code != component.CodeUnavailable || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if _, err := nano.Call[text](ctx, "B.OK", nil); !errors.As(err, &e) || e.Code != component.CodeUnavailable {
			t.Errorf("after its death: %v", err)
		}
	})
}

// Notifies to one, to all that run a service, and to a node by name.
func TestNotifyReachesNodes(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		var mu sync.Mutex
		got := map[string]int{}
		note := func(name string) *component.Components {
			return apptest.Handlers(apptest.Funcs{"Note.Do": func(_ context.Context, s *session.Session, data []byte) error {
				mu.Lock()
				defer mu.Unlock()
				got[name+" "+string(data)+" from "+s.RemoteAddr().String()]++
				return nil
			}})
		}
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		a := f.Start(t, "back:1", note("a"))
		b := f.Start(t, "back:2", note("b"))
		apptest.Meet(t, m, a, b)
		expect := func(want map[string]int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
			clear(got)
		}
		for range 4 {
			if err := m.Notify("Note.Do", []byte("one")); err != nil {
				t.Error(err)
			}
		}
		expect(map[string]int{"a one from master:1": 2, "b one from master:1": 2})
		if err := m.NotifyAll("Note.Do", []byte("all")); err != nil {
			t.Error(err)
		}
		if err := a.NotifyAll("Note.Do", []byte("all")); err != nil {
			t.Error(err)
		}
		expect(map[string]int{"a all from master:1": 1, "b all from master:1": 1, "a all from back:1": 1, "b all from back:1": 1})
		for _, to := range []string{"back:1", "back:2"} {
			for _, n := range []*apptest.Node{m, a} {
				if err := n.NotifyNode(to, "Note.Do", []byte("named")); err != nil {
					t.Error(err)
				}
			}
		}
		expect(map[string]int{"a named from master:1": 1, "b named from master:1": 1, "a named from back:1": 1, "b named from back:1": 1})
		for what, err := range map[string]error{
			"one": m.Notify("None.Do", nil), "all": m.NotifyAll("None.Do", nil), "nowhere": m.NotifyNode("nowhere:1", "Note.Do", nil),
			"here": m.NotifyNode(apptest.Master, "Note.Do", nil), "no route": m.Notify("None", nil),
		} {
			var e *nano.Error
			if !errors.As(err, &e) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}
