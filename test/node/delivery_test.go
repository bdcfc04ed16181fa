package node_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
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

// network is a node with real sockets, of all four sockets.
type network struct {
	*nano.App
	log  *nanotest.Log
	cert nanotest.TLS
}

func startNetwork(t *testing.T, comps *component.Components, opts ...nano.Option) *network {
	t.Helper()
	n := &network{cert: nanotest.NewTLS(t)}
	logger, lines := nanotest.NewLog()
	n.log = lines
	const any = "127.0.0.1:0"
	n.App = nano.New("", append([]nano.Option{
		nano.WithComponents(comps),
		nano.WithSlog(logger),
		nano.WithEndpoint(nano.Endpoint{Addr: any}),
		nano.WithEndpoint(nano.Endpoint{Addr: any, WebSocket: true}),
		nano.WithEndpoint(nano.Endpoint{Addr: any, TLS: n.cert.Server}),
		nano.WithEndpoint(nano.Endpoint{Addr: any, TLS: n.cert.Server, WebSocket: true}),
	}, opts...)...)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return n
}

var sockets = []string{"tcp", "ws", "tls", "wss"}

// client connects to the endpoint of that kind.
func (n *network) client(t *testing.T, kind string) *nanotest.Client {
	t.Helper()
	for i, k := range sockets {
		if k != kind {
			continue
		}
		nc, err := net.DialTimeout("tcp", n.Addrs()[i].String(), nanotest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if k == "tls" || k == "wss" {
			nc = tls.Client(nc, n.cert.Client)
		}
		if k == "ws" || k == "wss" {
			return nanotest.WebSocket(t, nc)
		}
		return nanotest.NewClient(t, nc)
	}
	t.Fatalf("no kind %q", kind)
	return nil
}

const many = 10000

func burst() apptest.Funcs {
	return apptest.Funcs{
		"A.Burst": func(_ context.Context, s *session.Session, _ []byte) error {
			for i := range many {
				if err := s.Push("onIt", apptest.Number(i)); err != nil {
					return fmt.Errorf("push %d: %w", i, err)
				}
			}
			return s.Response([]byte("done"))
		},
		"A.Echo": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) },
	}
}

func wantBurst(t *testing.T, c *nanotest.Client, each func(i int)) {
	t.Helper()
	id := c.Request("A.Burst", nil)
	for i := range many {
		if got := c.Push("onIt"); string(got) != string(apptest.Number(i)) {
			t.Fatalf("push %d is %x", i, got)
		}
		if each != nil {
			each(i)
		}
	}
	if m := c.Response(id); string(m.Data) != "done" {
		t.Fatalf("the answer after the pushes: %v %q", m, m.Data)
	}
}

// A state of the world in 10,000 pushes arrives whole and in order.
func TestPushesOfOneHandlerArriveInOrder(t *testing.T) {
	n := startNetwork(t, apptest.Handlers(burst()))
	for _, kind := range sockets {
		t.Run(kind, func(t *testing.T) {
			c := n.client(t, kind)
			c.Ready()
			wantBurst(t, c, nil)
			apptest.Pong(t, c)
		})
	}
	if got := n.log.Lines("ERROR"); len(got) != 0 {
		t.Errorf("logged: %q", got)
	}
}

// A client that takes 20 seconds to read its 10,000 pushes loses none of them and is
// not taken for dead, and the server's heartbeats go on meanwhile.
func TestSlowReaderGetsEveryPush(t *testing.T) {
	for _, kind := range []string{"tcp", "ws"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := apptest.Start(t, apptest.Handlers(burst()))
				var c *nanotest.Client
				if kind == "tcp" {
					c = n.TCP.Client(t)
				} else {
					c = n.WS.WebSocket(t)
				}
				c.Ready()
				// It beats on its own clock: the server's heartbeats lie behind what it has not
				// read.
				done := make(chan struct{})
				defer close(done)
				go func() {
					beat := time.NewTicker(time.Second)
					defer beat.Stop()
					for {
						select {
						case <-beat.C:
							_ = c.SendPacket(codec.Heartbeat, nil)
						case <-done:
							return
						}
					}
				}()
				id := c.Request("A.Burst", nil)
				beats := 0
				for i := 0; i < many; {
					p := c.Packet()
					if p.Type == codec.Heartbeat {
						beats++
						continue
					}
					m, err := nanotest.Decode(p.Body, nil)
					if err != nil || m.Type != codec.Push || string(m.Data) != string(apptest.Number(i)) {
						t.Fatalf("push %d is %v, %v", i, m, err)
					}
					if i++; i%500 == 0 {
						time.Sleep(time.Second)
					}
				}
				c.Response(id)
				for beats < 10 { // those of the first 20 seconds, behind the pushes or between them
					if p := c.Packet(); p.Type != codec.Heartbeat {
						t.Fatalf("got %v", p)
					}
					beats++
				}
				apptest.Pong(t, c)
			})
		})
	}
}

// 10,000 requests without waiting for answers are answered in order.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	n := startNetwork(t, apptest.Handlers(burst()))
	for _, kind := range sockets {
		t.Run(kind, func(t *testing.T) {
			c := n.client(t, kind)
			c.Ready()
			written := make(chan error, 1)
			go func() {
				var all []byte
				for i := range many {
					all, _ = codec.AppendData(all, codec.Request, uint64(i)+1, "A.Echo", apptest.Number(i), 0, nil, 0)
					if len(all) > 10000 || i == many-1 {
						if err := c.Send(all); err != nil {
							written <- err
							return
						}
						all = all[:0]
					}
				}
				written <- nil
			}()
			for i := range many {
				if m := c.Response(uint64(i) + 1); string(m.Data) != string(apptest.Number(i)) {
					t.Fatalf("answer %d is %x", i, m.Data)
				}
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	}
}

// The queue is far shorter than what the clients send, and
// each answers on to another; nobody waits for ever.
func TestPipelinedRequestsPassAFullScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sched := scheduler.New(scheduler.WithLimit(4))
		n := apptest.Start(t, apptest.Handlers(burst()), nano.WithScheduler(sched))
		defer sched.Close()
		defer n.Stop(t)
		var wg sync.WaitGroup
		for range 4 {
			c := n.TCP.Client(t)
			c.Ready()
			wg.Go(func() {
				for i := range 500 {
					b, _ := codec.AppendData(nil, codec.Request, uint64(i)+1, "A.Echo", apptest.Number(i), 0, nil, 0)
					if err := c.Send(b); err != nil {
						t.Error(err)
						return
					}
				}
			})
			wg.Go(func() {
				for i := range 500 {
					m, err := c.NextMessage()
					if err != nil || m.ID != uint64(i)+1 {
						t.Errorf("answer %d: %v, %v", i, m, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// endings are the ways to end a session after which what was pushed must arrive.
func endings() map[string]func(s *session.Session) {
	return map[string]func(s *session.Session){
		"close":            func(s *session.Session) { s.Close() },
		"kick":             func(s *session.Session) { _ = s.Kick("banned") },
		"kick, then close": func(s *session.Session) { _ = s.Kick("banned"); s.Close() },
		"close, then kick": func(s *session.Session) { s.Close(); _ = s.Kick("too late") },
	}
}

// The result of a match, pushed right before the session is closed, arrives.
func TestLastPushesArriveBeforeTheEnd(t *testing.T) {
	const pushes = 1000
	all := endings()
	n := startNetwork(t, apptest.Handlers(apptest.Funcs{
		"A.End": func(_ context.Context, s *session.Session, how []byte) error {
			for i := range pushes {
				if err := s.Push("onIt", apptest.Number(i)); err != nil {
					return err
				}
			}
			all[string(how)](s)
			if err := s.Push("onIt", []byte("late")); err == nil {
				t.Error("a push after the end is no error")
			}
			return nil
		},
	}))
	for how := range all {
		for _, kind := range sockets {
			t.Run(how+" "+kind, func(t *testing.T) {
				c := n.client(t, kind)
				c.Ready()
				c.Notify("A.End", []byte(how))
				for i := range pushes {
					if got := c.Push("onIt"); string(got) != string(apptest.Number(i)) {
						t.Fatalf("push %d is %x", i, got)
					}
				}
				if strings.HasPrefix(how, "kick") {
					if reason := c.Kicked(); reason != "banned" {
						t.Errorf("reason %q", reason)
					}
				}
				p, err := c.Next()
				if err == nil {
					t.Fatalf("after the end came %v %q", p.Type, p.Body)
				}
				var closed *nanotest.ClosedError
				if strings.HasPrefix(kind, "ws") {
					if !errors.As(err, &closed) || closed.Code != 1000 {
						t.Errorf("a WebSocket ends with %v, want a close frame with code 1000", err)
					}
				} else if !errors.Is(err, io.EOF) {
					t.Errorf("the end is %v", err)
				}
			})
		}
	}
}

// A client that needs half of the flush time to read has got everything.
// One that reads nothing is cut when the time is over, and not before.
func TestSlowReaderGetsTheLastPushes(t *testing.T) {
	const flush = 5 * time.Second
	for _, kind := range []string{"tcp", "ws"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closed := make(chan time.Time, 2)
				n := apptest.New(apptest.Handlers(apptest.Funcs{
					"A.End": func(_ context.Context, s *session.Session, _ []byte) error {
						for i := range 100 {
							if err := s.Push("onIt", apptest.Number(i)); err != nil {
								return err
							}
						}
						return s.Kick("bye")
					},
				}), nano.WithFlushTimeout(flush))
				n.Lifetime().OnClosed(func(*session.Session) { closed <- time.Now() })
				if err := n.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer n.Stop(t)
				connect := func() *nanotest.Client {
					var c *nanotest.Client
					if kind == "tcp" {
						c = n.TCP.Client(t)
					} else {
						c = n.WS.WebSocket(t)
					}
					c.Ready()
					c.Notify("A.End", nil)
					return c
				}
				slow := connect()
				time.Sleep(flush / 2)
				for i := range 100 {
					if got := slow.Push("onIt"); string(got) != string(apptest.Number(i)) {
						t.Fatalf("push %d is %x", i, got)
					}
				}
				if reason := slow.Kicked(); reason != "bye" {
					t.Errorf("reason %q", reason)
				}
				slow.Ended()

				began := time.Now()
				deaf := connect()
				synctest.Wait()
				if n.Stats().Connections != 1 {
					t.Error("cut at once")
				}
				time.Sleep(flush - time.Millisecond)
				synctest.Wait()
				if n.Stats().Connections != 1 {
					t.Error("cut too early")
				}
				time.Sleep(time.Millisecond)
				synctest.Wait()
				if n.Stats().Connections != 0 {
					t.Errorf("a client that does not read is there after %v", time.Since(began))
				}
				deaf.Close()
				if len(closed) != 2 {
					t.Errorf("OnClosed ran %d times for 2 sessions", len(closed))
				}
			})
		})
	}
}

// Five handlers that answer later, in another order, by each way there is to know
// the request.
func TestLateAnswersReachTheirRequests(t *testing.T) {
	for name, remember := range map[string]func(ctx context.Context, s *session.Session) uint64{
		"LastMid":   func(_ context.Context, s *session.Session) uint64 { return s.LastMid() },
		"MessageID": func(ctx context.Context, _ *session.Session) uint64 { return nano.MessageID(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n *apptest.Node
				n = apptest.Start(t, apptest.Handlers(apptest.Funcs{
					"A.Timer": func(ctx context.Context, s *session.Session, data []byte) error {
						mid := remember(ctx, s)
						wait := time.Duration(data[0]) * time.Millisecond
						n.Scheduler().NewAfterTimer(wait, func() {
							if err := s.ResponseMID(mid, data); err != nil {
								t.Error(err)
							}
						})
						return nil
					},
					"A.Goroutine": func(ctx context.Context, s *session.Session, data []byte) error {
						mid := remember(ctx, s)
						go func() {
							time.Sleep(time.Duration(data[0]) * time.Millisecond)
							if err := s.ResponseMID(mid, data); err != nil {
								t.Error(err)
							}
						}()
						return nil
					},
				}))
				c := n.TCP.Client(t)
				c.Ready()
				for _, route := range []string{"A.Timer", "A.Goroutine"} {
					ids := map[byte]uint64{}
					for _, wait := range []byte{40, 10, 50, 20, 30} {
						ids[wait] = c.Request(route, []byte{wait})
					}
					for wait := byte(10); wait <= 50; wait += 10 {
						if m := c.Response(ids[wait]); m.Data[0] != wait || m.Err {
							t.Errorf("%s: request %d was answered with %v %v", route, ids[wait], m, m.Data)
						}
					}
				}
				apptest.Pong(t, c)
			})
		})
	}
}

// While one handler answers for itself, another request's late answer goes out.
func TestLateAnswerDoesNotTouchOtherRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late uint64
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{
			"A.Later": func(ctx context.Context, _ *session.Session, _ []byte) error {
				late = nano.MessageID(ctx)
				return nil
			},
			"A.Now": func(_ context.Context, s *session.Session, _ []byte) error {
				return errors.Join(s.Response([]byte("now")), s.ResponseMID(late, []byte("late")), errors.New("and an error"))
			},
		}), nano.WithErrorResponses(true))
		c := n.TCP.Client(t)
		c.Ready()
		first, second := c.Request("A.Later", nil), c.Request("A.Now", nil)
		if m := c.Response(second); string(m.Data) != "now" {
			t.Errorf("got %q", m.Data)
		}
		if m := c.Response(first); string(m.Data) != "late" {
			t.Errorf("got %q", m.Data)
		}
		apptest.Pong(t, c) // the error came after the answer: it is no second one
	})
}

func (unable) Marshal(v any) ([]byte, error) {
	if told, ok := v.(*Told); ok {
		return []byte(told.Text), nil
	}
	return nil, errBad
}

func (unable) Unmarshal(data []byte, v any) error {
	if string(data) == "bad" {
		return errBad
	}
	return nil
}
