package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Hostile serves the tests of this file: it echoes, counts what reached a handler, and does what it
// is asked to.
type Hostile struct {
	component.Base
	served atomic.Int64
	do     func(s *session.Session, data []byte) error
}

func (h *Hostile) Echo(s *session.Session, data []byte) error {
	h.served.Add(1)
	return s.Response(data)
}

func (h *Hostile) Do(s *session.Session, data []byte) error {
	h.served.Add(1)
	return h.do(s, data)
}

func (h *Hostile) comps() *component.Components {
	cs := &component.Components{}
	cs.Register(h, component.WithName("H"))
	return cs
}

// kinds are the two ways in which a client connects.
var kinds = []struct {
	name string
	dial func(n *apptest.Node, t testing.TB) *nanotest.Client
}{
	{"tcp", func(n *apptest.Node, t testing.TB) *nanotest.Client { return n.TCP.Client(t) }},
	{"websocket", func(n *apptest.Node, t testing.TB) *nanotest.Client { return n.WS.WebSocket(t) }},
}

// alive wants the client to be served.
func alive(t *testing.T, c *nanotest.Client) {
	t.Helper()
	if m := c.Call("H.Echo", []byte("alive?")); string(m.Data) != "alive?" {
		t.Fatalf("the neighbour is not served: %v", m)
	}
}

func packet(t codec.PacketType, body ...byte) []byte { return codec.AppendPacket(nil, t, body) }

// state is how far a client goes before it misbehaves.
type state int

const (
	connected state = iota
	shaken
	ready
)

func (s state) String() string { return [...]string{"connected", "shaken", "ready"}[s] }

func (s state) reach(c *nanotest.Client) {
	switch s {
	case shaken:
		c.Handshake(`{"sys":{"accept":["error"]}}`)
	case ready:
		c.Ready(`{"sys":{"accept":["error"]}}`)
	}
}

// One malformed packet would end the process, or everybody's connection.
func TestMalformedInputEndsOnlyItsConnection(t *testing.T) {
	elevenBytes := append([]byte{0}, append(slices.Repeat([]byte{0x80}, 10), 1)...)
	over := packet(codec.Data)
	over[1], over[2], over[3] = 1, 0, 1 // 65,537
	inputs := []struct {
		name  string
		bytes []byte
		from  state // also in every later state
	}{
		{"packet type 0", packet(0), connected},
		{"packet type 6", packet(6), connected},
		{"packet type 255", packet(255, 1, 2), connected},
		{"packet over the limit", over, connected},
		{"HTTP on the wrong port", []byte("GET / HTTP/1.1\r\n\r\n"), connected},
		{"empty body", packet(codec.Data), ready},
		{"type 4", packet(codec.Data, 4<<1, 1, 0), ready},
		{"type 7", packet(codec.Data, 7<<1, 1, 0), ready},
		{"no id", packet(codec.Data, 0), ready},
		{"body ends inside the varint", packet(codec.Data, 0, 0x80), ready},
		{"varint of 11 bytes", packet(codec.Data, elevenBytes...), ready},
		{"varint never ends", packet(codec.Data, slices.Repeat([]byte{0xff}, 40)...), ready},
		{"no route", packet(codec.Data, 0, 1), ready},
		{"route length past the end", packet(codec.Data, 0, 1, 5, 'H', '.'), ready},
		{"notify without a route", packet(codec.Data, 1<<1), ready},
		{"half a code", packet(codec.Data, 1, 1, 0), ready},
		{"no code", packet(codec.Data, 1, 1), ready},
		{"unknown code", packet(codec.Data, 1, 1, 0x12, 0x34), ready},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps())
				neighbour := kind.dial(n, t)
				neighbour.Beats = true
				neighbour.Ready()
				ended := uint64(0)
				for _, in := range inputs {
					for from := in.from; from <= ready; from++ {
						for split := range in.bytes {
							began := time.Now()
							c := kind.dial(n, t)
							from.reach(c)
							if split > 0 {
								_ = c.Send(in.bytes[:split]) // it may end before all is written
							}
							_ = c.Send(in.bytes[split:])
							c.Ended()
							if d := time.Since(began); d > 0 {
								t.Fatalf("%s, %v, split at %d: it took %v", in.name, from, split, d)
							}
							c.Close()
							synctest.Wait()
							ended++
							if got := n.Stats().Malformed; got != ended {
								t.Fatalf("%s, %v, split at %d: %d connections counted as malformed, want %d", in.name, from, split, got, ended)
							}
						}
					}
					alive(t, neighbour)
				}
				synctest.Wait()
				if got := n.Stats().Connections; got != 1 {
					t.Errorf("%d connections are left, want the neighbour's", got)
				}
			})
		})
	}
}

// The same with bytes that nobody thought of.
func TestGarbageEndsOnlyItsConnection(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps(), nano.WithHandshakeTimeout(time.Second))
				rnd := rand.New(rand.NewPCG(1, 2))
				for i := range 400 {
					c := kind.dial(n, t)
					state(i % 3).reach(c)
					if i%2 == 0 {
						b := make([]byte, rnd.IntN(64))
						for j := range b {
							b[j] = byte(rnd.Uint32())
						}
						_ = c.Send(b)
					} else { // garbage inside of valid packets, where there is more to get wrong
						b := make([]byte, rnd.IntN(24))
						for j := range b {
							b[j] = byte(rnd.IntN(16))
						}
						_ = c.SendPacket(codec.Data, b)
					}
					if i%5 == 0 && kind.name == "websocket" {
						_ = c.SendRaw([]byte{byte(rnd.Uint32()), byte(rnd.Uint32()), 0, 0, 0, 0, 0})
					}
					c.Close()
				}
				synctest.Wait()
				neighbour := kind.dial(n, t)
				neighbour.Ready()
				alive(t, neighbour)
				if got := n.Stats().Connections; got != 1 {
					t.Errorf("%d connections are left, want the neighbour's", got)
				}
			})
		})
	}
}

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

// A server that delivers a message only when the next one comes makes every game feel broken.
func TestEverySplitGivesTheSameMessages(t *testing.T) {
	stream := []byte{4, 0, 0, 3, 0, 1, 0} // a request with id 1 for the route ""
	for id := byte(2); id < 5; id++ {
		stream = append(stream, packet(codec.Data, append([]byte{0, id, 6}, "H.Echo"+strings.Repeat("x", int(id))...)...)...)
		stream = append(stream, packet(codec.Heartbeat)...)
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps())
				answers := func(c *nanotest.Client) {
					t.Helper()
					for id := uint64(1); id < 5; id++ {
						m := c.Response(id)
						if id == 1 {
							if !m.Err || !strings.Contains(string(m.Data), component.CodeNotFound) {
								t.Fatalf("answer to the unknown route: %v", m)
							}
						} else if string(m.Data) != strings.Repeat("x", int(id)) {
							t.Fatalf("answer %v", m)
						}
					}
				}
				for split := range stream {
					c := kind.dial(n, t)
					c.Ready(`{"sys":{"accept":["error"]}}`)
					if split > 0 {
						c.Write(stream[:split])
						synctest.Wait()
					}
					c.Write(stream[split:])
					answers(c)
					c.Close()
				}
				c := kind.dial(n, t)
				c.Ready(`{"sys":{"accept":["error"]}}`)
				for i := range stream {
					c.Write(stream[i : i+1])
				}
				answers(c)

				// The row's own split, and not a byte after it.
				c = kind.dial(n, t)
				c.Ready(`{"sys":{"accept":["error"]}}`)
				c.Write(stream[:5])
				synctest.Wait()
				c.Write(stream[5:7])
				began := time.Now()
				c.Response(1)
				if d := time.Since(began); d > 0 {
					t.Errorf("delivered %v after its last byte", d)
				}
			})
		})
	}
}

// A corrupt packet on the wire would end the client's connection and tell nobody why.
func TestWhatCannotBeEncodedIsTheSendersError(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				big := make([]byte, 1<<24)
				var errs []error
				group := nano.NewGroup("all")
				h.do = func(s *session.Session, _ []byte) error {
					if err := group.Add(s); err != nil {
						return err
					}
					if err := s.Push("first", []byte("1")); err != nil {
						return err
					}
					errs = append(errs,
						s.Push(strings.Repeat("r", 256), []byte("x")),
						s.Push("onBig", big),
						group.Broadcast(strings.Repeat("r", 256), []byte("x")),
						group.Broadcast("onBig", big),
						s.Response(big))
					if err := s.Push(strings.Repeat("r", 255), []byte("2")); err != nil {
						return err
					}
					return s.Response([]byte{})
				}
				n := apptest.Start(t, h.comps())
				c := kind.dial(n, t)
				c.Ready(`{"sys":{"accept":["error"]}}`)
				id := c.Request("H.Do", nil)
				if got := c.Push("first"); string(got) != "1" {
					t.Errorf("push %q", got)
				}
				if got := c.Push(strings.Repeat("r", 255)); string(got) != "2" {
					t.Errorf("push %q", got)
				}
				m := c.Response(id)
				if m.Err || len(m.Data) != 0 {
					t.Errorf("the empty answer was read as %v", m)
				}
				for i, err := range errs {
					if err == nil {
						t.Errorf("call %d returned no error", i)
					}
				}
				if !errors.Is(errs[0], codec.ErrRouteTooLong) || !errors.Is(errs[1], codec.ErrPacketTooLarge) {
					t.Errorf("errors without a name: %v, %v", errs[0], errs[1])
				}
				alive(t, c)
			})
		})
	}
}

// A client that speaks as a server does must not reach handlers, nor confuse its own answers.
func TestClientCannotSpeakAsServer(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps(), nano.WithDictionary(map[string]uint16{"H.Echo": 7}))
				c := kind.dial(n, t)
				c.Ready(`{"sys":{"accept":["error"]}}`)
				c.WriteMessage(&codec.Message{Type: codec.Response, ID: 1, Data: []byte("x")})
				c.WriteMessage(&codec.Message{Type: codec.Push, Route: "H.Echo", Data: []byte("x")})
				c.WriteMessage(&codec.Message{Type: codec.Push, Route: "H.Do", Data: []byte("x")})
				c.WritePacket(codec.Kick, []byte(`{"reason":"you"}`))
				c.WritePacket(codec.Kick, nil)
				synctest.Wait()
				if got := h.served.Load(); got != 0 {
					t.Errorf("%d calls of handlers", got)
				}
				if got := n.Stats().Ignored; got != 3 {
					t.Errorf("%d messages counted as ignored, want 3", got)
				}
				alive(t, c)
			})
		})
	}
}

// Message id 0 means that no answer is wanted: an answer would settle somebody else's request.
func TestRequestWithIDZeroGetsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hostile{}
		var mid uint64 = 99
		var err error
		h.do = func(s *session.Session, _ []byte) error {
			mid = s.LastMid()
			err = s.Response([]byte("x"))
			return errors.New("and it fails")
		}
		cs := h.comps()
		component.Handle(cs, "G.Reply", func(context.Context, *session.Session, *struct{}) (*struct{}, error) { return &struct{}{}, nil })
		n := apptest.Start(t, cs)
		c := n.TCP.Client(t)
		c.Ready(`{"sys":{"accept":["error"]}}`)
		for _, route := range []string{"H.Do", "H.Nobody", "G.Reply"} {
			c.WriteMessage(&codec.Message{Type: codec.Request, ID: 0, Route: route, Data: []byte("{}")})
		}
		alive(t, c) // the next message is its answer, so nothing came before
		if h.served.Load() != 2 || mid != 0 {
			t.Errorf("served %d, mid %d", h.served.Load(), mid)
		}
		if err == nil {
			t.Error("an answer to nobody reports no error")
		}
	})
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

var _ net.Listener = (*nanotest.Listener)(nil)
