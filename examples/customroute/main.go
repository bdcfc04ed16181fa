// Command customroute is a cluster whose gate sends each player to a backend of the player's own
// region: the application chooses the node, by the label that backends bear. It runs all nodes in
// one process, has a few players connect, ends a backend, and prints where everybody is.
//
//	go run ./examples/customroute
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	jsonserializer "github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "customroute:", err)
		os.Exit(1)
	}
}

// byRegion is the application's routing: of the nodes that run the service, one whose label begins
// with the player's region, or any if there is none; of several, the first by label. It is asked at
// a session's first message to a service; the session stays with that node until it is gone.
// Returning nil would refuse the message.
func byRegion(_ string, s *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo {
	near := slices.DeleteFunc(slices.Clone(members), func(m *clusterpb.MemberInfo) bool {
		region, _, _ := strings.Cut(m.GetLabel(), "/")
		return region != s.String("region")
	})
	if len(near) == 0 {
		near = members
	}
	return slices.MinFunc(near, func(a, b *clusterpb.MemberInfo) int { return cmp.Compare(a.GetLabel(), b.GetLabel()) })
}

// fromHandshake notes the region that a client's handshake names. A real gate would look the
// address up instead of believing the client.
func fromHandshake(s *session.Session, h *nano.Handshake) error {
	var hello struct {
		User struct {
			Region string `json:"region"`
		} `json:"user"`
	}
	if err := json.Unmarshal(h.Payload, &hello); err != nil {
		return nano.Refuse(400, "the handshake is not JSON")
	}
	s.Set("region", hello.User.Region)
	return nil
}

type (
	// Empty is a message without content.
	Empty struct{}
	// Answer says who has answered.
	Answer struct {
		Node string `json:"node"`
	}
)

// Game is the backends' component.
type Game struct {
	component.Base
	node string
}

// Where tells a player which node it plays on.
func (g *Game) Where(context.Context, *session.Session, *Empty) (*Answer, error) { //nolint:unparam // the form of a handler
	return &Answer{Node: g.node}, nil
}

// player is a client with a region.
type player struct {
	name, region string
	conn         *client.Client
}

// run starts the cluster, shows where the players are, and ends it.
func run(ctx context.Context, out io.Writer) error {
	var apps []*nano.App
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		for _, app := range slices.Backward(apps) { // the master, which came first, last
			_ = app.Shutdown(end)
		}
	}()
	start := func(opts ...nano.Option) (*nano.App, error) {
		app := nano.New("127.0.0.1:0", append(opts,
			nano.WithSerializer(jsonserializer.NewSerializer()),
			nano.WithSlog(slog.New(slog.DiscardHandler)))...)
		if err := app.Start(ctx); err != nil {
			return nil, err
		}
		apps = append(apps, app)
		return app, nil
	}

	master, err := newMaster(start)
	if err != nil {
		return err
	}
	labels := []string{"asia/1", "asia/2", "europe/1"}
	backends := make(map[string]*nano.App)
	for _, label := range labels {
		game := &component.Components{}
		game.Register(&Game{node: label})
		if backends[label], err = start(nano.WithComponents(game), nano.WithLabel(label), nano.WithAdvertiseAddr(master)); err != nil {
			return err
		}
	}
	gate, err := start(
		nano.WithAdvertiseAddr(master),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}),
		nano.WithHandshake(fromHandshake),
		nano.WithCustomerRemoteServiceRoute(byRegion),
	)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "backends: %s\n\n", strings.Join(labels, ", "))

	players := []player{{name: "Aiko", region: "asia"}, {name: "Emil", region: "europe"}, {name: "Noor", region: "africa"}}
	defer func() {
		for _, p := range players {
			if p.conn != nil {
				_ = p.conn.Close()
			}
		}
	}()
	for i := range players {
		p := &players[i]
		p.conn, err = client.Dial(ctx, "tcp://"+gate.Addr().String(), client.WithUser(map[string]string{"region": p.region}))
		if err != nil {
			return err
		}
	}
	if err := show(ctx, out, players); err != nil {
		return err
	}

	a, err := client.Call[Answer](ctx, players[0].conn, "Game.Where", Empty{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s is shut down\n\n", a.Node)
	if err := backends[a.Node].Shutdown(ctx); err != nil {
		return err
	}
	return show(ctx, out, players)
}

// newMaster starts a master and returns its address.
func newMaster(start func(...nano.Option) (*nano.App, error)) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, err = start(nano.WithMaster(), nano.WithServiceListener(l))
	return l.Addr().String(), err
}

// show prints where the players are.
func show(ctx context.Context, out io.Writer, players []player) error {
	for _, p := range players {
		a, err := where(ctx, p)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s from %-7s plays on %s\n", p.name, p.region, a.Node)
	}
	return nil
}

// where asks a player's backend. When that has just ended, the request fails once, and the next
// goes elsewhere.
func where(ctx context.Context, p player) (*Answer, error) {
	for {
		a, err := client.Call[Answer](ctx, p.conn, "Game.Where", Empty{})
		if err == nil || client.CodeOf(err) != component.CodeUnavailable || ctx.Err() != nil {
			return a, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
