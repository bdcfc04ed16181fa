package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/fleet"
	"github.com/lonng/nano/examples/im/gate"
	"github.com/lonng/nano/examples/im/live"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/pushapi"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/page"
	serializer "github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// Roles of nodes.
const (
	roleAll    = "all"    // everything in one process
	roleMaster = "master" // keeps the list of nodes
	roleGate   = "gate"   // takes clients
	roleLogic  = "logic"  // runs channels
)

// node is one node of several. Each of them answers other systems, if it has an address for that.
type node struct {
	role     string
	conf     config
	app      *nano.App
	fleet    *fleet.Fleet
	online   *online.Registry
	gate     *gate.Gate         // of a gate
	people   *accounts.Accounts // of a gate
	store    store.Store        // of a node that runs channels, as the next two
	channels *channels.Service
	rooms    *live.Rooms
	ops      *operators
	listener net.Listener // for clients and other systems; nil without an address
	inside   net.Listener
	web      *http.Server // without clients
	digests  *digests
	started  time.Time
	draining chan struct{} // closed when the node begins to leave
	leaving  sync.Once
}

// newNode makes a node of several.
func newNode(ctx context.Context, role string, conf config) (n *node, err error) {
	n = &node{role: role, conf: conf, online: online.New(), started: time.Now(), draining: make(chan struct{})}
	defer func(made *node) {
		if err != nil {
			made.close()
		}
	}(n)
	if n.inside, err = net.Listen("tcp", conf.listen); err != nil {
		return nil, err
	}
	if n.conf.listen, err = withPort(conf.listen, n.inside.Addr()); err != nil {
		return nil, err
	}
	if conf.addr != "" {
		if n.listener, err = net.Listen("tcp", conf.addr); err != nil {
			return nil, err
		}
	}
	components := &component.Components{}
	if role == roleLogic {
		if err := n.buildLogic(ctx); err != nil {
			return nil, err
		}
		n.fleet.Register(components)
		forNodes(components, "logic.shown", n.shown)
		component.HandleNotify(components, "logic.watched", func(ctx context.Context, _ *session.Session, req *protocol.ViewersRequest) error {
			_, err := n.rooms.Watched(ctx, req)
			return err
		}, component.WithNodesOnly())
	} else {
		n.fleet = fleet.New(n.conf.listen, nil, nil, n.moved)
	}
	if role == roleGate {
		if err := n.buildGate(ctx, components); err != nil {
			return nil, err
		}
	}
	n.digests = newDigests(n)
	n.digests.register(components)
	components.Register(&Ending{node: n}, component.WithName("ending"), component.WithNodesOnly())
	api := pushapi.New(pushapi.Config{Keys: conf.apiKeys, Backend: n.fleet, Online: n.online, Emit: n.emit, Node: n.figures, Viewers: n.viewers})
	n.ops = &operators{http.NewServeMux()}
	if n.gate == nil && n.listener != nil {
		n.web = newServer(n.ops)
	}
	options, err := n.options(components)
	if err != nil {
		return nil, err
	}
	n.app = nano.New(n.conf.listen, options...)
	n.ops.register(&conf, operated{app: n.app, api: api, ready: n.ready, gauges: gauges(n.online, n.store, n.channels)})
	n.fleet.Attach(n.app)
	if n.gate != nil {
		n.gate.Attach(n.app)
	}
	n.timers()
	return n, nil
}

// buildLogic makes what runs channels.
func (n *node) buildLogic(ctx context.Context) (err error) {
	if n.store, err = n.conf.open(ctx); err != nil {
		return err
	}
	if err := furnish(ctx, n.store); err != nil {
		return err
	}
	n.channels = channels.New(n.store, n.emit)
	n.rooms = live.New(live.Config{Tick: n.conf.liveTick, Rate: n.conf.liveRate}, n.store, n.show)
	table := newHere(n.channels, n.rooms).table
	n.fleet = fleet.New(n.conf.listen, table, n.channels, n.moved)
	return nil
}

// buildGate makes what takes clients.
func (n *node) buildGate(ctx context.Context, components *component.Components) (err error) {
	n.gate = gate.New(n.conf.listen, n.fleet, n.online, gate.Hooks{
		Emit: n.emit,
		Came: func(u store.User, platform string, since int64) { n.digests.change(u, platform, since, true) },
		Went: func(u store.User, platform string, since int64) { n.digests.change(u, platform, since, false) },
	})
	n.gate.Register(components)
	component.HandleNotify(components, "gate.event", func(_ context.Context, _ *session.Session, e *protocol.Event) error {
		n.gate.Deliver(e)
		return nil
	}, component.WithNodesOnly())
	n.people, err = n.conf.accounts(ctx, nil, n.fleet, n.emit)
	return err
}

// options are those of the node.
func (n *node) options(components *component.Components) ([]nano.Option, error) {
	options := []nano.Option{
		nano.WithComponents(components),
		nano.WithSerializer(serializer.NewSerializer()),
		nano.WithLabel(n.role),
		nano.WithHeartbeatInterval(n.conf.heartbeat),
		nano.WithServiceListener(n.inside),
		nano.WithSignals(os.Interrupt, syscall.SIGTERM),
		// At SIGTERM a gate asks its clients to go elsewhere first, and a node that runs channels
		// has others take them.
		nano.WithDrain(nano.Drain{Timeout: n.conf.drain, Spread: n.conf.drain / 5, Move: func(context.Context) error {
			n.leave()
			return nil
		}}),
		nano.WithShutdownTimeout(10 * time.Second),
	}
	if n.conf.token != "" {
		options = append(options, nano.WithClusterToken(n.conf.token))
	}
	list, err := n.conf.list(n.role)
	if err != nil {
		return nil, err
	}
	options = append(options, list)
	if n.gate == nil {
		return options, nil
	}
	web, err := n.conf.web(n.listener, n.people, n.gate, n.fleet, n.ops)
	return append(options, web...), err
}

// emit tells all gates.
func (n *node) emit(e *protocol.Event) {
	if err := n.app.NotifyAll("gate.event", e); err != nil {
		slog.Debug("event not told", "err", err) // there is no gate, or one is going
	}
}

// show tells all gates what is shown in a live room, and the nodes that may run the room next.
func (n *node) show(e *protocol.Event) {
	n.emit(e)
	if err := n.app.NotifyAll("logic.shown", &protocol.Shown{By: n.conf.listen, Tick: e.Data}); err != nil {
		slog.Debug("shown not told", "err", err) // a node is going
	}
}

// shown notes what another node has shown in a live room.
func (n *node) shown(s *protocol.Shown) {
	var tick protocol.Tick
	if s.By != n.conf.listen && json.Unmarshal(s.Tick, &tick) == nil {
		n.rooms.Shown(&tick)
	}
}

// moved is called when other nodes run channels than before. What was said a moment ago, on a node
// that is gone, may not have been told: the new owners of the channels that talk say how far these
// are.
func (n *node) moved() {
	if n.gate == nil || n.app == nil {
		return
	}
	go func() { // it waits for other nodes, and ends with the calls
		byOwner := make(map[string][]string)
		for _, id := range n.gate.Talking(recently) {
			owner := n.fleet.Owner(id)
			byOwner[owner] = append(byOwner[owner], id)
		}
		for _, ids := range byOwner {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if err := n.fleet.Call(ctx, ids[0], "touch", &protocol.TouchRequest{Channels: ids}, &protocol.Empty{}); err != nil {
				slog.Debug("channels not touched", "err", err)
			}
			cancel()
		}
	}()
}

// recently is how long ago a channel has talked that is asked how far it is when it moves.
const recently = 30 * time.Second

// viewers returns how many watch a live room, as far as this node is told.
func (n *node) viewers(channel string) int {
	if n.rooms != nil {
		return n.rooms.Viewers(channel)
	}
	if n.gate != nil {
		return n.gate.Watched()[channel]
	}
	return 0
}

// ready says whether this node can do what it is for.
func (n *node) ready(ctx context.Context) error {
	select {
	case <-n.draining:
		return errors.New("the node is ending")
	default:
	}
	if n.store != nil {
		return pinged(n.store)(ctx)
	}
	if n.role == roleGate && len(n.fleet.Serving()) == 0 {
		return errors.New("no node runs channels")
	}
	if n.people != nil && !n.people.Ready() {
		return errors.New("the secret of sign-ins is not known yet")
	}
	return nil
}

// figures are what this node says of itself.
func (n *node) figures(context.Context) any {
	f := map[string]any{
		"role": n.role, "address": n.conf.listen, "uptime": int64(time.Since(n.started).Seconds()), "nano": n.app.Stats(),
		"members": n.app.Members(), "logic": n.fleet.Serving(), "cpu": cpuTime().Seconds(), "memory": residentMemory(),
	}
	if n.store != nil {
		f["waiting"], f["owned"] = n.store.Waiting(), n.channels.Owned()
	}
	return f
}

// timers are what the node does now and then.
func (n *node) timers() {
	s := n.app.Scheduler()
	s.NewTimer(fleet.HelloEvery, func() {
		n.hello(false)
		n.fleet.Look()
	})
	s.NewTimer(digestEvery, n.digests.tell)
	if n.gate != nil {
		s.NewTimer(watchEvery, func() {
			_ = n.app.NotifyAll("logic.watched", &protocol.ViewersRequest{Gate: n.conf.listen, Channels: n.gate.Watched()}) // nobody runs live rooms now
		})
	}
}

// hello tells all nodes that this one runs channels, or will not any more.
func (n *node) hello(draining bool) {
	select {
	case <-n.draining:
		draining = true
	default:
	}
	if n.role == roleLogic {
		_ = n.app.NotifyAll("node.hello", &fleet.Hello{Addr: n.conf.listen, Draining: draining}) // this node is told, too
	}
}

// Ending is the component that has channels go elsewhere before the node ends.
type Ending struct {
	component.Base
	node *node
}

// Nothing makes Ending a component: one has at least one handler. Nobody calls it.
func (*Ending) Nothing(_ *session.Session, _ []byte) error { return nil }

// BeforeShutdown has other nodes take the channels, if the node was not drained before.
func (e *Ending) BeforeShutdown() { e.node.leave() }

// leaveTime is how long a node answers after it has said that it will not run channels any more:
// for what is on its way.
const leaveTime = 500 * time.Millisecond

// leave has other nodes take the channels. Meanwhile this one still answers. Gates choose the node
// of each message by its channel, so no session is bound to this node, and none has to choose
// again.
func (n *node) leave() {
	n.leaving.Do(func() {
		close(n.draining)
		if n.role != roleLogic {
			return
		}
		n.hello(true)
		time.Sleep(leaveTime)
		n.channels.DropAll()
	})
}

// run serves until ctx ends or the process is told to stop.
func (n *node) run(ctx context.Context, out io.Writer) error {
	n.app.Scheduler().PushTask(func() { // runs when the node has started
		n.hello(false)
		what := fmt.Sprintf("im: %s at %s", n.role, n.conf.listen)
		if n.listener != nil {
			what += ", open http://" + page.Address(n.listener.Addr())
		}
		fmt.Fprintln(out, what)
	})
	n.serve()
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	if n.store != nil {
		beside.Go(func() { n.conf.sweep(ctx, n.store) })
	}
	if n.people != nil {
		beside.Go(func() { n.fetchSecret(ctx) })
	}
	err := n.app.Run(ctx)
	stop()
	beside.Wait()
	quick, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if n.web != nil {
		err = errors.Join(err, n.web.Shutdown(quick))
	}
	return err
}

// serve answers operators and other systems on a node without clients. On a gate they share the
// address with the page.
func (n *node) serve() {
	if n.web == nil {
		return
	}
	go func() {
		if err := n.web.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("HTTP ended", "err", err)
		}
	}()
}

// fetchSecret asks for the secret that signs tokens, until a node that runs channels answers.
func (n *node) fetchSecret(ctx context.Context) {
	for ctx.Err() == nil {
		var reply protocol.SecretReply
		if err := n.fleet.Call(ctx, "", "secret", &protocol.SecretRequest{Name: tokenSecret}, &reply); err == nil {
			n.people.SetSecret(reply.Value)
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		case <-n.draining:
			return
		}
	}
}

// close closes what run does not.
func (n *node) close() {
	if n.listener != nil {
		_ = n.listener.Close() // the node may have closed it
	}
	if n.inside != nil {
		n.inside.Close()
	}
	if n.rooms != nil {
		n.rooms.Close()
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			slog.Warn("database not closed", "err", err)
		}
	}
}

// withPort returns addr with the port that was opened for it.
func withPort(addr string, opened net.Addr) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(opened.String())
	return net.JoinHostPort(host, port), err
}
