package main

import (
	"context"
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
	"github.com/lonng/nano/examples/im/backend"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/gate"
	"github.com/lonng/nano/examples/im/live"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/pushapi"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/page"
	serializer "github.com/lonng/nano/serialize/json"
)

// watchEvery is how often a gate says how many watch live rooms there.
const watchEvery = 500 * time.Millisecond

// local is everything in one process.
type local struct {
	conf     config
	app      *nano.App
	listener net.Listener
	store    store.Store
	rooms    *live.Rooms
	started  time.Time
}

// newLocal opens the database and the address, and makes the node.
func newLocal(ctx context.Context, conf config) (*local, error) {
	l, err := net.Listen("tcp", conf.addr)
	if err != nil {
		return nil, err
	}
	s, err := conf.open(ctx)
	if err != nil {
		l.Close()
		return nil, err
	}
	n := &local{conf: conf, listener: l, store: s, started: time.Now()}
	if err := n.build(ctx, conf); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *local) close() {
	_ = n.listener.Close() // the node may have closed it
	if n.rooms != nil {
		n.rooms.Close()
	}
	if err := n.store.Close(); err != nil {
		slog.Warn("database not closed", "err", err)
	}
}

// figures are what this node says of itself.
func (n *local) figures(context.Context) any {
	return map[string]any{"role": "all", "uptime": int64(time.Since(n.started).Seconds()), "nano": n.app.Stats(), "cpu": cpuTime().Seconds(), "memory": residentMemory()}
}

// open opens the database that the flags name.
func (c *config) open(ctx context.Context) (store.Store, error) {
	if c.database != "" {
		return store.OpenPostgres(ctx, c.database)
	}
	return store.OpenSQLite(ctx, c.data)
}

// sweepEvery is how often what is over its time is removed.
const sweepEvery = time.Minute

// sweep removes what is over its time until ctx ends.
func (c *config) sweep(ctx context.Context, s store.Store) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if n, err := s.Sweep(ctx, time.Now(), c.retention); err != nil && ctx.Err() == nil {
				slog.Warn("sweep failed", "err", err)
			} else if n > 0 {
				slog.Info("old messages removed", "count", n)
			}
		case <-ctx.Done():
			return
		}
	}
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
	secret, err := n.store.Secret(ctx, tokenSecret)
	if err != nil {
		return err
	}
	people, err := conf.accounts(ctx, secret, nodes, g.Deliver)
	if err != nil {
		return err
	}
	api := pushapi.New(pushapi.Config{Keys: conf.apiKeys, Backend: nodes, Online: registry, Emit: g.Deliver, Node: n.figures, Viewers: n.rooms.Viewers})
	ops := &operators{http.NewServeMux()}
	components := &component.Components{}
	g.Register(components)
	options, err := conf.web(n.listener, people, g, nodes, ops)
	if err != nil {
		return err
	}
	n.app = nano.New("", append(options,
		nano.WithComponents(components),
		nano.WithSerializer(serializer.NewSerializer()),
		nano.WithHeartbeatInterval(15*time.Second),
		nano.WithSignals(),
	)...)
	g.Attach(n.app)
	ops.register(&conf, operated{app: n.app, api: api, ready: pinged(n.store), gauges: gauges(registry, n.store, service)})
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
	sweeping, stop := context.WithCancel(ctx)
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		n.conf.sweep(sweeping, n.store)
	}()
	err := n.app.Run(ctx)
	stop()
	<-swept
	return err
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
