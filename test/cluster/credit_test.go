package cluster_test

import (
	"context"
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

// overflow has a session sign in and out until the queue to a node, of 1 KiB, has overflowed. full
// is called while it is.
func overflow(t *testing.T, n *apptest.Node, s *session.Session, full func()) {
	t.Helper()
	for uid := range int64(500) {
		_ = s.Bind(100 + uid) // fails once the queue is full, where it is the one to the session's gate
		s.Clear()
	}
	full()
	synctest.Wait()
	if len(n.Log.Lines("overflowed")) == 0 {
		t.Fatal("the queue did not overflow: the test would show nothing")
	}
}

// messages reads on what comes to a client, answers heartbeats, and passes on what the data packets
// hold.
func messages(c *nanotest.Client) <-chan codec.View {
	all := make(chan codec.View, 1000)
	go func() {
		defer close(all)
		for {
			p, err := c.Next()
			if err != nil {
				return
			}
			switch p.Type {
			case codec.Heartbeat:
				c.Heartbeat()
			case codec.Data:
				if v, err := codec.ParseMessage(append([]byte(nil), p.Body...)); err == nil {
					all <- v
				}
			}
		}
	}()
	return all
}

// arrives tells whether something comes within d.
func arrives[T any](c <-chan T, d time.Duration) (v T, ok bool) {
	select {
	case v = <-c:
		return v, true
	case <-time.After(d):
		return v, false
	}
}

// When the link from a backend to a gate overflows, answers and credit are lost with its queue:
// requests get an error, and no client is held up for what the backend has long done.
func TestOverflowToAGateHoldsUpNoClient(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		release, ran := make(chan struct{}), make(chan struct{})
		var waits *session.Session
		var mid uint64
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Slow": func(context.Context, *session.Session, []byte) error { <-release; return nil },
			"Back.Later": func(_ context.Context, s *session.Session, _ []byte) error {
				waits, mid = s, s.LastMid()
				close(ran)
				return nil
			},
		})), nano.WithLinkQueue(1<<10))
		apptest.Meet(t, m, g, b)
		bad, good := g.TCP.Client(t), g.TCP.Client(t)
		bad.Ready(apptest.AcceptErrors)
		good.Ready(apptest.AcceptErrors)
		good.Request("Back.Later", nil)
		<-ran // before Back.Slow, behind which nothing runs
		answers := messages(good)
		sent := make(chan error, 1)
		go func() { sent <- bad.SendRaw(apptest.Notifies(1000, "Back.Slow", 1000)) }()
		synctest.Wait()
		if len(sent) > 0 {
			t.Fatal("the flooding client is not held up: the test shows nothing")
		}
		go func() {
			for range messages(bad) {
			}
		}()
		f.Freeze("gate:1")
		overflow(t, b, waits, func() { _ = waits.ResponseMID(mid, []byte("late")) }) // which is refused, or lost
		close(release)
		f.Thaw("gate:1")
		if v, ok := arrives(answers, 10*time.Second); !ok || !v.Err {
			t.Errorf("the request in flight has the outcome %v (%v), want an error", v, ok)
		}
		if err, ok := arrives(sent, 10*time.Second); !ok || err != nil {
			t.Errorf("the client is not read any more (%v)", err)
		}
		bad.Close()
		good.Close()
	})
}

// The same between nodes that call each other: the callee goes on taking calls.
func TestOverflowToACallerStopsNoCalls(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		a := f.Start(t, "a:1", apptest.Handlers(nil))
		b, release := stuckNode(t, f, nano.WithLinkQueue(1<<10))
		apptest.Meet(t, m, a, b)
		payload := make([]byte, 1<<20)
		var err error
		for range 64 {
			if err = a.Notify("Stuck.Do", payload); err != nil {
				break
			}
			synctest.Wait()
		}
		if err == nil {
			t.Fatal("calls are not counted: the test shows nothing")
		}
		c := b.TCP.Client(t)
		c.Ready()
		synctest.Wait()
		f.Freeze("a:1")
		overflow(t, b, b.Session(b.Opened()[0]), func() {})
		f.Thaw("a:1")
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		for range 5 {
			if err := a.Notify("Stuck.Do", payload); err != nil {
				t.Errorf("a second after the node has caught up: %v", err)
			}
			synctest.Wait()
		}
		c.Close()
	})
}

// A node that cannot be reached is not taken for one that can because the queue to it has
// overflowed meanwhile: its clients' requests would get no outcome.
func TestUnreachableBackendStillFailsRequests(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)), nano.WithLinkQueue(1<<10))
		apptest.Meet(t, m, g, b)
		local := b.TCP.Client(t)
		local.Ready()
		synctest.Wait()
		s := b.Session(b.Opened()[0])
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Echo", "x", "x")
		f.Block("back:1", "gate:1")
		time.Sleep(900 * time.Millisecond) // longer than a link may be down before the node counts as out of reach
		overflow(t, b, s, func() {})
		time.Sleep(300 * time.Millisecond)
		answers := messages(c)
		for range 5 {
			c.Request("Back.Echo", []byte("y"))
			if _, ok := arrives(answers, time.Second); !ok {
				t.Error("a request has no outcome within a second")
			}
			time.Sleep(time.Second)
		}
		f.Allow("back:1", "gate:1")
		local.Close()
		c.Close()
	})
}

// dropping is a room that has ended, with a scheduler of the application's own: what comes for it
// is dropped.
type dropping struct{}

func (dropping) Schedule(scheduler.Task) {}

// Messages that an application's scheduler drops have left the queue: their client is read on.
func TestDroppedMessagesHoldUpNoClient(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		cs := apptest.Handlers(backend(nil))
		cs.Register(&Stuck{}, component.WithName("Stuck"), component.WithScheduler(dropping{}))
		b := f.Start(t, "back:1", cs)
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		sent := make(chan error, 1)
		go func() { sent <- c.SendRaw(apptest.Notifies(1000, "Stuck.Do", 1000)) }()
		if err, ok := arrives(sent, time.Second); !ok || err != nil {
			t.Errorf("the client is held up by messages that were dropped (%v)", err)
		}
		c.Close()
	})
}
