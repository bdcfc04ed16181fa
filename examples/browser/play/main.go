// Command play is a node for the tests of the console's playground: routes that take something of
// each kind. With -cluster it is a gate without routes, and a backend whose payloads are protobuf.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/protobuf/types/known/typepb"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/console"
	"github.com/lonng/nano/describe"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// color is one of few.
type color string

// JSONSchema says which.
func (color) JSONSchema() *describe.Schema {
	return &describe.Schema{Type: describe.Types{"string"}, Enum: []any{"red", "green"}}
}

// order has a field of each kind.
type order struct {
	Name  string   `json:"name"`
	Color color    `json:"color"`
	Count int8     `json:"count"`
	Big   uint64   `json:"big"`
	Price float64  `json:"price,omitempty"`
	Gift  bool     `json:"gift"`
	Tags  []string `json:"tags"`
	To    struct {
		City string `json:"city"`
	} `json:"to"`
	Parts  map[string]int8 `json:"parts,omitempty"`
	Nested *order          `json:"nested,omitempty"`
	More   any             `json:"more,omitempty"`
}

func main() {
	cluster := flag.Bool("cluster", false, "run a gate and a backend")
	flag.Parse()
	do := run
	if *cluster {
		do = runCluster
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "play:", err)
		os.Exit(1)
	}
}

func run() error {
	handlers := new(component.Components)
	component.Handle(handlers, "shop.order", func(_ context.Context, s *session.Session, o *order) (*order, error) {
		return o, s.Push("shop.ordered", o)
	}, component.WithPush[order]("shop.ordered"))
	component.Handle(handlers, "shop.refuse", func(context.Context, *session.Session, *struct{}) (*order, error) {
		return nil, nano.Errorf("sold_out", "there is nothing left")
	})
	component.HandleNotify(handlers, "shop.wave", func(_ context.Context, s *session.Session, _ *struct{}) error {
		return s.Push("shop.waved", map[string]bool{"back": true})
	}, component.WithoutAnswer())
	app := withConsole("", nano.WithComponents(handlers), nano.WithSerializer(json.NewSerializer()), nano.WithSignals())
	app.Scheduler().PushTask(func() { fmt.Printf("open http://%s\n", app.Addr()) })
	return app.Run(context.Background())
}

// withConsole makes a node with a console and an endpoint for WebSockets.
func withConsole(addr string, opts ...nano.Option) *nano.App {
	pages := http.NewServeMux()
	app := nano.New(addr, append(opts, nano.WithHTTPHandler(pages), nano.WithLabel("play"),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true, Path: "/nano"}))...)
	pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{Token: os.Getenv("NANO_CONSOLE_TOKEN")})))
	return app
}

func runCluster() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	gate := withConsole("127.0.0.1:0", nano.WithMaster())
	if err := gate.Start(ctx); err != nil {
		return err
	}
	handlers := new(component.Components)
	component.Handle(handlers, "types.keep", func(_ context.Context, s *session.Session, f *typepb.Field) (*typepb.Field, error) {
		return f, s.Push("types.kept", f)
	}, component.WithPush[*typepb.Field]("types.kept"))
	backend := nano.New("127.0.0.1:0", nano.WithComponents(handlers), nano.WithAdvertiseAddr(gate.ServiceAddr().String()))
	err := backend.Start(ctx)
	if err == nil {
		fmt.Printf("open http://%s\n", gate.Addr())
		<-ctx.Done()
		err = backend.Shutdown(context.Background())
	}
	return errors.Join(err, gate.Shutdown(context.Background()))
}
