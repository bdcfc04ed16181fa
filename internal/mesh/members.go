package mesh

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// dialBackoff is gRPC's wait between attempts to connect to a node: short, because a node that was started again is
// to be used at once.
var dialBackoff = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}

const (
	linkGrace    = 700 * time.Millisecond // a node whose link is down for longer is not used: requests fail within 1 s
	tellTimeout  = 2 * time.Second        // for one NewMember or DelMember
	closeTimeout = 2 * time.Second        // for what is queued for a node that has left
)

// membership is what the node knows of the others, and on the master the list itself.
type membership struct {
	mu     sync.Mutex
	self   member.Member
	peers  *member.Peers
	master *member.Master // nil: another node is it

	leased  uint32 // the node id of session ids made from now on; 0: not of the master's choice
	leaving bool   // no way to a node is made any more
	kept    bool   // a Keeper has the node in its list

	news chan struct{} // closed when what is known of others, or of the ways to them, has changed, and made anew

	lost    chan struct{} // says that a link went down: its time runs
	beat    chan struct{} // asks for a heartbeat at once
	beating sync.Mutex    // held while a heartbeat is on its way; taken before mu
}

// epochs is the last epoch that this process has given to a node.
var epochs atomic.Uint64

// newEpoch tells this run of the node from others: later runs have larger ones. Two processes that have one address by
// mistake have different ones, unless they start in the same four nanoseconds.
func newEpoch() uint64 {
	now := time.Now().UnixNano()
	for {
		last := epochs.Load()
		next := max(uint64(now/1000)<<8|uint64(now%1000/4), last+1)
		if epochs.CompareAndSwap(last, next) {
			return next
		}
	}
}

// newMembership makes the state before the node has joined.
func (n *Mesh) newMembership() error {
	interval := n.cfg.Heartbeat
	n.members.lost, n.members.beat, n.members.news = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	n.members.self = member.Member{
		Label: n.cfg.Label, Addr: n.addr, Services: n.cfg.Services, State: member.Starting,
		Link: linkVersion, NodeID: n.cfg.NodeID, Fixed: n.cfg.NodeID != 0, Epoch: n.epoch,
	}
	n.members.peers = member.NewPeers(member.PeersConfig{Self: n.addr, Interval: interval, LinkGrace: linkGrace})
	n.others.Store(n.members.peers.Table())
	if !n.cfg.IsMaster {
		return nil
	}
	m, err := member.NewMaster(n.members.self, member.Config{Interval: interval, MaxLoss: n.cfg.MaxLoss}, time.Now())
	if err != nil {
		return err
	}
	n.members.master, n.members.self = m, m.Self()
	return nil
}

// change runs an event of the member table and carries out its effects.
func (n *Mesh) change(event func(p *member.Peers) []member.Effect) {
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	n.carryOutLocked(event(n.members.peers))
}

func (n *Mesh) carryOutLocked(effects []member.Effect) {
	for _, e := range effects {
		n.carryOut(e)
	}
	n.others.Store(n.members.peers.Table())
	if len(effects) > 0 {
		n.members.tellLocked()
	}
}

// tellLocked wakes who waits for news.
func (m *membership) tellLocked() {
	close(m.news)
	m.news = make(chan struct{})
}

// carryOut does one thing that the member table asks for. It does not wait for the network.
func (n *Mesh) carryOut(e member.Effect) {
	switch e.Kind {
	case member.Added:
		if n.members.leaving {
			return
		}
		n.log.Info("node joined", "peer", e.Peer.Addr, "label", e.Peer.Label, "services", e.Peer.Services, "link", e.Peer.Link)
		p, err := n.newPeer(e.Peer, 0)
		if err != nil {
			n.log.Error("cannot connect to a node", "peer", e.Peer.Addr, "err", err)
			return
		}
		n.setPeer(e.Peer.Addr, p)
		if p.link != nil {
			n.tellAllBound(p)
		}
	case member.Removed:
		n.log.Info("node left", "peer", e.Peer.Addr)
		p := n.peer(e.Peer.Addr)
		if p != nil && p.epoch == e.Peer.Epoch {
			n.setPeer(e.Peer.Addr, nil)
			p.lost.Store(true)
		} else {
			p = nil
		}
		n.directory.drop(e.Peer.Addr, e.Peer.Epoch)
		in := n.receivers.of(process{e.Peer.Addr, e.Peer.Epoch})
		n.background(func() { n.partWith(e.Peer, p, in) })
	case member.Changed:
		n.log.Info("node changed", "peer", e.Peer.Addr, "services", e.Peer.Services, "state", e.Peer.State)
	case member.Unreachable:
		n.log.Warn("node cannot be reached", "peer", e.Peer.Addr)
		if p := n.peer(e.Peer.Addr); p != nil && p.epoch == e.Peer.Epoch {
			p.lost.Store(true)
			p.fail(errPeerGone)
			n.failRequests(p, false)
			p.withdraw()
		}
	case member.Forsaken:
		n.log.Warn("node cannot be reached for long: its sessions are closed here", "peer", e.Peer.Addr)
		if p := n.peer(e.Peer.Addr); p != nil && p.epoch == e.Peer.Epoch {
			n.beginAnewLocked(p, 0)
		}
	case member.Reachable:
		n.log.Info("node can be reached again", "peer", e.Peer.Addr)
		if p := n.peer(e.Peer.Addr); p != nil && p.epoch == e.Peer.Epoch {
			p.lost.Store(false)
		}
	case member.Unlisted:
		n.log.Warn("the list does not have a node any more that is there: its sessions stay, and it gets no new ones", "peer", e.Peer.Addr)
	case member.Fetch:
		n.beatNow()
	}
}

// partWith ends what there was with a process that has left. One that leaves in good order first takes what is queued for
// it, and answers what it was asked; p is the way to it, nil if there was none.
func (n *Mesh) partWith(m member.Member, p *peer, in *inlet) {
	ctx, cancel := context.WithTimeout(n.ctx, closeTimeout)
	defer cancel()
	if p == nil || p.drain(ctx) {
		n.receivers.idle(ctx, process{m.Addr, m.Epoch})
	}
	if p != nil {
		p.fail(errPeerGone)
		p.abandon()
		n.failRequests(p, true)
	}
	n.forget(process{m.Addr, m.Epoch}, in)
	if p != nil {
		_ = p.way.Load().Close() // may take seconds, of one that hangs
	}
}

// peer returns the way to the node at addr, nil if there is none.
func (n *Mesh) peer(addr string) *peer { return (*n.peers.Load())[addr] }

// setPeer changes the map that everybody reads without a lock; members.mu is held.
func (n *Mesh) setPeer(addr string, p *peer) {
	old := *n.peers.Load()
	all := make(map[string]*peer, len(old)+1)
	for a, q := range old {
		all[a] = q
	}
	delete(all, addr)
	if p != nil {
		all[addr] = p
	}
	n.peers.Store(&all)
	n.members.tellLocked()
}

// background runs fn in a goroutine that Stop waits for.
func (n *Mesh) background(fn func()) {
	n.tasks.Add(1)
	go func() {
		defer n.tasks.Done()
		fn()
	}()
}

// linkUp and linkDown are told by the link to a node. A way that another has taken the place of does not count.
func (n *Mesh) linkUp(p *peer) {
	n.change(func(m *member.Peers) []member.Effect {
		if n.peer(p.addr) != p {
			return nil
		}
		n.members.tellLocked()
		return m.LinkUp(p.addr, p.epoch)
	})
}

func (n *Mesh) linkDown(p *peer, err error) {
	n.log.Warn("the link to a node is down", "peer", p.addr, "err", err)
	n.change(func(m *member.Peers) []member.Effect {
		if n.peer(p.addr) == p {
			m.LinkLost(p.addr, p.epoch, p.downSince(time.Now()))
		}
		return nil
	})
	select {
	case n.members.lost <- struct{}{}:
	default:
	}
}

// setState changes what the list says of this node, and tells it.
func (n *Mesh) setState(s member.State) {
	n.members.mu.Lock()
	n.members.self.State = s
	if m := n.members.master; m != nil {
		n.masterEffects(m.Update(n.members.self, time.Now()))
	}
	n.members.mu.Unlock()
	n.beatNow()
}

func (n *Mesh) beatNow() {
	select {
	case n.members.beat <- struct{}{}:
	default:
	}
}

// lookEvery is how often the links that are down are looked at.
const lookEvery = linkGrace / 7

// keepTime lets the member tables see the time, until ctx ends: a few times a heartbeat, and often while a link is down.
func (n *Mesh) keepTime(ctx context.Context) {
	idle := n.cfg.Heartbeat / 4
	t := time.NewTimer(idle)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.members.lost: // it has its say below, too: links that flap must not keep the clock from going on
		case <-t.C:
		}
		n.members.mu.Lock()
		now := time.Now()
		if m := n.members.master; m != nil {
			n.masterEffects(m.Tick(now))
			if n.members.peers.Have() == (member.Version{}) { // somebody was heard of who may not be in the list
				n.carryOutLocked(n.members.peers.View(m.View()))
			}
		}
		n.carryOutLocked(n.members.peers.Tick(now))
		n.renewLocked()
		busy := n.members.peers.Waiting()
		n.members.mu.Unlock()
		n.endOneWay()
		if busy {
			t.Reset(min(idle, lookEvery))
		} else {
			t.Reset(idle)
		}
	}
}

// endOneWay ends the links of nodes to which there is no way back, so that they see it and ask others.
func (n *Mesh) endOneWay() {
	for _, p := range *n.peers.Load() {
		if p.link != nil && p.oneWay() {
			n.receivers.interrupt(process{p.addr, p.epoch}, errUnreachable)
		}
	}
}

// masterEffects carries out what the list asks for; members.mu is held.
func (n *Mesh) masterEffects(e member.Effects) {
	if e.Changed {
		n.carryOutLocked(n.members.peers.View(n.members.master.View()))
	}
	if e.Held > 0 {
		n.log.Warn("most nodes were lost at once: until some are back, none is taken out of the list", "lost", e.Held)
	}
	if e.Freed {
		n.log.Info("enough nodes are back: those still missing are taken out of the list if they stay silent")
	}
	for _, gone := range e.Left {
		if n.cfg.Left != nil {
			n.sched.PushTask(func() { n.cfg.Left(gone) })
		}
	}
	for _, t := range e.Tells {
		n.background(func() { n.tell(t) })
	}
}

// tell makes the calls to one member, one after the other.
func (n *Mesh) tell(t member.Tell) {
	err := n.tellAll(t)
	if err != nil {
		n.log.Warn("a member was not told of a change", "peer", t.To.Addr, "err", err)
	}
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	n.masterEffects(n.members.master.Told(t.To.Addr, t.Seq, err == nil, time.Now()))
}

func (n *Mesh) tellAll(t member.Tell) error {
	var conn grpc.ClientConnInterface
	if p := n.peer(t.To.Addr); p != nil && p.epoch == t.To.Epoch {
		conn = p.way.Load()
	} else { // who has just registered may not be a peer here
		c, err := n.dial(t.To.Addr, false)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		conn = c
	}
	client := clusterpb.NewMemberClient(conn)
	for _, call := range t.Calls {
		if err := tellOne(n.ctx, client, call); err != nil {
			return err
		}
	}
	return nil
}

func tellOne(ctx context.Context, client clusterpb.MemberClient, call member.Call) (err error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	var version *clusterpb.Version
	if call.Version != (member.Version{}) {
		version = toVersion(call.Version)
	}
	if call.Del {
		_, err = client.DelMember(ctx, &clusterpb.DelMemberRequest{ServiceAddr: call.Member.Addr, Epoch: call.Member.Epoch, Version: version})
	} else {
		_, err = client.NewMember(ctx, &clusterpb.NewMemberRequest{MemberInfo: ToInfo(call.Member), Version: version})
	}
	return err
}
