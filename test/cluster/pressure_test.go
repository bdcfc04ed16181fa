package cluster_test

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A client that sends more than its handlers take must not fill the link between the nodes:
// requests of others would be refused, and the backend not hear of sessions that end, whose users
// would stay online for good.
func TestFloodOfOneClientHoldsUpNobodyElse(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithLinkQueue(1<<20))
		ran := 0
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Slow": func(context.Context, *session.Session, []byte) error {
				ran++
				time.Sleep(time.Millisecond)
				return nil
			},
		})))
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		bad, good := g.TCP.Client(t), g.TCP.Client(t)
		leaving := []*nanotest.Client{g.TCP.Client(t), g.TCP.Client(t), g.TCP.Client(t)}
		for i, c := range append([]*nanotest.Client{bad, good}, leaving...) {
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			apptest.Bind(t, c, fmt.Sprint(1+i), "<nil>")
			apptest.Call(t, c, "Back.Echo", "x", "x")
		}
		const flood = 5000
		sent := make(chan error, 1)
		go func() { sent <- bad.SendRaw(apptest.Notifies(flood, "Back.Slow", 1000)) }()
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)

		began := time.Now()
		apptest.Call(t, good, "Back.Echo", "y", "y")
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("the request of another client took %v", took)
		}
		for _, c := range leaving {
			c.Close()
		}
		nanotest.Until(t, "the backend knows that three sessions have ended", func() bool { return len(closed.list()) == len(leaving) })
		if got := len(b.OnlineUIDs()); got != 2 {
			t.Errorf("%d users are online at the backend, want 2", got)
		}
		for range flood / 1000 { // until all of it is taken, the client must look alive
			time.Sleep(time.Second)
			apptest.Call(t, good, "Back.Echo", "y", "y")
		}
		taken(t, g, bad, sent)
		if ran != flood {
			t.Errorf("%d of %d messages were handled", ran, flood)
		}
		bad.Close()
		good.Close()
	})
}

// A browser compresses what it sends, so that one read brings many times the window of a session:
// its reader waits all the same before it fills the link for others.
func TestCompressedFloodHoldsUpNobodyElse(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		const flood, payload = 150, 60_000
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithLinkQueue(1<<20), nano.WithCompression(1<<20))
		ran := 0
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Slow": func(context.Context, *session.Session, []byte) error {
				ran++
				time.Sleep(10 * time.Millisecond)
				return nil
			},
		})))
		apptest.Meet(t, m, g, b)
		nc, err := g.WS.Dial()
		if err != nil {
			t.Fatal(err)
		}
		bad, err := nanotest.Upgrade(t, nc, "/", http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate"}})
		if err != nil {
			t.Fatal(err)
		}
		good := g.TCP.Client(t)
		for _, c := range []*nanotest.Client{bad, good} {
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			apptest.Call(t, c, "Back.Echo", "x", "x")
		}
		var packed bytes.Buffer
		z, _ := flate.NewWriter(&packed, flate.BestCompression) // the level is one that there is
		_, _ = z.Write(apptest.Notifies(1, "Back.Slow", payload))
		_ = z.Flush()
		message := bytes.TrimSuffix(packed.Bytes(), []byte{0, 0, 0xff, 0xff})
		frame := wsframe.AppendMasked(nil, wsframe.Compressed|wsframe.OpBinary, true, [4]byte{}, message)
		sent := make(chan error, 1)
		go func() { sent <- bad.SendRaw(bytes.Repeat(frame, flood)) }()
		for range 3 {
			synctest.Wait()
			apptest.Call(t, good, "Back.Echo", "y", "y")
			time.Sleep(time.Second)
		}
		taken(t, g, bad, sent)
		if ran != flood {
			t.Errorf("%d of %d messages were handled", ran, flood)
		}
		bad.Close()
		good.Close()
	})
}

// taken waits until all that a client floods a backend with is taken, and wants that it has not
// filled the link from the gate.
func taken(t *testing.T, g *apptest.Node, bad *nanotest.Client, sent <-chan error) {
	t.Helper()
	if err := <-sent; err != nil {
		t.Errorf("the flood was cut: %v", err)
	}
	apptest.Call(t, bad, "Back.Echo", "z", "z")
	if lines := g.Log.Lines("queue is full"); len(lines) > 0 {
		t.Errorf("the link's queue was full: %q", lines)
	}
}

// Stuck is a component whose handlers last as long as the test wants.
type Stuck struct {
	component.Base
	release chan struct{}
}

func (c *Stuck) Do(*session.Session, []byte) error { <-c.release; return nil }

// stuckNode starts a backend with a component that is stuck on a scheduler of its own, which takes
// two calls.
func stuckNode(t *testing.T, f *apptest.Cluster, opts ...nano.Option) (b *apptest.Node, release chan struct{}) {
	t.Helper()
	own := scheduler.New(scheduler.WithLimit(2), scheduler.WithSlow(0, nil))
	own.Start()
	t.Cleanup(own.Close)
	c := &Stuck{release: make(chan struct{})}
	cs := apptest.Handlers(backend(nil))
	cs.Register(c, component.WithName("Stuck"), component.WithScheduler(own))
	return f.Start(t, "back:1", cs, opts...), c.release
}

// One component that stands still is no reason for the node's others to do so, nor for its own
// clients to miss heartbeats.
func TestStuckComponentHoldsUpNoOther(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b, release := stuckNode(t, f)
		apptest.Meet(t, m, g, b)
		local := b.TCP.Client(t)
		local.Ready()
		bad, good := g.TCP.Client(t), g.TCP.Client(t)
		bad.Ready()
		good.Beats = true
		good.Ready()
		apptest.Call(t, good, "Back.Echo", "x", "x")
		sent := make(chan error, 1)
		go func() { sent <- bad.SendRaw(apptest.Notifies(60_000, "Stuck.Do", 0)) }()
		synctest.Wait()

		began := time.Now()
		apptest.Call(t, good, "Back.Echo", "y", "y")
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("a request of another component took %v", took)
		}
		for i := range 3 {
			at := time.Now()
			if p, err := local.Next(); err != nil || p.Type != codec.Heartbeat || time.Since(at) > 1100*time.Millisecond {
				t.Fatalf("heartbeat %d of the node's own client: %v %v after %v", i+1, p.Type, err, time.Since(at))
			}
			local.Heartbeat()
		}
		close(release)
		local.Close()
		if err := <-sent; err != nil {
			t.Errorf("the flood was cut: %v", err)
		}
		bad.Close()
		good.Close()
	})
}

// A client that was held up is let go when the node that it waits for dies, and when it ends
// itself.
func TestHeldClientIsLetGo(t *testing.T) {
	for _, how := range []string{"the node dies", "the client is kicked"} {
		t.Run(how, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{
					"Gate.Here": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte("here")) },
				}))
				b, release := stuckNode(t, f)
				defer close(release)
				apptest.Meet(t, m, g, b)
				c := g.TCP.Client(t)
				c.Beats = true
				c.Ready(apptest.AcceptErrors)
				sent := make(chan error, 1)
				go func() {
					sent <- c.SendRaw(append(apptest.Notifies(1000, "Stuck.Do", 1000), codec.AppendPacket(nil, codec.Data,
						append([]byte{byte(codec.Request) << 1, 7, 9}, "Gate.Here"...))...))
				}()
				synctest.Wait()
				if len(sent) > 0 {
					t.Fatal("the client was not held up")
				}
				s := g.Session(g.Opened()[0])
				if how == "the client is kicked" {
					if err := s.Kick("enough"); err != nil {
						t.Error(err)
					}
					if p, err := c.Next(); err != nil || p.Type != codec.Kick {
						t.Errorf("got %v %v, want the kick", p.Type, err)
					}
					nanotest.Until(t, "the connection is gone", func() bool { return g.Stats().Connections == 0 })
					c.Close()
					<-sent
					return
				}
				f.Kill("back:1")
				if m := c.Message(); m.ID != 7 || string(m.Data) != "here" {
					t.Errorf("the request behind the flood was answered with %+v", m)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				c.Close()
			})
		})
	}
}

// A node that calls another faster than that works gets errors: neither of them gathers calls
// without end.
func TestTooManyCallsAreErrors(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		a := f.Start(t, "a:1", apptest.Handlers(nil))
		b, release := stuckNode(t, f)
		apptest.Meet(t, m, a, b)
		payload := make([]byte, 1<<20)
		n := 0
		var err error
		for ; err == nil && n < 1000; n++ {
			err = a.Notify("Stuck.Do", payload)
			synctest.Wait()
		}
		if err == nil || !strings.Contains(err.Error(), "does not keep up") || n < 16 || n > 64 {
			t.Errorf("%d notifies of 1 MiB, then %v", n, err)
		}
		close(release)
		synctest.Wait()
		for range 100 {
			if err := a.Notify("Stuck.Do", payload); err != nil {
				t.Fatalf("after the node has caught up: %v", err)
			}
			synctest.Wait()
		}
	})
}

// Who logs in and out while a link carries nothing, for so long that its queue is full, is known
// rightly in the end.
func TestUsersAreRightAfterAnOverflow(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithLinkQueue(1<<10))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		c, stays := g.TCP.Client(t), g.TCP.Client(t)
		for _, c := range []*nanotest.Client{c, stays} {
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			apptest.Call(t, c, "Back.Echo", "x", "x")
		}
		s := g.Session(g.Opened()[0])
		f.Freeze("back:1")
		for uid := range int64(500) {
			if err := s.Bind(100 + uid); err != nil {
				t.Fatal(err)
			}
			s.Clear()
		}
		if err := s.Bind(7); err != nil {
			t.Fatal(err)
		}
		f.Thaw("back:1")
		nanotest.Until(t, "the backend knows who is online", func() bool { return fmt.Sprint(b.OnlineUIDs()) == "[7]" })
		time.Sleep(time.Second) // until the small queue is empty: the backend has acknowledged what it was told
		if m := c.Call("Back.Who", nil); !strings.HasPrefix(string(m.Data), "7 ") {
			t.Errorf("the backend takes the client for %q", m.Data)
		}
		apptest.Call(t, stays, "Back.Echo", "y", "y")
		if len(g.Log.Lines("overflowed")) == 0 {
			t.Error("the queue did not overflow: the test shows nothing")
		}
		c.Close()
		stays.Close()
		nanotest.Until(t, "the backend has closed each session it had", func() bool { return len(closed.list()) == len(b.Opened()) })
	})
}

// panicking is a pipeline of the application's own whose outbound side is broken.
type panicking struct{ pipeline.Pipeline }

func (panicking) Outbound() pipeline.Channel { return brokenChannel{} }

type brokenChannel struct{ pipeline.Channel }

func (brokenChannel) Process(*session.Session, *codec.Message) error { panic("the filter is broken") }

// A broken filter costs the messages that it sees, not the process, whoever sends them.
func TestOutboundChannelPanics(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithPipeline(panicking{pipeline.New()}))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		c.Request("Back.Echo", []byte("x"))
		nanotest.Until(t, "the gate has said what was wrong", func() bool { return len(g.Log.Lines("the filter is broken")) > 0 })
		if err := g.Session(g.Opened()[0]).Push("onNews", []byte("x")); err == nil || !strings.Contains(err.Error(), "the filter is broken") {
			t.Errorf("push: %v", err)
		}
		c.Close()
	})
}

// A client that sends 20,000 requests to a handler that waits for another node must not cost a
// goroutine for each of them: not on the node that it is connected to, and not on one behind that.
// Other clients are served meanwhile.
func TestFloodIntoAHandlerThatWaits(t *testing.T) {
	for where, route := range map[string]string{"on the gate": "Gate.Wait", "on a backend": "Back.Wait"} {
		t.Run(where, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				wait := func(ctx context.Context, s *session.Session, _ []byte) error {
					_, err := nano.Call[string](ctx, "Far.Hang", nil)
					return err
				}
				m := f.Start(t, apptest.Master, apptest.Handlers(apptest.Funcs{"Far.Hang": func(context.Context, *session.Session, []byte) error { return nil }}))
				echo := func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) }
				g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"Gate.Wait": wait, "Gate.Echo": echo}), nano.WithSessionCalls(100))
				b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Wait": wait, "Back.Echo": echo}), nano.WithSessionCalls(100))
				apptest.Meet(t, m, g, b)
				bad, good := g.TCP.Client(t), g.TCP.Client(t)
				for _, c := range []*nanotest.Client{bad, good} {
					c.Beats = true
					c.Ready(apptest.AcceptErrors)
					apptest.Call(t, c, "Back.Echo", "1", "1")
				}
				before := runtime.NumGoroutine()
				flood := apptest.Requests(1000, 20_000, route)
				go func() { _ = bad.SendRaw(flood) }()
				synctest.Wait()
				if n := runtime.NumGoroutine() - before; n > 100+20 {
					t.Errorf("the flood holds %d goroutines, want about 100", n)
				}
				for _, echo := range []string{"Gate.Echo", "Back.Echo"} {
					began := time.Now()
					apptest.Call(t, good, echo, "2", "2")
					if took := time.Since(began); took > 100*time.Millisecond {
						t.Errorf("%s of another client took %v", echo, took)
					}
				}
			})
		})
	}
}

// One answer is larger than all that may wait for the gate. It is an error of that request; other
// players of the two nodes do not notice.
func TestAnswerLargerThanTheLinksQueueCostsOneRequest(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		big := make([]byte, 3<<20)
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Big": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response(big) },
		})), nano.WithLinkQueue(1<<20))
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		one, two := g.TCP.Client(t), g.TCP.Client(t)
		for _, c := range []*nanotest.Client{one, two} {
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			apptest.Call(t, c, "Back.Echo", "x", "x")
		}
		if m := one.Call("Back.Big", nil); !m.Err || !strings.Contains(string(m.Data), "resource_exhausted") {
			t.Errorf("answer %v %.100q", m, m.Data)
		}
		time.Sleep(3 * time.Second)
		for _, c := range []*nanotest.Client{one, two} {
			apptest.Call(t, c, "Back.Echo", "y", "y")
		}
		if got := closed.list(); len(got) > 0 {
			t.Errorf("sessions were closed: %q", got)
		}
	})
}
