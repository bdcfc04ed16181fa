package nano

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// App is an application on one node. It runs once. All methods are safe for concurrent use.
type App struct {
	node      *cluster.Node
	signals   []os.Signal // that end Run
	drain     Drain       // whose signals drain the node, and then end Run
	scheduler *scheduler.Scheduler
	lifetime  *session.Lifetimes

	moved      atomic.Bool // the Move of the drain was called
	drainBegun atomic.Bool // an operator has begun a drain, which goes on
	quitOnce   sync.Once
	quitting   chan struct{}
}

// New returns an application. It opens nothing and starts nothing before Run or Start, which also
// return the errors of the options. addr (host:port) is the node's service address. On a single
// node it is also where clients connect, unless WithClientAddr or WithEndpoint name an address;
// then it may be empty. The application has a scheduler, lifetime hooks and session ids of its own;
// WithProcessDefaults chooses those of v0.5.
func New(addr string, opts ...Option) *App {
	return newApp(addr, opts, ownInstances)
}

// ownInstances gives an application instances of its own.
func ownInstances(o *cluster.Options) {
	if o.Scheduler == nil {
		o.Scheduler, o.OwnScheduler = scheduler.New(), true
	}
	if o.Lifetime == nil {
		o.Lifetime = session.NewLifetime()
	}
	switch {
	case o.Connections == nil && o.NodeID <= service.MaxNodeID: // else the start says that it is too large
		o.Connections, _ = service.New(o.NodeID)
	case o.NodeID != 0 && o.Connections == service.Connections:
		o.Connections = nil // the node takes the default instance, and gives it the node id
	}
	if o.Pages == nil {
		o.Pages = http.NewServeMux() // no page
	}
}

// defaultInstances gives an application the default instances of the process.
func defaultInstances(o *cluster.Options) {
	o.Scheduler, o.Lifetime = cmp.Or(o.Scheduler, scheduler.Default()), cmp.Or(o.Lifetime, session.Lifetime)
}

// newApp makes an application of opts. instances fills in what they leave open.
func newApp(addr string, opts []Option, instances func(*cluster.Options)) *App {
	var o cluster.Options
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	if !o.IsMaster && o.AdvertiseAddr == "" && o.Keeper == nil && o.ClientAddr == "" && len(o.Endpoints) == 0 {
		o.ClientAddr = addr
	}
	instances(&o)
	app := &App{quitting: make(chan struct{})}
	app.signals, app.drain, app.scheduler, app.lifetime = o.Signals, o.Drain.WithDefaults(), o.Scheduler, o.Lifetime
	o.Answer = answers{app}.answer
	app.node = &cluster.Node{Options: o, ServiceAddr: addr}
	return app
}

// Run starts the application and serves until ctx ends, a signal of WithSignals or WithDrain
// arrives, or Quit is called. Then it shuts down within the shutdown timeout; a signal of WithDrain
// drains the node before that, until ctx ends. It returns nil for an orderly end.
func (a *App) Run(ctx context.Context) error {
	given := ctx
	ctx, second, stop := a.untilSignal(given)
	defer stop()
	asked, err := a.start(ctx)
	if err != nil {
		if asked { // it was told to end before it had started
			return nil
		}
		return err
	}
	select {
	case <-ctx.Done():
	case <-a.quitting:
	}
	var first signalled
	if errors.As(context.Cause(ctx), &first) && slices.Contains(a.drain.Signals, first.Signal) {
		if err := a.drainUntil(given, a.drain.Timeout, second); err != nil {
			a.log().Warn("drain ended with sessions left: they are kicked", "err", err)
		}
	}
	end, cancel := context.WithTimeout(context.Background(), a.node.EndTimeout())
	defer cancel()
	return a.Shutdown(end)
}

// signalled is the cause of a context that a signal has ended.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return "nano: the process was sent the signal " + s.String() }

// untilSignal returns a context that ends with the first signal that ends Run, and a channel that
// is closed by the second one. The caller calls stop.
func (a *App) untilSignal(ctx context.Context) (_ context.Context, second <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	again := make(chan struct{})
	all := append(slices.Clone(a.signals), a.drain.Signals...)
	if len(all) == 0 {
		return ctx, again, func() { cancel(nil) }
	}
	signals, quit := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, all...)
	go func() {
		select {
		case s := <-signals:
			cancel(signalled{s})
		case <-quit:
			return
		}
		select {
		case <-signals:
			close(again)
		case <-quit:
		}
	}()
	return ctx, again, func() {
		signal.Stop(signals)
		close(quit)
		cancel(nil)
	}
}

// Start starts the application and returns when it serves. A node of a cluster waits for its master
// or keeper until ctx ends. Once Start has returned, ctx has no effect. An application starts once.
// Shutdown and Quit, from another goroutine, end a start that waits.
//
// Start fails if options are wrong or contradict each other, a port is in use, a certificate cannot
// be read, a component has no handlers, or ctx ends. Nothing is left open then.
func (a *App) Start(ctx context.Context) error {
	_, err := a.start(ctx)
	if err != nil || ctx.Err() == nil {
		return err
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.node.EndTimeout())
	defer cancel()
	return errors.Join(fmt.Errorf("nano: start: %w", context.Cause(ctx)), a.Shutdown(end))
}

// start starts the node, which may wait for its master. It gives up when ctx ends or Quit or
// Shutdown is called; asked reports that one of these came first.
func (a *App) start(ctx context.Context) (asked bool, err error) {
	starting, started := context.WithCancel(ctx)
	defer started()
	go func() {
		select {
		case <-a.quitting:
			started()
		case <-starting.Done():
		}
	}()
	err = a.node.Start(starting)
	return starting.Err() != nil, err
}

// Shutdown ends the application: it accepts no new clients, runs the components' hooks, flushes
// what is queued for each client, kicks it, runs OnClosed, and ends the scheduler. What is not done
// when ctx ends is cut, and the error says so. A second call waits for the first one. In a handler
// it would wait for itself until ctx ends: use Quit there.
func (a *App) Shutdown(ctx context.Context) error {
	a.Quit()
	return a.node.Stop(ctx)
}

// Quit ends Run and does not wait for it.
func (a *App) Quit() { a.quitOnce.Do(func() { close(a.quitting) }) }

// Addr returns the first address at which clients connect, with the port that was opened. It
// returns nil if there is none, and before Start.
func (a *App) Addr() net.Addr {
	if all := a.node.Addrs(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// ServiceAddr returns the address at which other nodes reach this one, with the port that was
// opened. It returns nil on a single node, and before Start.
func (a *App) ServiceAddr() net.Addr { return a.node.ServiceAddress() }

// Addrs returns all addresses at which clients connect: the client address, then the endpoints.
func (a *App) Addrs() []net.Addr { return slices.Clone(a.node.Addrs()) }

// Scheduler returns the scheduler that runs the handlers. Its tasks and timers need no locks
// either. Timers that are made before Start run from Start on.
func (a *App) Scheduler() *scheduler.Scheduler { return a.scheduler }

// NewScheduler returns another scheduler, for components (component.WithScheduler) or rooms. Make
// it once the application is starting, in a component's Init or in a handler: then its output is
// merged, and its slow calls and panics are logged, as on the node's own scheduler. The caller
// starts and closes it.
func (a *App) NewScheduler(name string, opts ...scheduler.Option) *scheduler.Scheduler {
	return a.node.NewScheduler(name, opts...)
}

// Lifetime returns the hooks of sessions: OnOpened, OnBound and OnClosed register functions there.
func (a *App) Lifetime() *session.Lifetimes { return a.lifetime }

// Session returns the live session with that id on this node, or nil.
func (a *App) Session(id int64) *session.Session { return a.node.Session(id) }

// SessionsOf returns the live sessions of user uid on this node.
func (a *App) SessionsOf(uid int64) []*session.Session { return slices.Clone(a.node.SessionsOf(uid)) }

// UIDs returns the users who have a session on this node, in no order.
func (a *App) UIDs() []int64 { return a.node.UIDs() }

// Stats returns the totals of this moment. It waits for no handler. Snapshot tells more.
func (a *App) Stats() Stats { return a.node.Stats() }

// Snapshot returns the figures of this moment: of each route, scheduler, group and link, of the
// clients' connections, and of the other nodes. It waits for no handler, costs about what it holds,
// and may be called often.
func (a *App) Snapshot() metrics.Snapshot { return cluster.FiguresOf(a.node).Snapshot() }

// SchedulerStack returns where the call is that runs now on the scheduler of that name, one of
// Snapshot's; empty if none runs. ok is false if there is no such scheduler. It costs a profile of
// all goroutines, so it is for a person who asks.
func (a *App) SchedulerStack(name string) (stack string, ok bool) {
	return cluster.FiguresOf(a.node).SchedulerStack(name)
}

// Health says whether the application works, and whether it should get new clients. It waits for
// nothing, and may be called before Start and after Shutdown. HealthHandler and ReadyHandler serve
// it.
func (a *App) Health() metrics.Health { return cluster.FiguresOf(a.node).Health() }

func (a *App) log() *slog.Logger { return a.node.Log() }
