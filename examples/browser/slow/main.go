// Command slow is a node for the console's tests: a handler that takes as long as its client says,
// and a page that is nothing but a client.
package main

import (
	"context"
	"embed"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/console"
	"github.com/lonng/nano/examples/page"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

//go:embed page
var files embed.FS

// nap is how long a handler is to take.
type nap struct {
	MS int `json:"ms"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "slow:", err)
		os.Exit(1)
	}
}

func run() error {
	own, err := page.Handler(files, "page")
	if err != nil {
		return err
	}
	pages, handlers := http.NewServeMux(), new(component.Components)
	component.Handle(handlers, "Room.Nap", func(_ context.Context, s *session.Session, n *nap) (*nap, error) {
		if s.UID() == 0 {
			if err := s.Bind(42); err != nil {
				return nil, err
			}
		}
		sleepOnTheScheduler(time.Duration(n.MS) * time.Millisecond)
		return n, nil
	})
	app := nano.New("", nano.WithComponents(handlers), nano.WithSerializer(json.NewSerializer()), nano.WithSignals(),
		nano.WithHTTPHandler(pages), nano.WithLabel("slow"), nano.WithSlowHandler(time.Hour),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true, Path: "/nano"}))
	pages.Handle("/", own)
	pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{Token: os.Getenv("NANO_CONSOLE_TOKEN")})))
	app.Scheduler().PushTask(func() { fmt.Printf("open http://%s\n", app.Addr()) })
	return app.Run(context.Background())
}

// sleepOnTheScheduler is what the stack shows.
func sleepOnTheScheduler(d time.Duration) { time.Sleep(d) }
