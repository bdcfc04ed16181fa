package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// Mesh is what a node has for the sake of other nodes. On a single node it is idle. Its methods may be called from
// any goroutine.
type Mesh struct {
	cfg   Config
	addr  string // at which other nodes reach this one
	log   *slog.Logger
	users *users.Register
	sched *scheduler.Scheduler
	life  *session.Lifetimes
	conns service.Connection
	table *dispatch.Table
	gate  *gate.Gate

	epoch      uint64
	ctx        context.Context // ends with the node
	cancel     context.CancelFunc
	tasks      sync.WaitGroup // goroutines of the node's own
	serializer serialize.Serializer
	ids        atomic.Pointer[service.Connection] // makes session ids

	service net.Listener
	server  *grpc.Server
	running atomic.Bool // Working was called: what others have asked for is run before the end
	master  masterWay

	members   membership
	others    atomic.Pointer[member.Table]     // what members knows, for readers
	peers     atomic.Pointer[map[string]*peer] // ways to other nodes, by address
	receivers receivers
	remotes   remotes
	directory directory
	upstreams sync.Map // *session.Session of a client here: *upstream
	turn      atomic.Uint64
	ways      atomic.Uint64 // see peer.turn
	refusals  Refusals
}

// Refusals count what was not run or sent on purpose.
type Refusals struct {
	Withdrawn atomic.Uint64 // not sent, as nobody waits for the answer any more
	Late      atomic.Uint64 // of other nodes, and over its time when its turn came
	Unknown   atomic.Uint64 // of sessions that nobody has introduced
}

// Refusals returns the counts, which go on.
func (n *Mesh) Refusals() *Refusals { return &n.refusals }

// New returns the mesh of a node, with nothing open and nobody known. [Mesh.Attach] completes it.
func New(cfg Config) (*Mesh, error) {
	if cfg.clustered() && cfg.Addr == "" {
		return nil, errNoAddress
	}
	n := &Mesh{
		cfg: cfg, addr: cfg.Addr, log: cfg.Log, users: cfg.Users, sched: cfg.Scheduler, life: cfg.Lifetimes,
		conns: cfg.Connections, serializer: cfg.Serializer, epoch: newEpoch(),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.peers.Store(&map[string]*peer{})
	n.receivers.all = make(map[process]*inlet)
	n.remotes.all = make(map[remoteKey]*remote)
	n.directory.users = make(map[int64]map[remoteKey]uint64)
	n.directory.binding = make(map[int64][]*awaitedBind)
	n.turn.Store(rand.Uint64())
	n.ids.Store(&n.conns)
	n.others.Store(member.NewPeers(member.PeersConfig{}).Table())
	return n, nil
}

// Attach gives the mesh the node's routes and its clients' connections, which are made with functions of the mesh. It
// comes before everything else.
func (n *Mesh) Attach(t *dispatch.Table, g *gate.Gate) { n.table, n.gate = t, g }

// Start serves the service address, which [Mesh.Listen] has opened, and enters the list. ctx ends the attempt. On a single
// node it does nothing.
func (n *Mesh) Start(ctx context.Context) error {
	if !n.cfg.clustered() {
		return nil
	}
	return n.joinCluster(ctx)
}

// Working has the others send sessions here: the components are ready, and the scheduler runs.
func (n *Mesh) Working() {
	n.running.Store(true)
	n.setState(member.Working)
}

// Draining has the others send no new sessions here.
func (n *Mesh) Draining() { n.setState(member.Draining) }

// Stop ends what Listen and Start have begun, and what New has.
func (n *Mesh) Stop(ctx context.Context) error {
	if !n.cfg.clustered() || n.service == nil {
		n.cancel()
		return nil
	}
	return n.leaveCluster(ctx, n.running.Load())
}

// leased takes the node id that the master has chosen for this node's session ids.
func (n *Mesh) leased(id uint32) {
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	self := &n.members.self
	if id == 0 && self.NodeID == 0 { // a master of the 0.5 series: chance has to do
		id = 1 + rand.Uint32N(service.MaxNodeID)
	}
	if self.Fixed || id == 0 || id == n.members.leased {
		return
	}
	ids, err := service.New(uint64(id))
	if err != nil {
		n.log.Error("the node id of the master cannot be used", "id", id, "err", err)
		return
	}
	self.NodeID, n.members.leased = uint64(id), id
	n.ids.Store(&ids)
}

// joinCluster opens the service address and enters the list. ctx ends the attempt.
func (n *Mesh) joinCluster(ctx context.Context) error {
	n.serveService()
	n.background(func() { n.keepTime(n.ctx) })
	if n.cfg.IsMaster {
		n.leased(uint32(n.members.self.NodeID))
		return nil
	}
	if n.cfg.Keeper != nil {
		return n.joinList(ctx)
	}
	if err := n.join(ctx); err != nil {
		return err
	}
	n.background(func() { n.beats(n.ctx) })
	return nil
}

// leaveCluster is the end of the node for others: what is queued for them is sent, as far as ctx allows. A node that was
// running, and not only starting, answers first what it was asked.
func (n *Mesh) leaveCluster(ctx context.Context, running bool) (err error) {
	n.members.mu.Lock()
	n.members.leaving = true
	kept := n.members.kept
	n.members.mu.Unlock()
	if kept {
		n.leaveList(ctx)
	}
	if n.master.opened() {
		n.leave(ctx)
	}
	if running {
		err = Within(ctx, "run what other nodes have asked for", n.cfg.Drain)
	}
	n.closeGate("", 0, true)
	var all sync.WaitGroup
	for _, p := range *n.peers.Load() {
		all.Go(func() {
			p.close(ctx)
			p.abandon()
		})
	}
	all.Wait()
	return errors.Join(err, n.closeMesh(ctx))
}

// closeMesh frees what is left.
func (n *Mesh) closeMesh(ctx context.Context) error {
	n.cancel()
	var errs []error
	n.receivers.mu.Lock()
	n.receivers.closed = true
	rs := n.receivers.all
	n.receivers.all = nil
	n.receivers.mu.Unlock()
	if n.server != nil {
		errs = append(errs, Within(ctx, "close the service address", n.server.Stop))
	}
	for _, in := range rs {
		errs = append(errs, in.receiver.Close(ctx))
	}
	n.master.close()
	errs = append(errs, Within(ctx, "wait for what other nodes are told", n.tasks.Wait))
	return errors.Join(errs...)
}

// Addr returns the address at which other nodes reach this one, which is its identity. It is final after Listen.
func (n *Mesh) Addr() string { return n.addr }

// ListenAddr returns the service address as it was opened; nil on a single node.
func (n *Mesh) ListenAddr() net.Addr {
	if n.service == nil {
		return nil
	}
	return n.service.Addr()
}

// Members returns all other nodes that this one knows.
func (n *Mesh) Members() []member.Peer { return n.others.Load().All() }

// Services returns the services that other nodes run.
func (n *Mesh) Services() []string { return n.others.Load().Services() }

// errNoAddress is returned for a node of a cluster that nobody could reach.
var errNoAddress = fmt.Errorf("a node of a cluster needs a service address, at which the others reach it")
