package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/service"
)

// mesh is what a node has for the sake of other nodes. On a single node it is empty and idle.
type mesh struct {
	epoch      uint64
	ctx        context.Context // ends with the node
	cancel     context.CancelFunc
	tasks      sync.WaitGroup // goroutines of the node's own
	serializer serialize.Serializer
	ids        atomic.Pointer[service.Connection] // makes session ids

	service net.Listener
	server  *grpc.Server
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
	refusals  refusals
}

// refusals count what was not run or sent on purpose.
type refusals struct {
	withdrawn atomic.Uint64 // not sent, as nobody waits for the answer any more
	late      atomic.Uint64 // of other nodes, and over its time when its turn came
	unknown   atomic.Uint64 // of sessions that nobody has introduced
}

// initMesh makes the empty state.
func (n *Node) initMesh(s serialize.Serializer) {
	n.epoch = newEpoch()
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.serializer = s
	n.peers.Store(&map[string]*peer{})
	n.receivers.all = make(map[process]*inlet)
	n.remotes.all = make(map[remoteKey]*remote)
	n.directory.users = make(map[int64]map[remoteKey]uint64)
	n.directory.binding = make(map[int64][]*awaitedBind)
	n.turn.Store(rand.Uint64())
	n.ids.Store(&n.conns)
	n.others.Store(member.NewPeers(member.PeersConfig{}).Table())
}

// leased takes the node id that the master has chosen for this node's session ids.
func (n *Node) leased(id uint32) {
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
func (n *Node) joinCluster(ctx context.Context) error {
	n.serveService()
	n.background(func() { n.keepTime(n.ctx) })
	if n.IsMaster {
		n.leased(uint32(n.members.self.NodeID))
		return nil
	}
	if n.Keeper != nil {
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
func (n *Node) leaveCluster(ctx context.Context, running bool) (err error) {
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
		err = n.within(ctx, "run what other nodes have asked for", n.drainScheduler)
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
func (n *Node) closeMesh(ctx context.Context) error {
	n.cancel()
	var errs []error
	n.receivers.mu.Lock()
	n.receivers.closed = true
	rs := n.receivers.all
	n.receivers.all = nil
	n.receivers.mu.Unlock()
	if n.server != nil {
		errs = append(errs, n.within(ctx, "close the service address", n.server.Stop))
	}
	for _, in := range rs {
		errs = append(errs, in.receiver.Close(ctx))
	}
	n.master.close()
	errs = append(errs, n.within(ctx, "wait for what other nodes are told", n.tasks.Wait))
	return errors.Join(errs...)
}

// abortCluster undoes joinCluster when the start failed.
func (n *Node) abortCluster() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := n.leaveCluster(ctx, false); err != nil {
		n.log.Debug("the failed start was not undone cleanly", "err", err)
	}
}

// filtersOutput tells whether outbound filters see what goes to clients.
func (n *Node) filtersOutput() bool {
	return n.Pipeline != nil && !pipeline.Empty(n.Pipeline.Outbound())
}

// ServiceAddress returns the address at which other nodes reach this one, as it was opened; nil on a single node.
func (n *Node) ServiceAddress() net.Addr {
	if !n.ready.Load() || n.service == nil {
		return nil
	}
	return n.service.Addr()
}

// Members returns the service addresses of all other nodes that this one knows.
func (n *Node) Members() []string {
	if !n.ready.Load() {
		return nil
	}
	var all []string
	for _, p := range n.others.Load().All() {
		all = append(all, p.Addr)
	}
	return all
}

// errNoAddress is returned for a node of a cluster that nobody could reach.
var errNoAddress = fmt.Errorf("a node of a cluster needs a service address, at which the others reach it")
