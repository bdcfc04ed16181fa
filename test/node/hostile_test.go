package node_test

import (
	"context"
	"errors"
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

var _ net.Listener = (*nanotest.Listener)(nil)
