package cluster_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// shift is a backend that says who answers, and what its hooks were told.
type shift struct {
	*apptest.Node
	opened  atomic.Int32
	closed  atomic.Int32
	release chan struct{} // lets Wait answer
}

func startShift(t *testing.T, f *apptest.Cluster, addr string, opts ...nano.Option) *shift {
	b := &shift{release: make(chan struct{})}
	b.Node = f.Make(addr, apptest.Handlers(apptest.Funcs{
		"Room.Where": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte(addr)) },
		"Room.Wait": func(_ context.Context, s *session.Session, _ []byte) error {
			mid := s.LastMid()
			go func() {
				<-b.release
				_ = s.ResponseMID(mid, []byte(addr))
			}()
			return nil
		},
	}), opts...)
	b.Lifetime().OnOpened(func(*session.Session) { b.opened.Add(1) })
	b.Lifetime().OnClosed(func(*session.Session) { b.closed.Add(1) })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Stop(t) })
	return b
}

// A backend that is drained moves its rooms, and then all who were served there are served by
// another one, which hears of them at once. What they had asked is answered.
func TestDrainedBackendHasItsSessionsChooseAgain(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		gate := f.Start(t, apptest.Master, new(component.Components))
		served := make(chan int32, 1)
		var one, two *shift
		one = startShift(t, f, "back:1", nano.WithDrain(nano.Drain{Move: func(ctx context.Context) error {
			if ctx.Err() != nil || !one.Draining() {
				t.Error("the rooms are moved too early, or too late")
			}
			served <- two.opened.Load() // who chooses again while the rooms move finds none
			return errors.New("one room stays")
		}}))
		two = startShift(t, f, "back:2")
		apptest.Meet(t, gate, one.Node, two.Node)

		var clients []*nanotest.Client
		var here []*nanotest.Client // whom the first backend serves
		var waiting []uint64
		for range 20 {
			c := gate.TCP.Client(t)
			c.Ready(apptest.AcceptErrors)
			clients = append(clients, c)
			if m := c.Call("Room.Where", nil); string(m.Data) == "back:1" {
				here, waiting = append(here, c), append(waiting, c.Request("Room.Wait", nil))
			}
		}
		synctest.Wait()
		others := int32(len(clients) - len(here))
		if len(here) == 0 || others == 0 {
			t.Fatalf("%d of %d at the first backend", len(here), len(clients))
		}
		err := one.Drain(t.Context())
		if err == nil || err.Error() != "nano: drain: move: one room stays" {
			t.Errorf("drain: %v", err)
		}
		if got := <-served; got != others {
			t.Errorf("%d were served by the other before the rooms had moved, want %d", got, others)
		}
		synctest.Wait()
		if got := two.opened.Load(); got != int32(len(clients)) {
			t.Errorf("the other backend was told of %d sessions, want all %d", got, len(clients))
		}
		if one.closed.Load() != 0 {
			t.Error("sessions have ended that go on")
		}
		for _, c := range clients {
			apptest.Call(t, c, "Room.Where", "", "back:2")
		}
		fresh := gate.TCP.Client(t)
		fresh.Ready(apptest.AcceptErrors)
		apptest.Call(t, fresh, "Room.Where", "", "back:2")
		close(one.release)
		for i, c := range here {
			if m := c.Response(waiting[i]); m.Err || string(m.Data) != "back:1" {
				t.Errorf("what was asked before is answered with %v %q", m, m.Data)
			}
		}
		one.Stop(t)
		for _, c := range clients {
			apptest.Call(t, c, "Room.Where", "", "back:2")
		}
		// With nobody else, a backend keeps its sessions.
		if err := two.Rebind(t.Context(), "Room"); err != nil {
			t.Error(err)
		}
		apptest.Call(t, clients[0], "Room.Where", "", "back:2")
		if got := two.opened.Load(); got != int32(len(clients))+1 {
			t.Errorf("%d sessions were opened", got)
		}
	})
}

// A panic of the application's, and a node that has not started, are errors of the drain.
func TestMoveThatPanicsIsAnError(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		n := f.Make(apptest.Master, apptest.Handlers(nil), nano.WithDrain(nano.Drain{Move: func(context.Context) error { panic("oops") }}))
		if err := n.Drain(t.Context()); err == nil || n.Rebind(t.Context(), "Ping") == nil {
			t.Error("a node is drained that has not started")
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer n.Stop(t)
		if err := n.Drain(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "nano: drain: move: panic: oops") {
			t.Errorf("drain: %v", err)
		}
		if err := n.Drain(t.Context()); err != nil {
			t.Errorf("the second drain: %v", err)
		}
	})
}
