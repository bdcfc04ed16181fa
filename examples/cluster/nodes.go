package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/console"
	"github.com/lonng/nano/examples/page"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// reportEvery is how often each node tells the master's component how it is.
func (c *config) reportEvery() time.Duration { return min(time.Second, c.heartbeat/4) }

// service makes a component the one whose routes begin with name.
func service(name string, c component.Component, more ...component.Option) *component.Components {
	components := &component.Components{}
	components.Register(c, append(more, component.WithName(name), component.WithNameFunc(strings.ToLower))...)
	return components
}

// forNodes adds a handler that only other nodes may call. Clients can name any route: what is not
// for them has to say so.
func forNodes[T any](cs *component.Components, route string, fn func(context.Context, *session.Session, *T) error) {
	component.HandleNotify(cs, route, fn, component.WithNodesOnly())
}

// common is what all nodes have in common.
func common(conf config, components *component.Components) []nano.Option {
	options := []nano.Option{
		nano.WithComponents(components),
		nano.WithSerializer(json.NewSerializer()),
		nano.WithLabel(conf.name),
		nano.WithHeartbeatInterval(conf.heartbeat),
		nano.WithServiceListener(conf.listener),
		nano.WithSignals(conf.signals...),
	}
	if conf.token != "" {
		options = append(options, nano.WithClusterToken(conf.token))
	}
	if conf.master != "" {
		options = append(options, nano.WithAdvertiseAddr(conf.master, 500*time.Millisecond))
	}
	return options
}

// newMaster makes the node that keeps the list. It takes no clients, and no chat waits for it: what
// it does beside is to count.
func newMaster(conf config) (*nano.App, announcement, error) {
	tally := newTally()
	app := nano.New(conf.listen, append(common(conf, service("tally", tally, component.WithNodesOnly())),
		nano.WithMaster(),
		nano.WithUnregisterCallback(func(m cluster.Member) { tally.left(m.String()) }),
	)...)
	tally.announce = func(o Overview) { _ = app.NotifyAll("gate.overview", o) } // while there is no gate, nobody is told
	app.Scheduler().NewTimer(conf.reportEvery(), func() {
		now := time.Now()
		tally.count(conf.report(app, "master"), now)
		tally.look(now)
		tally.tell(false, now)
	})
	return app, func(*nano.App) string { return fmt.Sprintf("%s at %s", conf.name, conf.listen) }, nil
}

// newChat makes a backend: it runs rooms, and takes no clients either.
func newChat(conf config) (*nano.App, announcement, error) {
	chat := newRooms(conf.name, conf.listen)
	components := service("chat", chat)
	forNodes(components, "chat.claim", chat.claim)
	forNodes(components, "chat.keep", chat.keep)
	app := nano.New(conf.listen, common(conf, components)...)
	chat.one = func(addr, route string, v any) { _ = app.NotifyNode(addr, route, v) }
	chat.all = func(route string, v any) { _ = app.NotifyAll(route, v) }
	chat.push = func(task func()) { app.Scheduler().PushTask(task) }
	app.Lifetime().OnClosed(chat.gone)
	app.Scheduler().NewTimer(conf.reportEvery(), func() {
		r := conf.report(app, "chat")
		r.Rooms, r.Users = chat.sizes()
		_ = app.Notify("tally.report", r) // the master may be away: nothing here needs it
	})
	return app, func(*nano.App) string { return fmt.Sprintf("%s at %s", conf.name, conf.listen) }, nil
}

// newGate makes a gate. It knows of no rooms: a client's messages to the service "chat" go to a
// backend, which is chosen by the name of the room, so that all who are in a room meet on one
// backend, whichever gate they came by.
func newGate(conf config) (*nano.App, announcement, error) {
	own, err := page.Handler(files, "page")
	if err != nil {
		return nil, nil, err
	}
	pages := http.NewServeMux()
	pages.Handle("/", own)
	gate := newGateway(conf.name)
	components := service("gate", gate)
	forNodes(components, "gate.overview", gate.overview)
	messages := pipeline.New()
	messages.Inbound().PushBack(gate.look)
	options := append(common(conf, components),
		nano.WithPipeline(messages),
		nano.WithRouting(nano.RouteHash(func(s *session.Session) string { return s.String("room") })),
		nano.WithForwardedValues("gate"), // a backend sees this value of its sessions
		nano.WithBindPolicy(nano.BindKickOld),
		nano.WithResume(nano.Resume{}),
		// A gate that is told to end asks its people to go elsewhere first. Who has nowhere to go
		// is not waited for for long.
		nano.WithDrain(nano.Drain{Timeout: 6 * time.Second, Spread: time.Second}),
		nano.WithEndpoint(nano.Endpoint{Addr: conf.gateAddress, WebSocket: true, Path: "/nano"}),
		nano.WithHTTPHandler(pages),
		nano.WithSameOrigin(),
		nano.WithMaxPacket(8<<10),
	)
	if conf.tcpAddress != "" {
		options = append(options, nano.WithEndpoint(nano.Endpoint{Addr: conf.tcpAddress}))
	}
	if len(conf.proxies) > 0 {
		options = append(options, nano.WithTrustedProxies(conf.proxies...))
	}
	if conf.proxyProtocol {
		options = append(options, nano.WithProxyProtocol())
	}
	app := nano.New(conf.listen, options...)
	if conf.consoleToken != "" {
		pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{Token: conf.consoleToken})))
	}
	app.Lifetime().OnOpened(gate.opened)
	app.Lifetime().OnResumed(gate.opened) // it may have come from another gate
	app.Lifetime().OnClosed(gate.closed)
	report := func() {
		r := conf.report(app, "gate")
		r.Users, r.Page = gate.visitors.Count(), "http://"+page.Address(app.Addr())
		_ = app.Notify("tally.report", r)
	}
	gate.changed = func() { app.Scheduler().PushTask(report) }
	app.Scheduler().NewTimer(conf.reportEvery(), report)
	return app, func(app *nano.App) string {
		where := fmt.Sprintf("%s at %s, open http://%s", conf.name, conf.listen, page.Address(app.Addr()))
		if conf.tcpAddress != "" {
			where += fmt.Sprintf(", tcp %s", app.Addrs()[1])
		}
		return where
	}, nil
}

// report is what every node can say of itself.
func (c *config) report(app *nano.App, role string) *Report {
	return &Report{Addr: c.listen, Role: role, Name: c.name, Sees: app.Members(), PID: os.Getpid(), At: time.Now().UnixMilli()}
}
