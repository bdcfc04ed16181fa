package nano_test

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
)

// overflow has a session sign in and out until the queue to a node, of 1 KiB, has overflowed. full is called while it is.
func overflow(t *testing.T, n *node, s *session.Session, full func()) {
	t.Helper()
	for uid := range int64(500) {
		_ = s.Bind(100 + uid) // fails once the queue is full, where it is the one to the session's gate
		s.Clear()
	}
	full()
	synctest.Wait()
	if len(n.log.Lines("overflowed")) == 0 {
		t.Fatal("the queue did not overflow: the test would show nothing")
	}
}

// messages reads on what comes to a client, answers heartbeats, and passes on what the data packets hold.
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

// When the link from a backend to a gate overflows, answers and credit are lost with its queue: requests get an error, and
// no client is held up for what the backend has long done.
func TestClusterOverflowOfABackendsLink(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(nil))
		release, ran := make(chan struct{}), make(chan struct{})
		var waits *session.Session
		var mid uint64
		b := f.start(t, "back:1", handlers(backend(fns{
			"Back.Slow": func(context.Context, *session.Session, []byte) error { <-release; return nil },
			"Back.Later": func(_ context.Context, s *session.Session, _ []byte) error {
				waits, mid = s, s.LastMid()
				close(ran)
				return nil
			},
		})), nano.WithLinkQueue(1<<10))
		meet(t, m, g, b)
		bad, good := g.tcp.Client(t), g.tcp.Client(t)
		bad.Ready(acceptErrors)
		good.Ready(acceptErrors)
		good.Request("Back.Later", nil)
		<-ran // before Back.Slow, behind which nothing runs
		answers := messages(good)
		sent := make(chan error, 1)
		go func() { sent <- bad.SendRaw(packets(1000, "Back.Slow", 1000)) }()
		synctest.Wait()
		if len(sent) > 0 {
			t.Fatal("the flooding client is not held up: the test shows nothing")
		}
		go func() {
			for range messages(bad) {
			}
		}()
		f.freeze("gate:1")
		overflow(t, b, waits, func() { _ = waits.ResponseMID(mid, []byte("late")) }) // which is refused, or lost
		close(release)
		f.thaw("gate:1")
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
func TestClusterOverflowOfACalleesLink(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		a := f.start(t, "a:1", handlers(nil))
		b, release := stuckNode(t, f, nano.WithLinkQueue(1<<10))
		meet(t, m, a, b)
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
		c := b.tcp.Client(t)
		c.Ready()
		synctest.Wait()
		f.freeze("a:1")
		overflow(t, b, b.Session(b.opened()[0]), func() {})
		f.thaw("a:1")
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

// A node that cannot be reached is not taken for one that can because the queue to it has overflowed meanwhile: its
// clients' requests would get no outcome.
func TestClusterOverflowOneWay(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(nil))
		b := f.start(t, "back:1", handlers(backend(nil)), nano.WithLinkQueue(1<<10))
		meet(t, m, g, b)
		local := b.tcp.Client(t)
		local.Ready()
		synctest.Wait()
		s := b.Session(b.opened()[0])
		c := g.tcp.Client(t)
		c.Ready(acceptErrors)
		call1(t, c, "Back.Echo", "x", "x")
		f.block("back:1", "gate:1")
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
		f.allow("back:1", "gate:1")
		local.Close()
		c.Close()
	})
}

// dropping is a room that has ended, with a scheduler of the application's own: what comes for it is dropped.
type dropping struct{}

func (dropping) Schedule(scheduler.Task) {}

// Messages that an application's scheduler drops have left the queue: their client is read on.
func TestClusterDroppingScheduler(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(nil))
		cs := handlers(backend(nil))
		cs.Register(&Stuck{}, component.WithName("Stuck"), component.WithScheduler(dropping{}))
		b := f.start(t, "back:1", cs)
		meet(t, m, g, b)
		c := g.tcp.Client(t)
		c.Ready(acceptErrors)
		sent := make(chan error, 1)
		go func() { sent <- c.SendRaw(packets(1000, "Stuck.Do", 1000)) }()
		if err, ok := arrives(sent, time.Second); !ok || err != nil {
			t.Errorf("the client is held up by messages that were dropped (%v)", err)
		}
		c.Close()
	})
}
