package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/gate"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	serializer "github.com/lonng/nano/serialize/json"
)

// slowOnce is a store of revoked tokens that is slow to answer the first time.
type slowOnce struct {
	asked  chan struct{}
	answer chan struct{}
	turns  chan struct{}
}

func (r *slowOnce) Revoke(context.Context, string, time.Time) error { return nil }

func (r *slowOnce) Revoked(context.Context, string) (bool, error) {
	select {
	case <-r.turns:
		close(r.asked)
		<-r.answer
	default:
	}
	return false, nil
}

// cameAgain is a connection that a gate has told the others of.
type cameAgain struct {
	user  string
	since int64
}

// While the store is slow, a client gives up and connects again, which is quick. The gate goes on
// with what the client has given up only then. That is older, so it has to go, and not the
// connection that the client has. A gate that hears of an older one elsewhere says that it has the
// newer one.
func TestAHandshakeThatWasSlowKicksNobody(t *testing.T) {
	slow := &slowOnce{asked: make(chan struct{}), answer: make(chan struct{}), turns: make(chan struct{}, 1)}
	slow.turns <- struct{}{}
	people := accounts.New(accounts.Config{Secret: make([]byte, 32), Revocations: slow})
	came := make(chan cameAgain, 10)
	g := gate.New("here", nil, online.New(), gate.Hooks{
		Emit: func(*protocol.Event) {},
		Came: func(u store.User, _ string, since int64) { came <- cameAgain{u.ID, since} }, Went: func(store.User, string, int64) {},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	components := &component.Components{}
	g.Register(components)
	app := nano.New("", nano.WithEndpoint(nano.Endpoint{Listener: l, WebSocket: true, Path: "/nano"}), nano.WithHandshake(handshake(people, g)),
		nano.WithSerializer(serializer.NewSerializer()), nano.WithComponents(components), nano.WithSignals())
	g.Attach(app)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	token, err := people.Token(store.User{ID: "ann", Name: "Ann"})
	if err != nil {
		t.Fatal(err)
	}
	connect := func() *client.Client {
		c := client.New("ws://"+l.Addr().String()+"/nano", client.WithUser(map[string]string{"platform": "app", "token": token}))
		t.Cleanup(func() { c.Close() })
		return c
	}
	first, second := connect(), connect()
	connected := make(chan error, 1)
	go func() { connected <- first.Connect(ctx) }()
	<-slow.asked
	if err := second.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	newer := <-came
	close(slow.answer)
	if err := <-connected; err == nil { // else the connection ended before the client was ready
		select {
		case <-first.Done():
		case <-second.Done():
			t.Fatalf("the connection that the client has is kicked: %v", second.Err())
		}
		var kick *client.KickError
		if !asKick(first.Err(), &kick) || kick.Reason != protocol.KickElsewhere {
			t.Errorf("the older one ended with %v", first.Err())
		}
	}
	<-came // of the older one
	g.CameElsewhere("ann", "app", newer.since-1)
	if again := <-came; again != newer {
		t.Errorf("the gate with the older one is told of %+v, not of %+v", again, newer)
	}
	if err := second.Err(); err != nil {
		t.Errorf("the connection that the client has ended: %v", err)
	}
}
