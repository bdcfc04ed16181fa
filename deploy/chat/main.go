// Command chat is the program that the files of deploy/ run: a chat with one room, as a cluster of
// gates and backends whose list etcd or a master keeps. Its settings come from a file, the
// environment and flags (chat --help).
//
//	chat --rooms --clients-tcp 127.0.0.1:3260                                          # one process
//	chat --rooms --etcd-endpoints 127.0.0.1:2379 --token-file token                    # a backend
//	chat --address 127.0.0.1:3251 --clients-websocket 127.0.0.1:3261 --etcd-endpoints 127.0.0.1:2379 --token-file token # a gate
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/contrib/config"
	"github.com/lonng/nano/contrib/etcd"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// settings are those of a node, and the program's own.
type settings struct {
	config.Node
	Rooms  bool   `koanf:"rooms" usage:"this node runs the room"`
	Health string `koanf:"health" usage:"address of /healthz and /readyz; empty: none"`
}

// Check adds what concerns this program.
func (s *settings) Check() error {
	err := s.Node.Check()
	if !s.Rooms && !s.gate() && !s.Keeps {
		err = errors.Join(err, errors.New("chat: the node has nothing to do: set rooms, clients.websocket, clients.tcp or keeps-list"))
	}
	return err
}

func (s *settings) gate() bool { return s.Clients.WebSocket != "" || s.Clients.TCP != "" }

// defaults are the settings before anything is read.
func defaults() *settings { return &settings{Node: config.Defaults()} }

func main() {
	s := defaults()
	report, err := config.Parse(s, config.Source{Name: "chat", Args: os.Args[1:]})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	s.Logger().Info("settings were read", "set", report)
	if err := run(context.Background(), s); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// run runs the node until a signal ends it.
func run(ctx context.Context, s *settings) error {
	options, err := s.Options()
	if err != nil {
		return err
	}
	options = append(options, nano.WithSerializer(json.NewSerializer()),
		// All gates choose the same backend for the room, and another one when that is gone.
		nano.WithRouting(nano.RouteHash(func(*session.Session) string { return "the room" })))
	if len(s.Etcd.Endpoints) > 0 {
		k, err := newKeeper(s)
		if err != nil {
			return err
		}
		options = append(options, nano.WithKeeper(k))
	}
	if s.Rooms {
		components := &component.Components{}
		components.Register(newRoom())
		options = append(options, nano.WithComponents(components))
	}
	app := nano.New(s.Address, options...)
	if s.Health != "" {
		l, err := net.Listen("tcp", s.Health)
		if err != nil {
			return err
		}
		server := newServer(health(app))
		go func() { _ = server.Serve(l) }()
		defer func() { _ = server.Close() }()
	}
	return app.Run(ctx)
}

func newKeeper(s *settings) (*etcd.Keeper, error) {
	tls, err := s.Etcd.TLS.Config()
	if err != nil {
		return nil, err
	}
	return etcd.New(etcd.Config{
		Endpoints: s.Etcd.Endpoints, TLS: tls, Username: s.Etcd.Username, Password: string(s.Etcd.Password),
		Prefix: s.Etcd.Prefix, TTL: s.Etcd.TTL, Logger: s.Logger(),
	})
}

// newServer serves probes. What a stranger can have it hold is bounded, as by the gate for clients.
func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
}

// health answers probes: /healthz with whether a restart would help, /readyz with whether the node
// should get new clients, for whom somebody has to run the room.
func health(app *nano.App) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", nano.HealthHandler(app))
	ready := nano.ReadyHandler(app)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if app.Health().Ready {
			ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
			defer cancel()
			if err := app.WaitFor(ctx, "Room"); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		ready.ServeHTTP(w, r)
	})
	return mux
}
