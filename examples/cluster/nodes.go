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
	"github.com/lonng/nano/session"
)

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

// newMaster makes the node that keeps the list, unless etcd does. It takes no clients, and no chat
// waits for it: what it does beside is to count.
func newMaster(conf *settings) (*nano.App, announcement, error) {
	options, err := conf.options()
	if err != nil {
		return nil, nil, err
	}
	tally := newTally()
	app := nano.New(conf.Address, append(options,
		nano.WithComponents(service("tally", tally, component.WithNodesOnly())),
		nano.WithUnregisterCallback(func(m cluster.Member) { tally.left(m.String()) }),
	)...)
	tally.announce = func(o Overview) { _ = app.NotifyAll("gate.overview", o) } // while there is no gate, nobody is told
	app.Scheduler().NewTimer(conf.reportEvery(), func() {
		now := time.Now()
		tally.see(app.Members())
		tally.count(conf.report(app, "master"), now)
		tally.look(now)
		tally.tell(false, now)
	})
	return app, conf.announce, nil
}

// newChat makes a backend: it runs rooms, and takes no clients either.
func newChat(conf *settings) (*nano.App, announcement, error) {
	options, err := conf.options()
	if err != nil {
		return nil, nil, err
	}
	chat := newRooms(conf.Name, conf.Address)
	components := service("chat", chat)
	forNodes(components, "chat.claim", chat.claim)
	forNodes(components, "chat.keep", chat.keep)
	app := nano.New(conf.Address, append(options,
		nano.WithComponents(components),
		nano.WithDrain(nano.Drain{Signals: conf.signals(), Timeout: conf.Drain, Move: chat.move}),
	)...)
	chat.one = func(addr, route string, v any) { _ = app.NotifyNode(addr, route, v) }
	chat.all = func(route string, v any) { _ = app.NotifyAll(route, v) }
	chat.run = func(ctx context.Context, task func()) error {
		done := make(chan struct{})
		app.Scheduler().PushTask(func() {
			defer close(done)
			task()
		})
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	app.Lifetime().OnOpened(chat.arrive)
	app.Lifetime().OnClosed(chat.gone)
	app.Scheduler().NewTimer(conf.reportEvery(), func() {
		chat.forget(time.Now())
		r := conf.report(app, "chat")
		r.Rooms, r.Users = chat.sizes()
		_ = app.Notify("tally.report", r) // the master may be away: nothing here needs it
	})
	return app, conf.announce, nil
}

// newGate makes a gate. It knows of no rooms: a client's messages to the service "chat" go to a
// backend, which is chosen by the name of the room, so that all who are in a room meet on one
// backend, whichever gate they came by.
func newGate(conf *settings) (*nano.App, announcement, error) {
	options, err := conf.options()
	if err != nil {
		return nil, nil, err
	}
	own, err := page.Handler(files, "page")
	if err != nil {
		return nil, nil, err
	}
	pages := http.NewServeMux()
	pages.Handle("/", own)
	gate := newGateway(conf.Name)
	components := service("gate", gate)
	forNodes(components, "gate.overview", gate.overview)
	app := nano.New(conf.Address, append(options,
		nano.WithComponents(components),
		nano.WithForwardFilter(gate.look),
		nano.WithRouting(nano.RouteHash(func(s *session.Session) string { return s.String("room") })),
		nano.WithForwardedValues("gate"), // a backend sees this value of its sessions
		nano.WithBindPolicy(nano.BindKickOld),
		// A gate that is told to end asks its people to go elsewhere first. Who has nowhere to go
		// is not waited for for long.
		nano.WithDrain(nano.Drain{Timeout: conf.Drain, Spread: time.Second}),
		nano.WithHTTPHandler(pages),
		nano.WithSameOrigin(),
		nano.WithMaxPacket(8<<10),
	)...)
	if conf.ConsoleToken != "" {
		pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{Token: string(conf.ConsoleToken)})))
	}
	app.Lifetime().OnOpened(gate.opened)
	app.Lifetime().OnResumed(gate.resumed)
	app.Lifetime().OnClosed(gate.closed)
	report := func() {
		r := conf.report(app, "gate")
		r.Users, r.Page = gate.visitors.Count(), "http://"+page.Address(app.Addr())
		_ = app.Notify("tally.report", r)
	}
	gate.changed = func() { app.Scheduler().PushTask(report) }
	app.Scheduler().NewTimer(conf.reportEvery(), report)
	return app, func(app *nano.App) string {
		where := fmt.Sprintf("%s, open http://%s", conf.announce(app), page.Address(app.Addr()))
		if conf.Clients.TCP != "" {
			where += fmt.Sprintf(", tcp %s", app.Addrs()[1])
		}
		return where
	}, nil
}

// announce says who this is, and where other nodes find it.
func (s *settings) announce(*nano.App) string { return fmt.Sprintf("%s at %s", s.Name, s.Address) }

// report is what every node can say of itself.
func (s *settings) report(app *nano.App, role string) *Report {
	return &Report{Addr: s.Address, Role: role, Name: s.Name, Sees: app.Members(), PID: os.Getpid(), At: time.Now().UnixMilli()}
}
