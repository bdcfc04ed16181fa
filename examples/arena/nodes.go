package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/page"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// config is what a node is made of.
type config struct {
	name      string // how people call it
	listen    string // where other nodes reach it: its name in the cluster; empty for a node that is alone
	listener  net.Listener
	master    string // where the master is; empty for the master, and for a node that is alone
	token     string
	heartbeat time.Duration
	bots      int
	round     time.Duration
	signals   []os.Signal

	page    net.Listener // of a gate: for browsers
	flag    string       // that says where it listens
	tcp     net.Listener // of a gate: for other clients; nil for none
	proxies []string
}

// common is what all nodes have in common.
func (c *config) common() []nano.Option {
	options := []nano.Option{
		nano.WithSerializer(json.NewSerializer()),
		nano.WithHeartbeatInterval(c.heartbeat),
		nano.WithLabel(c.name),
	}
	if len(c.signals) > 0 {
		options = append(options, nano.WithSignals(c.signals...))
	}
	if c.listener != nil {
		options = append(options, nano.WithServiceListener(c.listener))
	}
	if c.token != "" {
		options = append(options, nano.WithClusterToken(c.token))
	}
	if c.master != "" {
		options = append(options, nano.WithAdvertiseAddr(c.master, 500*time.Millisecond))
	}
	return options
}

// role is something that a node does in the cluster.
type role struct {
	serve   func(*component.Components) // what it serves
	options []nano.Option
	ready   func(*nano.App) // what it needs when the node is made
}

// named registers a component's handlers in lower case: arena.join.
func named(cs *component.Components, name string, c component.Component, more ...component.Option) {
	cs.Register(c, append(more, component.WithName(name), component.WithNameFunc(strings.ToLower))...)
}

// node makes a node with one role or more.
func (c *config) node(roles ...role) *nano.App {
	options, components := c.common(), &component.Components{}
	for _, r := range roles {
		options = append(options, r.options...)
		r.serve(components)
	}
	app := nano.New(c.listen, append(options, nano.WithComponents(components))...)
	app.Lifetime().OnOpened(func(s *session.Session) { welcome(s, app.Scheduler()) })
	app.Lifetime().OnResumed(func(s *session.Session) {
		if !s.HasKey(keyMay) { // it has come here from another gate
			welcome(s, app.Scheduler())
		}
	})
	for _, r := range roles {
		r.ready(app)
	}
	return app
}

// newMaster makes the node that keeps the list of nodes. No game waits for it: what it does beside
// is to list rooms.
func newMaster(c *config) *nano.App {
	tally := newTally()
	r := tally.role()
	r.options = append(r.options,
		nano.WithMaster(),
		nano.WithUnregisterCallback(func(m cluster.Member) { tally.left(m.String()) }),
	)
	return c.node(r)
}

// newRooms makes a backend. It takes no clients.
func newRooms(c *config) *nano.App { return c.node(c.hall().role(true)) }

func (c *config) hall() *Hall {
	h := newHall(c.name, c.listen, c.bots)
	if c.round > 0 {
		h.round = c.round
	}
	return h
}

// newGate makes a gate. It knows of no rooms: a client's messages go to a backend, which is chosen
// by the name of the room, so that all who are in a room meet on one backend, whichever gate they
// came by.
func newGate(c *config) (*nano.App, error) {
	r, err := newGateway(c.name).role(c)
	if err != nil {
		return nil, err
	}
	r.options = append(r.options, nano.WithRouting(nano.RouteHash(func(s *session.Session) string { return s.String(keyWanted) })))
	return c.node(r), nil
}

// newSingle makes a node that does all of it, for a game without a cluster.
func newSingle(c *config) (*nano.App, error) {
	gate, err := newGateway(c.name).role(c)
	if err != nil {
		return nil, err
	}
	return c.node(gate, c.hall().role(false), newTally().role()), nil
}

func (t *Tally) role() role {
	return role{
		serve: func(cs *component.Components) { named(cs, "tally", t) },
		ready: func(app *nano.App) {
			t.announce = func(o *Overview) { _ = app.NotifyAll("gate.tell", o) } // while there is no gate, nobody is told
			app.Scheduler().NewTimer(announceEvery, t.look)
		},
	}
}

// role is a backend's. On a node with others, rooms are claimed.
func (h *Hall) role(others bool) role {
	return role{
		// What was to be seen is worth nothing later, to who does not keep up or is away.
		options: []nano.Option{nano.WithDelivery(nano.DropWhenBusy(), pushState, pushOut, pushTook)},
		serve: func(cs *component.Components) {
			named(cs, "arena", h)
			named(cs, "room", &Play{}, component.WithSchedulerName(keyScheduler))
		},
		ready: func(app *nano.App) {
			h.sched = app.Scheduler()
			h.make = func(name string) *scheduler.Scheduler { return app.NewScheduler(name) }
			if others {
				h.claim = func(c *Claim) { _ = app.NotifyAll("arena.claim", c) }
			}
			app.Lifetime().OnSuspended(h.suspended)
			app.Lifetime().OnResumed(h.resumed)
			app.Lifetime().OnClosed(h.gone)
			n := 0
			h.sched.NewTimer(announceEvery, func() {
				if n++; h.changed || n%4 == 0 { // now and then in any case: the master may be a new one
					h.changed = false
					_ = app.Notify("tally.report", &Report{Addr: h.addr, Name: h.name, Rooms: h.list(), Round: int(h.round.Seconds())})
				}
			})
		},
	}
}

// phone says how a page that is served at an address is reached from other devices.
func phone(served net.Addr, flag string) Phone {
	if near := page.Nearby(served); near != "" {
		return Phone{URL: "http://" + near}
	}
	_, port, err := net.SplitHostPort(served.String())
	if err != nil || flag == "" {
		return Phone{}
	}
	return Phone{Flag: fmt.Sprintf("--%s 0.0.0.0:%s", flag, port)}
}

// role is a gate's.
func (g *Gateway) role(c *config) (role, error) {
	pages, err := page.Handler(files, "page")
	if err != nil {
		return role{}, err
	}
	g.phone = phone(c.page.Addr(), c.flag)
	messages := pipeline.New()
	messages.Inbound().PushBack(g.look)
	options := []nano.Option{
		nano.WithEndpoint(nano.Endpoint{Listener: c.page, WebSocket: true, Path: "/nano"}),
		nano.WithHTTPHandler(pages),
		nano.WithSameOrigin(),
		nano.WithDictionary(routeCodes),
		nano.WithHandshake(g.shake),
		nano.WithPipeline(messages),       // where this node is a backend, too
		nano.WithForwardFilter(g.look),    // where it is not
		nano.WithForwardedValues(keyGate), // a backend sees this value of its sessions
		nano.WithMaxPacket(4 << 10),
		nano.WithMaxConnections(5000),
		nano.WithSendQueue(128 << 10),
		nano.WithResume(nano.Resume{}), // a tunnel costs nobody the place; a bot plays meanwhile
	}
	if c.tcp != nil {
		options = append(options, nano.WithEndpoint(nano.Endpoint{Listener: c.tcp}))
	}
	if len(c.proxies) > 0 {
		options = append(options, nano.WithTrustedProxies(c.proxies...))
	}
	return role{
		serve:   func(cs *component.Components) { named(cs, "gate", g) },
		options: options,
		ready: func(app *nano.App) {
			app.Lifetime().OnResumed(func(s *session.Session) {
				if nano.GateOf(s) != "" { // its client has gone to another gate, whose lobby it asks for
					_ = g.lobby.Leave(s)
					return
				}
				s.Set(keyGate, g.name)
			})
		},
	}, nil
}
