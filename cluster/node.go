package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/groups"
	"github.com/lonng/nano/internal/log"
	"github.com/lonng/nano/internal/mesh"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// Node is one node. Fill in the two fields, call Startup, and Shutdown at the end. A node starts
// once. The methods may be called from any goroutine.
type Node struct {
	Options            // what it is made of
	ServiceAddr string // host:port at which other nodes reach it; in a single node, only its name

	mu       sync.Mutex
	started  chan struct{} // made when Startup begins, closed when it is over
	stopping bool
	stopped  chan struct{} // closed when Stop is over
	stopErr  error

	ring atomic.Pointer[LogRing] // keeps the last lines of the log; nil before the start

	set atomic.Pointer[settings] // made by Startup from Options, which nothing reads after that

	// Startup makes what stands here; ready says that it may be read.
	ready    atomic.Bool
	draining atomic.Bool  // it takes no new sessions
	log      *slog.Logger // limited: any number of peers may each cause lines
	front    *slog.Logger // limited to few lines: what clients and handlers cause
	logs     []*log.Limiter
	sched    *scheduler.Scheduler
	owns     bool // the node runs sched and ends it
	life     *session.Lifetimes
	conns    service.Connection
	users    *users.Register
	table    *dispatch.Table
	gate     *gate.Gate
	runs     []string              // the names of the services of its components
	comps    []component.Component // those whose Init ran, in that order
	ends     []endpoint
	mesh     *mesh.Mesh

	phase      atomic.Int32 // see Health
	began      time.Time    // when Startup began
	groups     groups.Registry
	schedulers schedulers
}

// stallAfter is how long a batch of handlers may run before its output is flushed all the same.
const stallAfter = 2 * time.Millisecond

// Startup checks the options, opens the addresses, initializes the components and serves. A node
// that joins a cluster waits for its master. On an error nothing is left open.
func (n *Node) Startup() error { return n.Start(context.Background()) }

// Start is Startup that gives up when ctx ends.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	if n.started != nil {
		n.mu.Unlock()
		return ErrStarted
	}
	n.started, n.stopped = make(chan struct{}), make(chan struct{})
	n.began = time.Now()
	n.mu.Unlock()

	n.phase.Store(int32(phaseStarting))
	err := n.startup(ctx)
	if err != nil {
		n.phase.Store(int32(phaseEnded))
		err = fmt.Errorf("cluster: node %s: %w", n.ServiceAddr, err)
		n.mu.Lock()
		n.stopping = true
		n.mu.Unlock()
		close(n.stopped)
	}
	close(n.started)
	return err
}

func (n *Node) startup(ctx context.Context) (err error) {
	set, err := n.resolve()
	if err != nil {
		closeListeners(n.Options.endpoints())
		return err
	}
	n.set.Store(set)
	ring := ringOf(set.log.Handler())
	n.ring.Store(ring)
	n.openLogs(ring)
	services, err := n.prepare(set)
	if err != nil {
		closeListeners(set.endpoints)
		return err
	}
	if n.ends, err = open(set.endpoints); err != nil {
		n.discard()
		return err
	}
	if err := n.mesh.Listen(); err != nil {
		closeAll(n.ends)
		n.discard()
		return err
	}
	if a := n.mesh.Addr(); a != n.ServiceAddr { // its port was 0
		n.ServiceAddr = a
	}
	n.gate.Identify(n.mesh.Place())
	n.runs = services
	n.ready.Store(true)
	if err := n.begin(ctx); err != nil {
		closeAll(n.ends)
		n.runHooks()
		n.discard()
		return err
	}
	var where []string
	for i := range n.ends {
		n.ends[i].serve(n.gate)
		where = append(where, n.ends[i].String())
	}
	if path := set.unusedPath; path != "" {
		n.log.Warn("path of WebSockets ignored: the client address takes none without WithIsWebsocket(true)", "path", path)
	}
	n.mesh.Working()
	n.phase.Store(int32(phaseWorking))
	n.log.Info("node started", "name", n.ServiceAddr, "clients", where, "services", services)
	return nil
}

// begin joins the cluster, if there is one, and starts the components.
func (n *Node) begin(ctx context.Context) error {
	if err := n.mesh.Start(ctx); err != nil {
		return err
	}
	if err := n.initComponents(); err != nil {
		return err
	}
	n.sched.Start() // the application's may run already, which is as well
	return nil
}

// How many lines a message has, with different attributes, before it has one a second; see
// log.Limiter.
const (
	firstLines     = 20
	firstPeerLines = 256 // of what happens to the nodes of a cluster
)

// openLogs makes the loggers. Both limit the lines that somebody outside can cause. Only what
// WithDebugMode asks for has no limit.
func (n *Node) openLogs(h slog.Handler) {
	peers, front := log.NewLimiter(h, firstPeerLines), log.NewLimiter(h, firstLines)
	n.logs = []*log.Limiter{peers, front}
	n.log, n.front = slog.New(peers), slog.New(front)
}

// closeLogs tells what the loggers hold back.
func (n *Node) closeLogs() {
	if n.table != nil {
		n.table.Close()
	}
	for _, l := range n.logs {
		l.Stop()
	}
}

// Log returns what the node logs to. A running node limits how many lines can be caused from
// outside.
func (n *Node) Log() *slog.Logger {
	if n.ready.Load() {
		return n.front
	}
	if set := n.set.Load(); set != nil {
		return set.log
	}
	return n.logger()
}

// EndTimeout returns how long a shutdown may take that has no context of its own.
func (n *Node) EndTimeout() time.Duration {
	if set := n.set.Load(); set != nil {
		return set.shutdownTimeout
	}
	return n.endTimeout()
}

// prepare makes everything that needs no network.
func (n *Node) prepare(set *settings) (names []string, err error) {
	services, err := set.components.Services()
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		names = append(names, s.Name)
	}
	set.warn(n.ServiceAddr, services)
	n.sched, n.life = set.scheduler, set.lifetimes
	n.life.LogTo(n.front)
	if n.conns = set.connections; n.conns == nil {
		n.conns = service.Connections
		service.ResetNodeId(set.nodeID)
	}
	n.schedulers.main, n.schedulers.own = n.sched, componentSchedulers(services, n.sched)
	n.users = users.New(set.mesh.BindPolicy)
	mcfg := set.mesh
	mcfg.Addr, mcfg.Services, mcfg.Users, mcfg.Connections = n.ServiceAddr, names, n.users, n.conns
	mcfg.Log, mcfg.Drain, mcfg.Groups = n.log, n.drainScheduler, &n.groups
	if n.mesh, err = mesh.New(mcfg); err != nil {
		return nil, err
	}
	tcfg, cfg := set.table, set.gate
	tcfg.Services, tcfg.Log, tcfg.Owner = services, n.front, n
	if set.clustered {
		tcfg.Remote, tcfg.Elsewhere, cfg.Reaches = n.mesh.Routes.Forward, n.mesh.Services, n.mesh.Routes.Reaches
		cfg.Claim = n.mesh.Arrivals.Claim
	}
	if n.table, err = dispatch.New(tcfg); err != nil {
		return nil, err
	}
	cfg.Table, cfg.Log = n.table, n.front
	sessions := n.mesh.Sessions
	cfg.InitLane, cfg.NewSession, cfg.Opened, cfg.Closed = sessions.InitLane, sessions.New, sessions.Opened, sessions.Closed
	cfg.Bind, cfg.Unbind = n.mesh.Users.Bind, n.mesh.Users.Unbind
	cfg.Find, cfg.Groups = n.users.Session, &n.groups
	cfg.Suspended, cfg.Resumed, cfg.Discard = sessions.Suspended, sessions.Resumed, sessions.Discard
	if len(mcfg.Forwarded) > 0 {
		cfg.ValueChanged = sessions.ValueChanged
	}
	if n.gate, err = gate.New(cfg); err != nil {
		return nil, err
	}
	n.mesh.Attach(n.table, n.gate)
	if n.owns = set.ownScheduler; n.owns {
		// One that runs already is somebody else's to configure and to end.
		options := append(n.schedulerOptions("nano "+n.ServiceAddr), scheduler.WithBatch(n.gate.BatchBegin, func() {
			n.table.Settle()
			n.gate.BatchEnd()
		}))
		if n.owns = n.sched.Configure(options...) == nil; n.owns {
			n.table.SettlesAtEndOfBatch()
		}
	}
	return names, nil
}

// aliases tells whether a serializer may keep parts of the payload in the value that it fills. The
// known ones do not.
func aliases(s any) bool {
	switch s.(type) {
	case *json.Serializer, *protobuf.Serializer:
		return false
	}
	return true
}

// schedulerOptions makes a scheduler one of this node's.
func (n *Node) schedulerOptions(name string) []scheduler.Option {
	set := n.set.Load()
	return []scheduler.Option{
		scheduler.WithName(name),
		scheduler.WithBatch(n.gate.BatchBegin, n.gate.BatchEnd),
		scheduler.WithIdle(n.gate.Help),
		scheduler.WithStall(stallAfter, n.gate.Stalled),
		scheduler.WithPrecision(set.timerPrecision),
		scheduler.WithAwaiting(set.waitingCalls),
		scheduler.WithSlow(set.slowHandler, func(s scheduler.Slow) {
			n.front.Warn("scheduler held up by a slow call", "scheduler", s.Scheduler, "route", s.Name, "for", s.For, "stack", s.Stack)
		}),
		scheduler.WithPanic(func(name string, v any, stack []byte) {
			n.front.Error("a task or timer panicked", "call", name, "panic", v, "stack", string(stack))
		}),
	}
}

// NewScheduler returns a scheduler for components or rooms of this node. The caller starts and
// closes it. Call it after Startup has begun, from Init on: then the output of what it runs is
// merged, and slow calls and panics are logged, as on the node's own scheduler.
func (n *Node) NewScheduler(name string, more ...scheduler.Option) *scheduler.Scheduler {
	if !n.ready.Load() {
		return scheduler.New(append([]scheduler.Option{scheduler.WithName(name)}, more...)...)
	}
	s := scheduler.New(append(n.schedulerOptions(name), more...)...)
	n.schedulers.made.Add(s)
	return s
}

// discard frees what prepare has made, when the start failed.
func (n *Node) discard() {
	defer n.closeLogs()
	abandon(n.mesh, n.log)
	if n.gate != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = n.gate.Shutdown(ctx)
	}
	if n.owns {
		n.sched.Close()
		_ = n.sched.Wait(context.Background()) // Init may have queued tasks
	}
}

// abandon undoes what mesh.Listen and mesh.Start have done, when the start failed. m may be nil.
func abandon(m *mesh.Mesh, log *slog.Logger) {
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := m.Stop(ctx); err != nil {
		log.Debug("failed start left something behind", "err", err)
	}
}

// initComponents runs Init of all, then AfterInit of all.
func (n *Node) initComponents() error {
	list := n.set.Load().components.List()
	for _, c := range list {
		if err := guard(c.Comp, "Init", c.Comp.Init); err != nil {
			return err
		}
		n.comps = append(n.comps, c.Comp)
	}
	for _, c := range list {
		if err := guard(c.Comp, "AfterInit", c.Comp.AfterInit); err != nil {
			return err
		}
	}
	return nil
}

// guard makes an error of a hook's panic.
func guard(c component.Component, name string, hook func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s of component %T panicked: %v\n%s", name, c, v, debug.Stack())
		}
	}()
	hook()
	return nil
}

// runHooks runs BeforeShutdown of all and then Shutdown of all, the last component first.
func (n *Node) runHooks() {
	for i := len(n.comps) - 1; i >= 0; i-- {
		if err := guard(n.comps[i], "BeforeShutdown", n.comps[i].BeforeShutdown); err != nil {
			n.log.Error("component shutdown hook failed", "err", err)
		}
	}
	for i := len(n.comps) - 1; i >= 0; i-- {
		if err := guard(n.comps[i], "Shutdown", n.comps[i].Shutdown); err != nil {
			n.log.Error("component shutdown hook failed", "err", err)
		}
	}
}

// Shutdown ends the node within its shutdown timeout; see Stop.
func (n *Node) Shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), n.EndTimeout())
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		n.Log().Warn("shutdown was not clean", "err", err)
	}
}

// Stop ends the node: it accepts no more clients, runs the components' hooks, sends what is queued,
// kicks every client, runs OnClosed for each session, and ends the scheduler if it is the node's.
// What is not done when ctx ends is cut, and the error says so. A second call waits for the first
// one and returns the same.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	started := n.started
	n.mu.Unlock()
	if started == nil {
		return nil
	}
	select {
	case <-started:
	case <-ctx.Done():
		select {
		case <-started: // a node that runs is ended also with a context that is over: everything is cut then
		default:
			return fmt.Errorf("cluster: node %s is still starting: %w", n.ServiceAddr, context.Cause(ctx))
		}
	}
	n.mu.Lock()
	first := !n.stopping
	n.stopping = true
	n.mu.Unlock()
	if !first {
		select {
		case <-n.stopped:
			return n.stopErr
		case <-ctx.Done():
			return fmt.Errorf("cluster: node %s is still stopping: %w", n.ServiceAddr, context.Cause(ctx))
		}
	}
	defer close(n.stopped)
	n.draining.Store(true)
	defer n.phase.Store(int32(phaseEnded))
	n.mesh.Draining()
	n.stopErr = errors.Join(
		mesh.Within(ctx, "close the client addresses", n.gate.StopAccepting),
		mesh.Within(ctx, "run the components' shutdown hooks", n.runHooks),
	)
	n.gate.KickAll(ShutdownReason)
	n.stopErr = errors.Join(n.stopErr, n.gate.Shutdown(ctx))
	n.stopErr = errors.Join(n.stopErr, n.mesh.Stop(ctx))
	n.stopErr = errors.Join(n.stopErr, mesh.Within(ctx, "run what is queued on the scheduler", n.endScheduler))
	if n.stopErr != nil {
		n.stopErr = fmt.Errorf("cluster: node %s: stop: %w", n.ServiceAddr, n.stopErr)
	}
	n.closeLogs()
	n.log.Info("node stopped", "name", n.ServiceAddr, "err", n.stopErr)
	return n.stopErr
}

// ShutdownReason is what clients are told when their node ends.
const ShutdownReason = "server shutdown"

// endScheduler waits until everything queued has run, OnClosed among it.
func (n *Node) endScheduler() {
	if n.owns {
		n.sched.Close()
		_ = n.sched.Wait(context.Background())
		return
	}
	n.drainScheduler()
}

// drainScheduler waits until everything queued has begun to run.
func (n *Node) drainScheduler() {
	ran := make(lastJob)
	if n.sched.Submit([]scheduler.Job{ran}, nil) == nil { // else its owner has ended it already
		<-ran
	}
}

// lastJob is closed when everything queued before it has run.
type lastJob chan struct{}

func (j lastJob) Run()         { close(j) }
func (j lastJob) Name() string { return "shutdown" }

// Addrs returns the addresses at which clients connect, as they were opened; nil before Startup.
func (n *Node) Addrs() []net.Addr {
	if !n.ready.Load() {
		return nil
	}
	all := make([]net.Addr, 0, len(n.ends))
	for _, e := range n.ends {
		all = append(all, e.listener.Addr())
	}
	return all
}
