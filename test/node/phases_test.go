package node_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// With a second writer, packets would be torn; with a writer that a repeated handshake replaced,
// lost.
func TestRepeatedHandshakeLosesNoPush(t *testing.T) {
	nanotest.Leaks(t)
	count := 100_000
	if testing.Short() {
		count = 2_000
	}
	h := &Hostile{}
	push := make(chan *session.Session, 1)
	h.do = func(s *session.Session, _ []byte) error { push <- s; return nil }
	n := apptest.Start(t, h.comps(),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true}),
		nano.WithSendQueue(1<<30), nano.WithHeartbeatInterval(time.Minute))
	addrs := n.Addrs()
	for _, kind := range []struct {
		name  string
		count int
		dial  func() *nanotest.Client
	}{
		{"tcp", count, func() *nanotest.Client { return nanotest.Dial(t, addrs[2]) }},
		{"websocket", count / 10, func() *nanotest.Client { return nanotest.DialWebSocket(t, addrs[3]) }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			c := kind.dial()
			c.Ready()
			c.Notify("H.Do", nil)
			s := <-push
			errs := make(chan error, 2)
			go func() {
				errs <- func() error {
					for i := range kind.count {
						if err := s.Push("onIt", []byte(fmt.Sprint(i))); err != nil {
							return err
						}
					}
					return nil
				}()
			}()
			go func() {
				errs <- func() error {
					shake := codec.AppendPacket(nil, codec.Handshake, []byte("{}"))
					for range kind.count / 100 {
						if err := c.Send(slices.Repeat(shake, 100)); err != nil {
							return err
						}
					}
					return nil
				}()
			}()
			var answers, pushes int
			for answers < kind.count || pushes < kind.count {
				switch p := c.Packet(); p.Type {
				case codec.Handshake:
					answers++
				case codec.Data:
					m, err := nanotest.Decode(p.Body, nil)
					if err != nil || string(m.Data) != fmt.Sprint(pushes) {
						t.Fatalf("instead of push %d came %v, %v", pushes, m, err)
					}
					pushes++
				}
			}
			for range 2 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			alive(t, c)
			c.Close()
		})
	}
}

// A client that is served before its handshake has passed by the validator.
func TestNobodyIsServedBeforeTheHandshake(t *testing.T) {
	request := packet(codec.Data, append([]byte{0, 9, 6}, "H.Echo!"...)...)
	const (
		ends     = "ends"
		nothing  = "nothing"
		answers  = "handshake"
		responds = "response"
	)
	table := []struct {
		name string
		send []byte
		want [3]string // connected, shaken, ready
	}{
		{"type 0", packet(0), [3]string{ends, ends, ends}},
		{"handshake", packet(codec.Handshake), [3]string{answers, answers, answers}},
		{"ack", packet(codec.HandshakeAck), [3]string{ends, nothing, nothing}},
		{"heartbeat", packet(codec.Heartbeat), [3]string{nothing, nothing, nothing}},
		{"data", request, [3]string{ends, ends, responds}},
		{"kick", packet(codec.Kick, []byte(`{"reason":"no"}`)...), [3]string{nothing, nothing, nothing}},
		{"type 6", packet(6), [3]string{ends, ends, ends}},
	}
	for _, kind := range kinds {
		for _, row := range table {
			for st, want := range row.want {
				t.Run(fmt.Sprintf("%s/%s/%v", kind.name, row.name, state(st)), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						h := &Hostile{}
						n := apptest.Start(t, h.comps())
						c := kind.dial(n, t)
						state(st).reach(c)
						c.Write(row.send)
						got := nothing
						// Nothing else is due: a heartbeat comes only after a second.
						read := make(chan codec.Packet, 1)
						go func() {
							defer close(read)
							if p, err := c.Next(); err == nil {
								read <- p
							}
						}()
						synctest.Wait()
						select {
						case p, ok := <-read:
							switch {
							case !ok:
								got = ends
							case p.Type == codec.Handshake:
								got = answers
							case p.Type == codec.Data:
								got = responds
							default:
								t.Fatalf("got %v", p)
							}
						default:
						}
						if got != want {
							t.Errorf("got %q, want %q", got, want)
						}
						if served := h.served.Load() > 0; served != (want == responds) {
							t.Errorf("a handler was called: %v", served)
						}
						c.Close()
						synctest.Wait()
					})
				})
			}
		}
	}
}

// What a client sends after its session was closed is not served, although it may still be flushed
// to.
func TestNothingIsServedAfterClose(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				var late error
				h.do = func(s *session.Session, _ []byte) error {
					if err := s.Push("onBye", []byte("last")); err != nil {
						return err
					}
					s.Close()
					late = s.Push("onBye", []byte("too late"))
					return nil
				}
				n := apptest.Start(t, h.comps())
				c := kind.dial(n, t)
				c.Ready(`{"sys":{"accept":["error"]}}`)
				c.Notify("H.Do", nil)
				synctest.Wait()
				c.Request("H.Echo", []byte("1"))
				c.Write(packet(codec.Handshake))
				c.Write(packet(codec.HandshakeAck))
				c.Request("H.Echo", []byte("2"))
				if got := c.Push("onBye"); string(got) != "last" {
					t.Errorf("push %q", got)
				}
				c.Ended()
				if got := h.served.Load(); got != 1 {
					t.Errorf("%d calls of handlers, want 1", got)
				}
				if late == nil {
					t.Error("a push after Close reports no error")
				}
			})
		})
	}
}

// Clients set their clock by it: the time of the node's start would put them days back.
func TestServerTimeIsThatOfTheHandshake(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps(), nano.WithHeartbeatInterval(1500*time.Millisecond))
				time.Sleep(3 * time.Hour)
				c := kind.dial(n, t)
				time.Sleep(7 * time.Second)
				a := c.Ready()
				if want := time.Now().Unix(); a.Sys.ServerTime != want {
					t.Errorf("servertime %d, want %d", a.Sys.ServerTime, want)
				}
				if a.Sys.Heartbeat != "2" {
					t.Errorf("heartbeat %s: it has to be whole seconds, rounded up", a.Sys.Heartbeat)
				}
				time.Sleep(1100 * time.Millisecond)
				if a, want := c.Handshake("{}"), time.Now().Unix(); a.Sys.ServerTime != want {
					t.Errorf("servertime of a repeated handshake %d, want %d", a.Sys.ServerTime, want)
				}
			})
		})
	}
}
