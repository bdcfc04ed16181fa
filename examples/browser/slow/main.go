// Command slow is a node for the console's tests: a handler that takes until POST /wake, and a page
// that is nothing but a client.
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
	pages, handlers, wake := http.NewServeMux(), new(component.Components), make(chan struct{}, 1)
	component.Handle(handlers, "Room.Nap", func(_ context.Context, s *session.Session, _ *struct{}) (*struct{}, error) {
		if s.UID() == 0 {
			if err := s.Bind(42); err != nil {
				return nil, err
			}
		}
		sleepOnTheScheduler(wake)
		return &struct{}{}, nil
	})
	app := nano.New("", nano.WithComponents(handlers), nano.WithSerializer(json.NewSerializer()), nano.WithSignals(),
		nano.WithHTTPHandler(pages), nano.WithLabel("slow"), nano.WithSlowHandler(time.Hour),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true, Path: "/nano"}))
	pages.Handle("/", own)
	pages.HandleFunc("POST /wake", func(http.ResponseWriter, *http.Request) { wake <- struct{}{} })
	pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{Token: os.Getenv("NANO_CONSOLE_TOKEN")})))
	app.Scheduler().PushTask(func() { fmt.Printf("open http://%s\n", app.Addr()) })
	return app.Run(context.Background())
}

// sleepOnTheScheduler is what the stack shows.
func sleepOnTheScheduler(wake <-chan struct{}) { <-wake }
