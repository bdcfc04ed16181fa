//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/console"
	"github.com/lonng/nano/session"
)

// token opens the consoles, which nobody but this program reaches.
const token = "the token of a benchmark"

// routes are what the bots ask for, by turns.
var routes = []string{"Game.Move", "Game.Look", "Game.Move", "Game.Say"}

// node runs a node until its input is closed.
func node(role, backend string) error {
	slog.SetLogLoggerLevel(slog.LevelError) // at the end all lose each other
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	pages, handlers := http.NewServeMux(), new(component.Components)
	options := []nano.Option{nano.WithServiceListener(l), nano.WithComponents(handlers), nano.WithLabel(role)}
	if role == "backend" {
		options = append(options, nano.WithMaster())
		for _, route := range []string{"Game.Move", "Game.Look", "Game.Say"} {
			component.HandleRaw(handlers, route, func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) })
		}
	} else {
		options = append(options, nano.WithAdvertiseAddr(backend, 100*time.Millisecond), nano.WithHTTPHandler(pages),
			nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true, Path: "/nano"}))
	}
	app := nano.New(l.Addr().String(), options...)
	pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{Token: token})))
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println("serves", l.Addr(), app.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		continue
	}
	os.Exit(0) // what is connected ends with it
	return nil
}
