package cluster_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A gate that is drained hands its clients over to another one, and ends when the last is there:
// nothing that a backend sends them meanwhile is lost, and no session ends.
func TestDrainedGateHandsItsClientsOver(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		joined := make(chan *session.Session, 1)
		back := f.Start(t, apptest.Master, apptest.Handlers(apptest.Funcs{
			"Room.Join": func(_ context.Context, s *session.Session, _ []byte) error {
				joined <- s
				return s.Response([]byte("in"))
			},
		}))
		var closed atomic.Int32
		back.Lifetime().OnClosed(func(*session.Session) { closed.Add(1) })
		resume := nano.WithResume(nano.Resume{Window: 30 * time.Second})
		one := f.Start(t, "gate:1", new(component.Components), resume)
		two := f.Start(t, "gate:2", new(component.Components), resume)
		apptest.Meet(t, one, two, back)

		c := one.TCP.Client(t)
		key := resumeToken(t, c.Handshake(`{"sys":{"accept":["resume"]}}`), false)
		c.Ack()
		if m := c.Call("Room.Join", nil); string(m.Data) != "in" {
			t.Fatalf("join: %q", m.Data)
		}
		s := <-joined
		ended := make(chan error, 1)
		go func() { ended <- one.Drain(t.Context()) }()
		if got := c.Push("nano.drain"); string(got) != "{}" {
			t.Fatalf("push %q", got)
		}
		c.Close()
		synctest.Wait()
		if err := s.Push("n", []byte("while away")); err != nil {
			t.Fatal(err)
		}
		c = two.TCP.Client(t)
		_ = resumeToken(t, c.Handshake(fmt.Sprintf(`{"sys":{"accept":["resume"],"resume":{"token":%q,"received":2}}}`, key)), true)
		c.Ack()
		if got := c.Push("n"); string(got) != "while away" {
			t.Fatalf("push %q", got)
		}
		if err := <-ended; err != nil {
			t.Fatalf("drain: %v", err)
		}
		one.Stop(t)
		if err := s.Push("n", []byte("after")); err != nil {
			t.Fatal(err)
		}
		if got := c.Push("n"); string(got) != "after" {
			t.Fatalf("push %q", got)
		}
		apptest.Pong(t, c)
		if closed.Load() != 0 || s.Closed() {
			t.Error("the session has ended at the backend")
		}
	})
}
