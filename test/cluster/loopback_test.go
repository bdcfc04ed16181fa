package cluster_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A whole cluster over real sockets, on all processors: players of two gates at once, and all nodes
// stop at once. What the race detector and the leak check have to say is the test.
func TestPlayersOverRealSockets(t *testing.T) {
	nanotest.Leaks(t)
	files := nanotest.OpenFiles(t)
	listen := func() net.Listener {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := listen()
	master := first.Addr().String()
	boot := func(l net.Listener, comps *component.Components) *apptest.Node {
		role := nano.WithAdvertiseAddr(master, 50*time.Millisecond)
		if l == first {
			role = nano.WithMaster()
		}
		n := apptest.NewAt(l.Addr().String(), comps, role, nano.WithServiceListener(l), nano.WithRouting(nano.RouteRoundRobin()))
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	room := nano.NewGroup("room")
	rooms := backend(apptest.Funcs{"Back.Join": func(_ context.Context, s *session.Session, _ []byte) error {
		if s.ID() == 0 { // a node that asks whether we work
			return nil
		}
		if err := room.Add(s); err != nil {
			return err
		}
		return s.Response([]byte("joined"))
	}})
	nodes := []*apptest.Node{boot(first, apptest.Handlers(nil)), boot(listen(), apptest.Handlers(apptest.SignIn())), boot(listen(), apptest.Handlers(apptest.SignIn())), boot(listen(), apptest.Handlers(rooms)), boot(listen(), apptest.Handlers(rooms))}
	for _, n := range nodes {
		nanotest.Until(t, "all know all, and that they work", func() bool {
			return len(n.Members()) == len(nodes)-1 && n.Notify("Back.Join", nil) == nil
		})
	}
	const players, rounds = 20, 20
	var all sync.WaitGroup
	for i := range players {
		c := nodes[1+i%2].TCP.Client(t)
		c.Beats = true
		all.Go(func() {
			if err := play(c, i, rounds); err != nil {
				t.Errorf("player %d: %v", i, err)
			}
		})
	}
	for i := range 100 {
		_ = room.Broadcast("tick", fmt.Append(nil, i)) // some are just leaving
		for _, n := range nodes {
			_ = n.PushTo(int64(1+i%players), "tick", []byte("you"))
			_ = len(n.OnlineUIDs())
			_ = n.Stats()
		}
	}
	all.Wait()
	for _, n := range nodes {
		nanotest.Until(t, "nobody is left", func() bool { return len(n.OnlineUIDs()) == 0 && n.Stats().Sessions == 0 })
	}
	nanotest.Until(t, "the room is empty", func() bool { return room.Count() == 0 })
	for _, n := range nodes {
		all.Go(func() { n.Stop(t) })
	}
	all.Wait()
	nanotest.Until(t, "all descriptors are closed", func() bool { return nanotest.OpenFiles(t) <= files })
}

// play is one player's time with us. It may not fail the test by itself: it is not on the test's
// goroutine.
func play(c *nanotest.Client, uid, rounds int) error {
	defer c.Close()
	if err := c.SendPacket(codec.Handshake, []byte(apptest.AcceptErrors)); err != nil {
		return err
	}
	if p, err := c.Next(); err != nil || p.Type != codec.Handshake {
		return fmt.Errorf("handshake: %v, %w", p.Type, err)
	}
	if err := c.SendPacket(codec.HandshakeAck, nil); err != nil {
		return err
	}
	id := uint64(0)
	call := func(route, data, want string) error {
		id++
		b, err := codec.AppendMessage(nil, &codec.Message{Type: codec.Request, ID: id, Route: route, Data: []byte(data)}, nil)
		if err == nil {
			err = c.SendPacket(codec.Data, b)
		}
		if err != nil {
			return err
		}
		for {
			m, err := c.NextMessage()
			if err != nil {
				return fmt.Errorf("%s: %w", route, err)
			}
			if m.Route == "tick" {
				continue
			}
			if m.ID != id || m.Err || string(m.Data) != want {
				return fmt.Errorf("%s: answer %v %q, want %q", route, m, m.Data, want)
			}
			return nil
		}
	}
	if err := call("A.Bind", fmt.Sprint(uid+1), "<nil>"); err != nil {
		return err
	}
	if err := call("Back.Join", "", "joined"); err != nil {
		return err
	}
	for i := range rounds {
		if err := call("Back.Echo", fmt.Sprint(i), fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return nil
}
