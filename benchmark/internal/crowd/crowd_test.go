//go:build linux

package crowd_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/benchmark/internal/crowd"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Room is a group that clients join.
type Room struct {
	component.Base
	group *nano.Group
}

// Join adds the caller.
func (r *Room) Join(s *session.Session, _ []byte) error {
	if err := r.group.Add(s); err != nil {
		return err
	}
	return s.Response([]byte("ok"))
}

func start(t *testing.T, websocket bool, options ...nano.Option) (addr string, r *Room) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r = &Room{group: nano.NewGroup("room")}
	cs := new(component.Components)
	cs.Register(r)
	app := nano.New("crowd", append(options, nano.WithComponents(cs), nano.WithSlog(slog.New(slog.DiscardHandler)),
		nano.WithEndpoint(nano.Endpoint{Listener: l, WebSocket: websocket}))...)
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Shutdown(context.Background()) })
	return l.Addr().String(), r
}

// A crowd that loses a client or counts a message twice makes a figure of what did not happen.
func TestCrowd(t *testing.T) {
	const clients, messages = 300, 5
	for _, ws := range []bool{false, true} {
		addr, room := start(t, ws, nano.WithHeartbeatInterval(time.Second))
		beats := make(chan struct{}, 100*clients)
		c, err := crowd.Start(crowd.Config{
			Addrs: []string{addr}, Sources: []string{"127.0.7.1", "127.0.7.2"}, Clients: clients, WebSocket: ws, Path: "/nano",
			Request: func(int) (string, []byte) { return "Room.Join", []byte("x") },
			OnBeat:  func() { beats <- struct{}{} },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := room.group.Count(); n != clients || c.Ready() != clients {
			t.Fatalf("%d have joined, and %d are in", n, c.Ready())
		}
		reached := c.Expect(clients * messages)
		for range messages { // the largest comes in pieces
			if err := room.group.Broadcast("said", bytes.Repeat([]byte("x"), 30_000)); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-reached:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d messages were counted, of %d", c.Pushes(), clients*messages)
		}
		for range 5 * clients { // a client may miss three: who does not answer hears no fifth
			select {
			case <-beats:
			case <-time.After(20 * time.Second):
				t.Fatal("the heartbeats have stopped")
			}
		}
		if n := c.Pushes(); n != clients*messages || c.Lost() != 0 {
			t.Errorf("%d messages, %d clients lost", n, c.Lost())
		}
		c.Close()
	}
}

// Nobody may take a crowd that did not come in for one that did.
func TestCrowdSaysWhyItIsNotIn(t *testing.T) {
	addr, _ := start(t, false)
	for name, cfg := range map[string]crowd.Config{
		"no such route":       {Addrs: []string{addr}, Request: func(int) (string, []byte) { return "Room.None", nil }},
		"nobody listens":      {Addrs: []string{"127.0.0.1:1"}},
		"not the protocol":    {Addrs: []string{addr}, WebSocket: true, Path: "/nano"},
		"two at one, refused": {Addrs: []string{addr}, Request: func(int) (string, []byte) { return "room.join", nil }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Clients = 2
			c, err := crowd.Start(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Wait(); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := crowd.Start(crowd.Config{Addrs: []string{"nonsense"}}); err == nil {
		t.Error("no error of an address that is none")
	}
}
