package client_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

type (
	JoinRequest struct{ Name string }
	JoinReply   struct{ Members int }
	Joined      struct{ Name string }
)

// Lobby is the server's side of the examples.
type Lobby struct {
	component.Base
	group *nano.Group
}

// Join answers, and tells everybody.
func (l *Lobby) Join(_ context.Context, s *session.Session, req *JoinRequest) (*JoinReply, error) {
	if req.Name == "" {
		return nil, nano.Errorf(component.CodeInvalid, "no name")
	}
	if err := l.group.Add(s); err != nil {
		return nil, err
	}
	return &JoinReply{Members: l.group.Count()}, l.group.Broadcast("onJoined", &Joined{req.Name})
}

func startLobby() *nano.App {
	comps := &component.Components{}
	comps.Register(&Lobby{group: nano.NewGroup("lobby")})
	app := nano.New("127.0.0.1:0", nano.WithComponents(comps), nano.WithSerializer(json.NewSerializer()),
		nano.WithSlog(slog.New(slog.DiscardHandler)))
	if err := app.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	return app
}

func Example() {
	app := startLobby()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer app.Shutdown(ctx)

	c, err := client.Dial(ctx, "tcp://"+app.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	joined, _ := client.Channel[Joined](c, "onJoined", 16, client.Wait)

	reply, err := client.Call[JoinReply](ctx, c, "Lobby.Join", &JoinRequest{Name: "ann"})
	fmt.Println(reply.Members, err)
	fmt.Println((<-joined).Name)

	err = c.Request(ctx, "Lobby.Join", &JoinRequest{}, nil)
	fmt.Println(client.CodeOf(err) == client.CodeInvalid, err)
	// Output:
	// 1 <nil>
	// ann
	// true client: request Lobby.Join: invalid_argument: no name
}

// A bot that survives restarts of its server: the setup joins again each time.
func ExampleWithSetup() {
	app := startLobby()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer app.Shutdown(ctx)

	c := client.New("tcp://"+app.Addr().String(),
		client.WithReconnect(client.Reconnect{Max: 10 * time.Second}),
		client.WithSetup(func(ctx context.Context, c *client.Client) error {
			_, err := client.Call[JoinReply](ctx, c, "Lobby.Join", &JoinRequest{Name: "bot"})
			return err
		}))
	hello := make(chan string, 1)
	client.On(c, "onJoined", func(m *Joined) { hello <- m.Name }) // from the first push on
	if err := c.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(<-hello, c.State())
	// Output: bot online
}
