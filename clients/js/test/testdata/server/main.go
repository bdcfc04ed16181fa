// Command server is the node that the tests of the JavaScript client talk to. It prints its address
// and runs until it is told to stop.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/session"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run() error {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	root := flag.String("root", ".", "folder of the package, whose dist and test/pages are served")
	proto := flag.Bool("protobuf", false, "payloads are protobuf")
	plain := flag.Bool("plain", false, "a node without dictionary, gzip and merged packets")
	errors := flag.Bool("errors", false, "error responses to all clients")
	cert := flag.String("cert", "", "serve with TLS, and write the certificate to this file")
	heartbeat := flag.Duration("heartbeat", 10*time.Second, "interval of heartbeats; long, as machines that test are busy")
	maxPacket := flag.Int("max-packet", 0, "limit of a packet's body; 0 is the default")
	swapped := flag.Bool("swapped", false, "another dictionary")
	flag.Parse()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	endpoint := nano.Endpoint{Listener: listener, WebSocket: true, Path: "/nano"}
	scheme := "http"
	if *cert != "" {
		if endpoint.TLS, err = selfSigned(*cert); err != nil {
			return err
		}
		scheme = "https"
	}
	components := &component.Components{}
	options := []nano.Option{
		nano.WithEndpoint(endpoint),
		nano.WithHTTPHandler(pages(*root)),
		nano.WithComponents(components),
		nano.WithHandshake(greet),
		nano.WithHeartbeatInterval(*heartbeat),
		nano.WithErrorResponses(*errors),
		nano.WithSignals(),
	}
	if *maxPacket > 0 {
		options = append(options, nano.WithMaxPacket(*maxPacket))
	}
	if !*plain {
		dictionary := map[string]uint16{"test.echo": 1, "tick": 258, "onLast": 65535}
		if *swapped {
			dictionary["test.echo"], dictionary["tick"] = dictionary["tick"], dictionary["test.echo"]
		}
		options = append(options,
			nano.WithDictionary(dictionary),
			nano.WithGzip(256),
			nano.WithWriteDelay(5*time.Millisecond))
	}
	if *proto {
		component.Handle(components, "test.double", double)
		options = append(options, nano.WithSerializer(protobuf.NewSerializer()))
	} else {
		register(components)
		options = append(options, nano.WithSerializer(json.NewSerializer()))
	}
	app := nano.New("", options...)
	fmt.Printf("listening on %s://%s\n", scheme, listener.Addr())
	return app.Run(context.Background())
}

// pages serves the built package and the tests' pages. All but those that say "inline" in their
// name may load only what is of this server.
func pages(root string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/dist/", http.FileServer(http.Dir(root)))
	mux.Handle("/", http.FileServer(http.Dir(filepath.Join(root, "test", "pages"))))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "inline") {
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
		}
		mux.ServeHTTP(w, r)
	})
}

// greet refuses those whose token says so, and welcomes all others by name.
func greet(_ *session.Session, h *nano.Handshake) error {
	var hello struct {
		Sys  map[string]any `json:"sys"`
		User struct {
			Name  string `json:"name"`
			Token string `json:"token"`
		} `json:"user"`
	}
	if err := json.NewSerializer().Unmarshal(h.Payload, &hello); err != nil {
		return err
	}
	switch hello.User.Token {
	case "bad":
		return nano.Refuse(403, "wrong token")
	case "old":
		return nano.Refuse(501, "too old")
	}
	h.User = map[string]any{"hello": hello.User.Name, "token": hello.User.Token}
	h.Sys = map[string]any{"said": hello.Sys}
	return nil
}

// double is for the protobuf node.
func double(_ context.Context, s *session.Session, v *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	if v.GetValue() == "" {
		return nil, nano.Errorf("empty", "nothing to double")
	}
	if err := s.Push("doubled", wrapperspb.Int64(int64(len(v.GetValue())*2))); err != nil {
		return nil, err
	}
	return wrapperspb.String(v.GetValue() + v.GetValue()), nil
}

type text struct {
	Text string `json:"text"`
	N    int    `json:"n,omitempty"`
}

type pushes struct {
	Route string `json:"route"`
	Count int    `json:"count"`
	Size  int    `json:"size"`
	After bool   `json:"after"` // the pushes come after the answer
}

type reason struct {
	Reason string `json:"reason"`
}

func register(cs *component.Components) {
	component.Handle(cs, "test.echo", func(_ context.Context, _ *session.Session, v *text) (*text, error) { return v, nil })
	component.Handle(cs, "test.fail", func(_ context.Context, _ *session.Session, v *text) (*text, error) {
		return nil, nano.Errorf("full", "no room for %s", v.Text)
	})
	component.Handle(cs, "test.refuse", func(_ context.Context, _ *session.Session, v *reason) (*text, error) {
		return nil, nano.Errorf("unavailable", "%s", v.Reason)
	})
	component.HandleNotify(cs, "test.silent", func(context.Context, *session.Session, *text) error { return nil })
	component.HandleNotify(cs, "test.say", func(_ context.Context, s *session.Session, v *text) error { return s.Push("onSay", v) })
	component.HandleRaw(cs, "test.raw", func(_ context.Context, s *session.Session, data []byte) error {
		if err := s.Push("onRaw", data); err != nil {
			return err
		}
		return s.Response(data)
	})
	component.HandleNotify(cs, "test.push", func(_ context.Context, s *session.Session, v *pushes) error {
		if v.After {
			if err := s.Response(v); err != nil {
				return err
			}
		}
		for i := range v.Count {
			if err := s.Push(v.Route, text{strings.Repeat("x", v.Size), i}); err != nil {
				return err
			}
		}
		if !v.After {
			return s.Response(v)
		}
		return nil
	})
	component.HandleNotify(cs, "test.kick", func(_ context.Context, s *session.Session, v *reason) error { return s.Kick(v.Reason) })
	component.HandleNotify(cs, "test.close", func(_ context.Context, s *session.Session, _ *reason) error {
		s.Close()
		return nil
	})
}
