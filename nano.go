// Package nano is a server framework for games, rooms and chats: many live connections with logic
// behind them.
//
// An application registers components; their exported methods are the handlers. All handlers of a
// node run on one goroutine, its scheduler, so game code needs no locks.
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
// There are two ways to start. [New] makes an application as a value: it runs with a context and
// returns its errors, and any number of applications live in one process, each with its own
// scheduler and hooks.
//
//	comps := &component.Components{}
//	comps.Register(&Room{group: nano.NewGroup("room")})
//	app := nano.New(":3250", nano.WithComponents(comps), nano.WithSerializer(json.NewSerializer()))
//	err := app.Run(ctx)
//
// [Listen] is the way of v0.5: one application per process, on the default scheduler, ended by
// [Shutdown] or a signal.
package nano

import (
	"context"
	"os"
	"sync"
	"syscall"

	"github.com/lonng/nano/cluster"
)

// VERSION is the version of this module. It is a variable because v0.5 has one; nothing here
// changes or reads it.
var VERSION = "0.6.0"

// listening is the application behind Listen and Shutdown, the process-wide names of v0.5.
var listening struct {
	mu      sync.Mutex
	app     *App
	ran     bool // Listen was called before
	pending bool // Shutdown came before the first Listen
}

// Listen runs one application in this process until Shutdown, SIGINT, SIGQUIT or SIGTERM. addr is
// the node's service address, and the address for clients if no option names another. Listen uses
// the default instances: scheduler.Default, session.Lifetime, service.Connections and
// http.DefaultServeMux.
//
// Listen logs an error and returns, because a library does not end the process. A second Listen
// while one runs is such an error. New programs should use New and Run, which return the error.
func Listen(addr string, opts ...Option) {
	app := newApp(addr, opts, defaultInstances)
	app.signals = []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM}

	l := &listening
	l.mu.Lock()
	if l.app != nil {
		l.mu.Unlock()
		app.log().Error("nano.Listen is running already: use nano.New for a second application in one process", "address", addr)
		return
	}
	l.app, l.ran = app, true
	if l.pending {
		l.pending = false
		app.Quit()
	}
	l.mu.Unlock()

	if err := app.Run(context.Background()); err != nil {
		app.log().Error("nano.Listen has ended with an error", "address", addr, "err", err)
	}
	l.mu.Lock()
	l.app = nil
	l.mu.Unlock()
}

// Shutdown ends Listen and returns at once; Listen returns when everything is down. It is safe for
// concurrent use, may be called by handlers, and more than once. Called before the first Listen of
// the process, it ends that Listen. Called later while none runs, it does nothing.
func Shutdown() {
	l := &listening
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.app != nil:
		l.app.Quit()
	case !l.ran:
		l.pending = true
	}
}

// Stats are the figures of a node; see [App.Stats].
type Stats = cluster.Stats
