package client_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// Room is what the node of these tests runs.
type Room struct {
	component.Base
	group *nano.Group
}

func (r *Room) Echo(_ context.Context, _ *session.Session, m *text) (*text, error) { return m, nil }

func (r *Room) Join(_ context.Context, s *session.Session, _ *text) (*text, error) {
	return &text{"welcome"}, r.group.Add(s)
}

func (r *Room) Say(_ *session.Session, m *text) error { return r.group.Broadcast("onSay", m) }

func (r *Room) Fail(_ context.Context, _ *session.Session, m *text) (*text, error) {
	return nil, component.Errorf(component.CodeRefused, "not you, %s", m.Text)
}

func (r *Room) Never(*session.Session, *text) error { return nil }

func (r *Room) Leave(s *session.Session, m *text) error { return s.Kick(m.Text) }

// startNode runs a node on addr. The function ends it.
func startNode(t testing.TB, addr string, opts ...nano.Option) (*nano.App, func()) {
	t.Helper()
	comps := &component.Components{}
	comps.Register(&Room{group: nano.NewGroup("room")})
	app := nano.New(addr, append([]nano.Option{
		nano.WithComponents(comps), nano.WithSerializer(json.NewSerializer()),
		nano.WithSlog(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		ctx, cancel := context.WithTimeout(ctx, nanotest.Patience)
		defer cancel()
		if err := app.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	}
	t.Cleanup(end)
	return app, end
}

func dial(t testing.TB, url string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(ctx, url, append([]client.Option{quiet()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What a client does, it does against a node, on every kind of connection.
func TestAgainstANode(t *testing.T) {
	nanotest.Leaks(t)
	certs := nanotest.NewTLS(t)
	for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			nanotest.Leaks(t)
			opts := []nano.Option{
				nano.WithIsWebsocket(strings.HasPrefix(scheme, "ws")),
				nano.WithGzip(200), nano.WithWriteDelay(time.Millisecond),
				nano.WithDictionary(map[string]uint16{"Room.Echo": 1, "onSay": 2}),
			}
			if scheme == "tls" || scheme == "wss" {
				opts = append(opts, nano.WithTLSConfig(certs.Server))
			}
			app, _ := startNode(t, "127.0.0.1:0", opts...)
			url := scheme + "://" + app.Addr().String()
			secure := client.WithTLSConfig(certs.Client)
			ann := dial(t, url, secure, client.WithGzip(), client.WithBatch())
			ben := dial(t, url, secure)
			if strings.HasPrefix(scheme, "ws") && !slices.Equal(ann.Info().Accepted, []string{"error", "gzip", "batch"}) {
				t.Errorf("accepted are %q", ann.Info().Accepted)
			}
			long := strings.Repeat("long ", 2000)
			for _, c := range []*client.Client{ann, ben} {
				for _, want := range []string{"hello", long} {
					got, err := client.Call[text](ctx, c, "Room.Echo", &text{want})
					if err != nil || got.Text != want {
						t.Errorf("echo: %.20v %v", got, err)
					}
				}
			}
			hear(t, ann, ben, long)
			fail(t, ann)

			if err := ben.Notify(ctx, "Room.Leave", &text{"as you wish"}); err != nil {
				t.Fatal(err)
			}
			eventually(t, ben.Done(), "the kick")
			var kick *client.KickError
			if !errors.As(ben.Err(), &kick) || kick.Reason != "as you wish" {
				t.Errorf("kicked with %v", ben.Err())
			}
			_ = ann.Close()
			eventually(t, closedOf(app, 2), "the node sees both connections closed")
		})
	}
}

// hear has ann say things, some of them long, which she hears in a channel and ben in a handler.
func hear(t *testing.T, ann, ben *client.Client, long string) {
	t.Helper()
	pushes, _ := client.Channel[text](ann, "onSay", 300, client.Wait)
	handled := make(chan string, 300)
	client.On(ben, "onSay", func(m *text) { handled <- m.Text })
	for _, c := range []*client.Client{ann, ben} {
		if _, err := client.Call[text](ctx, c, "Room.Join", &text{}); err != nil {
			t.Fatal(err)
		}
	}
	const n = 200
	what := func(i int) string {
		if i%50 == 0 {
			return long
		}
		return string(rune('a' + i%26))
	}
	for i := range n {
		if err := ann.Notify(ctx, "Room.Say", &text{what(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got := eventually(t, pushes, "a push in the channel"); got.Text != what(i) {
			t.Fatalf("push %d is %.20s", i, got.Text)
		}
		if got := eventually(t, handled, "a push in the handler"); got != what(i) {
			t.Fatalf("push %d is %.20s", i, got)
		}
	}
}

// fail has a client ask for what fails, in each way that there is.
func fail(t *testing.T, c *client.Client) {
	t.Helper()
	for _, r := range []struct {
		route string
		v     any
		code  string
	}{
		{"Room.Fail", &text{"ann"}, client.CodeRefused},
		{"Room.Nothing", nil, client.CodeNotFound},
		{"Room.Echo", []byte("no JSON"), client.CodeInvalid},
	} {
		if got := client.CodeOf(c.Request(ctx, r.route, r.v, nil)); got != r.code {
			t.Errorf("%s: code %q, want %q", r.route, got, r.code)
		}
	}
	hasty, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := c.Request(hasty, "Room.Never", &text{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request without an answer ends with %v", err)
	}
}

// closedOf is closed when the node has closed n connections.
func closedOf(app *nano.App, n uint64) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for app.Stats().Closed < n {
			time.Sleep(time.Millisecond)
		}
	}()
	return done
}

// A deployment restarts servers while people play: clients must come back by themselves, with all
// they had.
func TestServerRestart(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			nanotest.Leaks(t)
			ws := nano.WithIsWebsocket(scheme == "ws")
			app, end := startNode(t, "127.0.0.1:0", ws)
			addr := app.Addr().String()
			var setups atomic.Int32
			const clients = 20
			said := make(chan string, 10*clients)
			away := make(chan error, 100*clients)
			all := make([]*client.Client, clients)
			for i := range all {
				all[i] = client.New(scheme+"://"+addr, quiet(),
					client.WithReconnect(client.Reconnect{Min: 5 * time.Millisecond, Max: 50 * time.Millisecond}),
					client.WithAwayWait(nanotest.Patience),
					client.WithStateHandler(func(ch client.Change) {
						if ch.State == client.Away && ch.Attempt == 1 {
							away <- ch.Err
						}
					}),
					client.WithSetup(func(ctx context.Context, c *client.Client) error {
						setups.Add(1)
						_, err := client.Call[text](ctx, c, "Room.Join", &text{})
						return err
					}))
				client.On(all[i], "onSay", func(m *text) { said <- m.Text })
				if err := all[i].Connect(ctx); err != nil {
					t.Fatal(err)
				}
				defer all[i].Close()
			}
			for round := range 3 {
				what := string(rune('a' + round))
				if err := all[round].Notify(ctx, "Room.Say", &text{what}); err != nil {
					t.Fatal(err)
				}
				for range all {
					if got := eventually(t, said, "a push for each"); got != what {
						t.Errorf("round %d: push %q", round, got)
					}
				}
				if round == 2 {
					break
				}
				before := app.Stats().Requests
				flight := ask(all[0], ctx, "Room.Never", &text{})
				eventually(t, requestsOf(app, before+1), "the request arrives")
				end()
				if err := eventually(t, flight, "the end of the request in flight"); !errors.Is(err, client.ErrLost) {
					t.Errorf("the request in flight ends with %v", err)
				}
				for range all {
					var kick *client.KickError
					if err := eventually(t, away, "all notice"); !errors.As(err, &kick) {
						t.Errorf("away because of %v", err)
					}
				}
				waiting := make([]<-chan error, clients)
				for i, c := range all {
					waiting[i] = ask(c, ctx, "Room.Echo", &text{"here"}, &text{})
				}
				app, end = startNode(t, addr, ws)
				for _, w := range waiting {
					if err := eventually(t, w, "all come back"); err != nil {
						t.Errorf("a request that waited: %v", err)
					}
				}
			}
			if got := setups.Load(); got != 3*clients {
				t.Errorf("%d setups", got)
			}
		})
	}
}

// requestsOf is closed when the node has got n requests.
func requestsOf(app *nano.App, n uint64) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for app.Stats().Requests < n {
			time.Sleep(time.Millisecond)
		}
	}()
	return done
}

func TestDialErrors(t *testing.T) {
	nanotest.Leaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
		if _, err := client.Dial(ctx, scheme+"://"+addr); err == nil {
			t.Errorf("%s: connected to nobody", scheme)
		}
	}
	app, _ := startNode(t, "127.0.0.1:0", nano.WithIsWebsocket(true), nano.WithWSPath("/play"))
	if _, err := client.Dial(ctx, "ws://"+app.Addr().String()+"/elsewhere"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a path without WebSockets gives %v", err)
	}
	dial(t, "ws://"+app.Addr().String()+"/play")
	refusing, _ := startNode(t, "127.0.0.1:0", nano.WithHandshake(func(_ *session.Session, h *nano.Handshake) error {
		if !strings.Contains(string(h.Payload), "secret") {
			return nano.Refuse(401, "who are you")
		}
		h.User = map[string]int{"level": 3}
		return nil
	}))
	url := "tcp://" + refusing.Addr().String()
	var refused *client.RefusedError
	if _, err := client.Dial(ctx, url); !errors.As(err, &refused) || refused.Code != 401 || refused.Reason != "who are you" {
		t.Errorf("a refused handshake gives %v", err)
	}
	if c := dial(t, url, client.WithUser("secret")); string(c.Info().User) != `{"level":3}` {
		t.Errorf("the answer holds %s", c.Info().User)
	}
}

// Many goroutines use one client while its server comes and goes.
func TestManyCallers(t *testing.T) {
	nanotest.Leaks(t)
	app, end := startNode(t, "127.0.0.1:0")
	addr := app.Addr().String()
	c := dial(t, "tcp://"+addr, client.WithReconnect(client.Reconnect{Min: time.Millisecond, Max: 10 * time.Millisecond}), client.WithAwayWait(nanotest.Patience))
	done := make(chan error)
	const callers = 8
	for g := range callers {
		go func() {
			for i := range 300 {
				want := strings.Repeat(string(rune('a'+g)), i+1)
				got, err := client.Call[text](ctx, c, "Room.Echo", &text{want})
				switch {
				case errors.Is(err, client.ErrLost):
				case err != nil:
					done <- err
					return
				case got.Text != want:
					done <- errors.New("an answer for somebody else")
					return
				}
			}
			done <- nil
		}()
	}
	left := callers
	for range 3 {
		for s := app.Stats().Requests; left > 0 && app.Stats().Requests < s+100; {
			select {
			case err := <-done:
				left--
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Millisecond):
			}
		}
		end()
		app, end = startNode(t, addr)
	}
	for ; left > 0; left-- {
		if err := eventually(t, done, "the callers end"); err != nil {
			t.Error(err)
		}
	}
	_ = c.Close()
}
