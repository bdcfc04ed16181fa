package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/backend"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/gate"
	"github.com/lonng/nano/examples/im/live"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/pictures"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/pushapi"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/page"
	serializer "github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

//go:embed page
var files embed.FS

// routeCodes spares the names of the routes that are sent most: two bytes each on the wire.
var routeCodes = map[string]uint16{protocol.PushMessage: 1, protocol.PushReads: 2, protocol.PushTyping: 3, protocol.PushPresence: 4, "im.send": 5, "im.read": 6} //nolint:gochecknoglobals // never changed

// watchEvery is how often a gate says how many watch live rooms there.
const watchEvery = 500 * time.Millisecond

// local is everything in one process.
type local struct {
	app      *nano.App
	listener *split
	store    store.Store
	rooms    *live.Rooms
	api      *http.Server // of what speaks HTTP/2; HTTP/1.1 shares the port with the page
	started  time.Time
}

// newLocal opens the database and the address, and makes the node.
func newLocal(ctx context.Context, conf config) (*local, error) {
	l, err := net.Listen("tcp", conf.addr)
	if err != nil {
		return nil, err
	}
	s, err := store.OpenSQLite(ctx, conf.data)
	if err != nil {
		l.Close()
		return nil, err
	}
	n := &local{listener: newSplit(l), store: s, started: time.Now()}
	if err := n.build(ctx, conf); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *local) close() {
	n.listener.Close()
	n.listener.ended.Wait()
	if n.rooms != nil {
		n.rooms.Close()
	}
	n.store.Close()
}

// newHTTP2 serves HTTP/2 without TLS.
func newHTTP2(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: &protocols, ReadHeaderTimeout: unknownTime, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
}

// figures are what this node says of itself.
func (n *local) figures(context.Context) any {
	return map[string]any{"role": "all", "uptime": int64(time.Since(n.started).Seconds()), "nano": n.app.Stats()}
}

// furnish makes the channels that are always there.
func furnish(ctx context.Context, s store.Store) error {
	for _, c := range []store.Channel{
		{ID: channels.GlobalID, Kind: store.Global, Title: "Everybody"},
		{ID: "live", Kind: store.Live, Title: "Live"},
	} {
		if err := s.CreateChannel(ctx, c, nil); err != nil && !errors.Is(err, store.ErrExists) {
			return err
		}
	}
	return nil
}

// build puts the parts together.
func (n *local) build(ctx context.Context, conf config) error {
	if err := furnish(ctx, n.store); err != nil {
		return err
	}
	registry := online.New()
	var g *gate.Gate
	service := channels.New(n.store, func(e *protocol.Event) { g.Deliver(e) })
	n.rooms = live.New(live.Config{Tick: conf.liveTick, Rate: conf.liveRate}, n.store, func(e *protocol.Event) { g.Deliver(e) })
	nodes := newHere(service, n.rooms)
	g = gate.New("here", nodes, registry, gate.Hooks{
		Emit: func(e *protocol.Event) { g.Deliver(e) },
		Came: func(store.User, string, int64) {}, Went: func(store.User, string, int64) {},
	})
	secret, err := n.store.Secret(ctx, "tokens")
	if err != nil {
		return err
	}
	people := accounts.New(accounts.Config{
		Secret: secret, Names: conf.names, Platforms: gate.Platforms,
		Enter: func(ctx context.Context, u store.User) error {
			_, err := n.store.PutUser(ctx, u)
			return err
		},
		SignedOut: g.SignedOut,
	})
	pages, err := page.Handler(files, "page")
	if err != nil {
		return err
	}
	api := pushapi.New(pushapi.Config{
		Keys: conf.apiKeys, Backend: nodes, Online: registry, Emit: g.Deliver, Node: n.figures, Ready: n.store.Ping,
		Viewers: n.rooms.Viewers,
	})
	n.api = newHTTP2(api)
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	for _, path := range []string{"/api/", "/healthz", "/readyz"} {
		mux.Handle(path, api)
	}
	mux.Handle("/auth/", people.Handler())
	pictures.New(people, &albums{nodes}, func() string { return channels.NewID("i-") }).Register(mux)

	components := &component.Components{}
	g.Register(components)
	n.app = nano.New("",
		nano.WithEndpoint(nano.Endpoint{Listener: n.listener.rest, WebSocket: true, Path: "/nano"}),
		nano.WithHTTPHandler(mux),
		nano.WithSameOrigin(),
		nano.WithHandshake(handshake(people, g)),
		nano.WithComponents(components),
		nano.WithSerializer(serializer.NewSerializer()),
		nano.WithDictionary(routeCodes),
		nano.WithHeartbeatInterval(15*time.Second),
		nano.WithMaxPacket(64<<10),
		nano.WithSignals(),
	)
	g.Attach(n.app)
	n.app.Scheduler().NewTimer(watchEvery, func() {
		_, _ = n.rooms.Watched(ctx, &protocol.ViewersRequest{Gate: "here", Channels: g.Watched()}) // it never fails
	})
	return nil
}

// run serves until ctx ends or the process is told to stop.
func (n *local) run(ctx context.Context, out io.Writer) error {
	n.app.Scheduler().PushTask(func() { // runs when the node has started
		fmt.Fprintf(out, "im: open http://%s\n", page.Address(n.listener.Addr()))
		if near := page.Nearby(n.listener.Addr()); near != "" {
			fmt.Fprintf(out, "    on a phone in the same network: http://%s\n", near)
		}
	})
	go func() {
		if err := n.api.Serve(n.listener.h2); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			slog.Error("HTTP/2 ended", "err", err)
		}
	}()
	err := n.app.Run(ctx)
	quick, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, n.api.Shutdown(quick))
}

// handshake signs a session in: by the token in its payload, or by the cookie of the page that opens it.
func handshake(people *accounts.Accounts, g *gate.Gate) func(*session.Session, *nano.Handshake) error {
	return func(s *session.Session, h *nano.Handshake) error {
		var hello struct {
			User struct {
				Platform string `json:"platform"`
				Token    string `json:"token"`
			} `json:"user"`
		}
		if err := json.Unmarshal(h.Payload, &hello); err != nil {
			return nano.Refuse(protocol.RefuseCode, "the handshake is no JSON")
		}
		var u store.User
		err := accounts.ErrSignedOut
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if hello.User.Token != "" {
			u, err = people.ByToken(ctx, hello.User.Token)
		} else if h.Request != nil {
			u, err = people.ByRequest(h.Request)
		}
		if err != nil {
			return nano.Refuse(protocol.RefuseCode, "sign in first")
		}
		platform, err := g.Welcome(s, u, hello.User.Platform)
		h.User = map[string]string{"id": u.ID, "name": u.Name, "platform": platform}
		return err
	}
}

// newHere returns a backend of channels and live rooms in this process.
func newHere(service *channels.Service, rooms *live.Rooms) *here {
	table := service.Table()
	maps.Copy(table, rooms.Table())
	return &here{service: service, table: table}
}

// here is a backend in this process.
type here struct {
	service *channels.Service
	table   map[string]backend.Func
}

// Call calls a function.
func (b *here) Call(ctx context.Context, _, name string, req, resp any) error {
	f := b.table[name]
	if f == nil {
		return nano.Errorf(component.CodeNotFound, "there is no function %s", name)
	}
	return f.Call(ctx, req, resp)
}

// Send stores a message.
func (b *here) Send(_ context.Context, req *protocol.SendRequest, done func(*store.Message, error)) {
	b.service.Send(req, done)
}

// Typing tells that somebody is typing.
func (b *here) Typing(_ context.Context, req *protocol.TypingRequest) { b.service.Typing(req) }

// albums keep pictures where the backend does.
type albums struct{ backend gate.Backend }

// Put stores a picture.
func (a *albums) Put(ctx context.Context, u store.User, channel string, p store.Picture, data, thumb []byte) error {
	req := &protocol.PutPictureRequest{Channel: channel, Picture: p, Data: data, Thumb: thumb}
	req.SetBy(u)
	return inward(a.backend.Call(ctx, channel, "putpicture", req, &protocol.Empty{}))
}

// Get returns a picture.
func (a *albums) Get(ctx context.Context, u store.User, id string, thumb bool) (store.Picture, []byte, error) {
	req := &protocol.GetPictureRequest{ID: id, Thumb: thumb}
	req.SetBy(u)
	reply := &protocol.GetPictureReply{}
	err := inward(a.backend.Call(ctx, u.ID, "getpicture", req, reply))
	return reply.Picture, reply.Data, err
}

// inward returns the store's error for one that clients get.
func inward(err error) error {
	var told *nano.Error
	if errors.As(err, &told) && told.Code == component.CodeNotFound {
		return store.ErrNotFound
	}
	return err
}
