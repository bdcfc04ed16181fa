package node_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// shout is a serializer that is not JSON.
type shout struct{ serialize.Serializer }

func (shout) Marshal(v any) ([]byte, error) { return []byte(strings.ToUpper(fmt.Sprint(v))), nil }

// rooms is a component that puts whoever asks into a group.
type Rooms struct {
	component.Base
	group *nano.Group
}

func (r *Rooms) Join(s *session.Session, _ []byte) error {
	if err := r.group.Add(s); err != nil {
		return err
	}
	return s.Response([]byte("in"))
}

func joinAs(t *testing.T, c *nanotest.Client) *nanotest.Client {
	t.Helper()
	c.Ready()
	if m := c.Call("Rooms.Join", nil); string(m.Data) != "in" {
		t.Fatalf("join: %v %q", m, m.Data)
	}
	return c
}

// A group may hold sessions of two nodes, whose ids may be the same, and a mock: each gets the push
// in its own node's format and with its own node's route codes.
func TestGroupOverTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := nano.NewGroup("room")
		comps := func() *component.Components {
			cs := new(component.Components)
			cs.Register(&Rooms{group: g})
			return cs
		}
		one := apptest.Start(t, comps(), nano.WithDictionary(map[string]uint16{"onIt": 1}))
		two := apptest.Start(t, comps(), nano.WithDictionary(map[string]uint16{"onIt": 2}), nano.WithSerializer(shout{}))
		a, b := joinAs(t, one.TCP.Client(t)), joinAs(t, two.TCP.Client(t))
		c, d := joinAs(t, one.WS.WebSocket(t)), joinAs(t, two.WS.WebSocket(t))
		double := mock.NewNetworkEntity()
		if err := g.Add(session.New(double)); err != nil {
			t.Fatal(err)
		}
		if g.Count() != 5 {
			t.Fatalf("%d members, want 5", g.Count())
		}
		if err := g.Broadcast("onIt", "hi"); err != nil {
			t.Errorf("Broadcast: %v", err)
		}
		for _, x := range []struct {
			c    *nanotest.Client
			want string
			code byte
		}{{a, `"hi"`, 1}, {c, `"hi"`, 1}, {b, "HI", 2}, {d, "HI", 2}} {
			p := x.c.Packet()
			msg, err := nanotest.Decode(p.Body, x.c.Dictionary)
			if err != nil || msg.Route != "onIt" || string(msg.Data) != x.want || p.Body[2] != x.code {
				t.Errorf("got %v %q, %v; want %q with code %d", msg, p.Body, err, x.want, x.code)
			}
		}
		if got := double.Pushes(); len(got) != 1 || got[0].Route != "onIt" || got[0].Value != "hi" {
			t.Errorf("the mock got %v", got)
		}
		a.Close()
		d.Close()
		synctest.Wait()
		if g.Count() != 3 {
			t.Errorf("%d members after two have gone, want 3", g.Count())
		}
	})
}

// bad is a value that no serializer takes.
var errBad = errors.New("does not serialize")

type picky struct{ serialize.Serializer }

func (picky) Marshal(any) ([]byte, error) { return nil, errBad }

// What one node cannot encode still reaches the members on the other.
func TestGroupErrorOfOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := nano.NewGroup("room")
		comps := func() *component.Components {
			cs := new(component.Components)
			cs.Register(&Rooms{group: g})
			return cs
		}
		one := apptest.Start(t, comps())
		two := apptest.Start(t, comps(), nano.WithSerializer(picky{}))
		a, b := joinAs(t, one.TCP.Client(t)), joinAs(t, two.TCP.Client(t))
		if err := g.Broadcast("onIt", "hi"); !errors.Is(err, errBad) {
			t.Errorf("Broadcast: %v", err)
		}
		if got := a.Push("onIt"); string(got) != `"hi"` {
			t.Errorf("got %q", got)
		}
		if err := g.Broadcast("onRaw", []byte("raw")); err != nil { // bytes need no serializer
			t.Errorf("Broadcast of bytes: %v", err)
		}
		if got := b.Push("onRaw"); string(got) != "raw" {
			t.Errorf("got %q", got)
		}
	})
}

// Where filters look at each session's messages, a broadcast passes them too, and one that refuses
// stops only its own.
func TestGroupBroadcastPassesOutboundFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := nano.NewGroup("room")
		cs := new(component.Components)
		cs.Register(&Rooms{group: g})
		p := pipeline.New()
		p.Outbound().PushBack(func(s *session.Session, m *pipeline.Message) error {
			if m.Route != "onIt" {
				return nil
			}
			if s.ID() == 2 {
				return errBad
			}
			m.Data = fmt.Appendf(nil, "%s for %d", m.Data, s.ID())
			return nil
		})
		n := apptest.Start(t, cs, nano.WithPipeline(p))
		var clients []*nanotest.Client
		for range 3 {
			clients = append(clients, joinAs(t, n.TCP.Client(t)))
		}
		if err := g.Broadcast("onIt", []byte("x")); !errors.Is(err, errBad) || !strings.Contains(err.Error(), "session 2:") {
			t.Errorf("Broadcast: %v", err)
		}
		if err := g.Broadcast("onEnd", []byte("y")); err != nil {
			t.Errorf("Broadcast: %v", err)
		}
		for i, c := range clients {
			if id := i + 1; id != 2 {
				if got := c.Push("onIt"); string(got) != fmt.Sprintf("x for %d", id) {
					t.Errorf("session %d got %q", id, got)
				}
			}
			c.Push("onEnd")
		}
	})
}

// While some join and leave, those who stay get every broadcast, in
// order, and nobody who has left gets another.
func TestBroadcastsReachWhoStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const broadcasts = 200
		g := nano.NewGroup("room")
		cs := new(component.Components)
		cs.Register(&Rooms{group: g})
		n := apptest.Start(t, cs, nano.WithHeartbeatInterval(time.Hour)) // nobody reads all the time
		var stay []*nanotest.Client
		for i := range 6 {
			if i%2 == 0 {
				stay = append(stay, joinAs(t, n.TCP.Client(t)))
			} else {
				stay = append(stay, joinAs(t, n.WS.WebSocket(t)))
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range broadcasts {
				_ = g.Broadcast("onIt", apptest.Number(i)) // those who have just gone are its error
			}
		})
		for range 4 {
			c := make([]*nanotest.Client, 10)
			for i := range c {
				c[i] = n.TCP.Client(t)
			}
			wg.Go(func() {
				for _, c := range c {
					_ = c.SendPacket(codec.Handshake, nil)
					_ = c.SendPacket(codec.HandshakeAck, nil)
					b, _ := codec.AppendData(nil, codec.Request, 1, "Rooms.Join", nil, 0, nil, 0)
					_ = c.Send(b)
					for range 3 {
						_, _ = c.Next()
					}
					c.Close()
				}
			})
		}
		for i, c := range stay {
			for k := range broadcasts {
				if got := c.Push("onIt"); string(got) != string(apptest.Number(k)) {
					t.Fatalf("client %d: broadcast %d is %x", i, k, got)
				}
			}
		}
		wg.Wait()
		synctest.Wait()
		if g.Count() != len(stay) {
			t.Errorf("%d members, want %d", g.Count(), len(stay))
		}
	})
}
