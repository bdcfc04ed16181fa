// Package nano is a server framework for games, rooms and chats: many live connections with logic behind them.
//
// An application registers components; their exported methods are the handlers. All handlers of a node run on one
// goroutine, its scheduler, so game code needs no locks. Sessions, groups, timers and filters are at hand.
//
//	type Room struct {
//		component.Base
//		group *nano.Group
//	}
//
//	func (r *Room) Say(s *session.Session, msg *Message) error {
//		return r.group.Broadcast("onMessage", msg)
//	}
//
// There are two front doors. [New] makes an application as a value: it is run with a context, returns its errors,
// and any number of them live in one process, each with its own scheduler and hooks.
//
//	comps := &component.Components{}
//	comps.Register(&Room{group: nano.NewGroup("room")})
//	app := nano.New(":3250", nano.WithComponents(comps), nano.WithSerializer(json.NewSerializer()))
//	err := app.Run(ctx)
//
// [Listen] is the one that programs written for v0.5 use: one application a process, on the default scheduler,
// ended by [Shutdown] or a signal.
package nano

import (
	"context"
	"os"
	"sync"
	"syscall"

	"github.com/lonng/nano/cluster"
)

// VERSION is this module's version. It is a variable because it was one in v0.5; nothing here changes or reads it.
var VERSION = "0.6.0"

// listening is the application behind Listen and Shutdown, the process-wide names of v0.5.
var listening struct {
	mu      sync.Mutex
	app     *App
	ran     bool // there was one before
	pending bool // Shutdown came before the first Listen
}

// Listen runs one application in this process until Shutdown, SIGINT, SIGQUIT or SIGTERM. addr is the node's
// service address, and where clients connect if no other option says that. It uses the default instances:
// scheduler.Default, session.Lifetime, service.Connections and http.DefaultServeMux.
//
// An error is logged, with WithLogger's logger where one is set, and Listen returns: a library does not end the
// process. New and Run return the error instead, and are what new programs should use. A second Listen while one
// runs is such an error.
func Listen(addr string, opts ...Option) {
	app := newApp(addr, opts, defaultInstances)
	app.signals = []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM}

	l := &listening
	l.mu.Lock()
	if l.app != nil {
		l.mu.Unlock()
		app.log().Error("nano.Listen is running already; a second application in one process needs nano.New", "address", addr)
		return
	}
	l.app, l.ran = app, true
	if l.pending {
		l.pending = false
		app.quit()
	}
	l.mu.Unlock()

	if err := app.Run(context.Background()); err != nil {
		app.log().Error("nano.Listen has ended with an error", "address", addr, "err", err)
	}
	l.mu.Lock()
	l.app = nil
	l.mu.Unlock()
}

// Shutdown has Listen end and returns at once; Listen returns when everything is down. It may be called from
// anywhere, handlers too, and more than once. Called before the first Listen of the process, it ends that one;
// while nothing runs after that, it does nothing.
func Shutdown() {
	l := &listening
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.app != nil:
		l.app.quit()
	case !l.ran:
		l.pending = true
	}
}

// Stats is what a node tells of itself.
type Stats = cluster.Stats
