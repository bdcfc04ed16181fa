package mesh

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/service"
)

// roster is the list of members as this node has it, and on the master the list itself. One
// goroutine owns both machines: it runs the events that masterclient.go, keeperclient.go,
// masterservice.go, the links and the clock bring, one after the other, and carries out what the
// machines ask for (rostereffects.go). It never waits for the network, nor for anybody who may wait
// for it, and holds no lock meanwhile. The methods may be called concurrently, but not by that
// goroutine, unless they say so.
type roster struct {
	*node
	peers    *peers
	links    *inboundLinks
	logins   *logins
	sessions *gateSessions

	// What the goroutine owns; before it runs, start does.
	self    member.Member
	known   *member.Peers
	master  *member.Master // nil: another node is it
	leased  uint32         // the node id of session ids made from now on; 0: not of the master's choice
	leaving bool           // no way to a node is made any more
	stale   bool           // others is to be made anew after the events that are there

	mu     sync.Mutex
	queue  []func()      // events, the oldest first
	posted chan struct{} // says that there are events

	ended   chan struct{} // closed when the goroutine has
	lookNow chan struct{} // asks for a look at the links: their time runs
	beat    chan struct{} // asks for a heartbeat at once
	others  atomic.Pointer[member.Table]
	news    news // of others, and of the ways to them
}

const (
	linkGrace    = 700 * time.Millisecond // a node whose link is down for longer is not used: requests fail within 1 s
	lookEvery    = linkGrace / 7          // how often the links that are down are looked at
	tellTimeout  = 2 * time.Second        // for one NewMember or DelMember
	closeTimeout = 2 * time.Second        // for what is queued for a node that has left
)

func newRoster(n *node) *roster {
	r := &roster{
		node: n, posted: make(chan struct{}, 1), ended: make(chan struct{}), lookNow: make(chan struct{}, 1), beat: make(chan struct{}, 1),
		news: news{ch: make(chan struct{})},
	}
	r.others.Store(member.NewPeers(member.PeersConfig{}).Table())
	return r
}

// epochs is the last epoch that this process has given to a node.
var epochs atomic.Uint64

// newEpoch tells this run of the node from others: later runs have larger ones. Two processes that
// have one address by mistake have different ones, unless they start in the same four nanoseconds.
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

// start makes the lists of a node that has not joined, and begins to take events.
func (r *roster) start() error {
	r.self = member.Member{
		Label: r.cfg.Label, Addr: r.addr, Services: r.cfg.Services, State: member.Starting,
		Link: linkVersion, NodeID: r.cfg.NodeID, Fixed: r.cfg.NodeID != 0, Epoch: r.epoch,
	}
	r.known = member.NewPeers(member.PeersConfig{Self: r.addr, Interval: r.cfg.Heartbeat, LinkGrace: linkGrace, LeavesFrom: handsOverFrom})
	r.others.Store(r.known.Table())
	if r.cfg.IsMaster {
		m, err := member.NewMaster(r.self, member.Config{Interval: r.cfg.Heartbeat, MaxLoss: r.cfg.MaxLoss}, time.Now())
		if err != nil {
			return err
		}
		r.master, r.self = m, m.Self()
	}
	r.background(r.run)
	return nil
}

// run takes events until the node ends. It lets the machines see the time a few times a heartbeat,
// and often while a link is down.
func (r *roster) run() {
	defer close(r.ended)
	idle := r.cfg.Heartbeat / 4
	t := time.NewTimer(idle)
	defer t.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.posted:
			r.runEvents()
			continue
		case <-r.lookNow: // the clock goes on all the same, however often links flap
		case <-t.C:
		}
		r.tick(time.Now())
		if r.known.Waiting() {
			t.Reset(min(idle, lookEvery))
		} else {
			t.Reset(idle)
		}
	}
}

// post has the goroutine run an event after those before it, and does not wait. Anybody may call
// it.
func (r *roster) post(event func()) {
	r.mu.Lock()
	r.queue = append(r.queue, event)
	r.mu.Unlock()
	select {
	case r.posted <- struct{}{}:
	default:
	}
}

// do posts an event and waits until it has run. It is false when the node has ended before that.
func (r *roster) do(event func()) bool {
	done := make(chan struct{})
	var panicked any
	r.post(func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				panicked = fmt.Sprintf("%v\n%s", v, debug.Stack())
			}
		}()
		event()
	})
	select {
	case <-done:
	case <-r.ended:
		select {
		case <-done:
		default:
			return false
		}
	}
	if panicked != nil {
		panic(panicked) // it is the caller's, which may survive it
	}
	return true
}

// runEvents runs what was posted.
func (r *roster) runEvents() {
	r.mu.Lock()
	events := r.queue
	r.queue = nil
	r.mu.Unlock()
	for _, event := range events {
		event()
	}
	if r.stale {
		r.carryOut(nil)
	}
}

// change runs an event of the list that this node has.
func (r *roster) change(event func(*member.Peers) []member.Effect) {
	r.do(func() { r.carryOut(event(r.known)) })
}

// atMaster runs an event of the list that the master keeps.
func (r *roster) atMaster(event func(*member.Master) (member.Effects, error)) (err error) {
	if !r.do(func() {
		var effects member.Effects
		if effects, err = event(r.master); err == nil {
			r.carryOutMaster(effects)
		}
	}) {
		return status.Error(codes.Unavailable, "nano: the node is shutting down")
	}
	return err
}

// tick has the machines see the time. The goroutine calls it.
func (r *roster) tick(now time.Time) {
	if r.master != nil {
		r.carryOutMaster(r.master.Tick(now))
		if r.known.Have() == (member.Version{}) { // somebody was heard of who may not be in the list
			r.carryOut(r.known.View(r.master.View()))
		}
	}
	r.carryOut(r.known.Tick(now))
	r.renew()
	for _, p := range r.peers.all() {
		if p.link != nil && p.oneWay() { // so that it sees it, and asks others
			r.links.interrupt(process{p.addr, p.epoch}, errUnreachable)
		}
	}
}

// table is what is known of the others.
func (r *roster) table() *member.Table { return r.others.Load() }

// state returns what the list says of this node, the version of the list that it has, and whether
// it is leaving.
func (r *roster) state() (self member.Member, have member.Version, leaving bool) {
	if !r.do(func() { self, have, leaving = r.self, r.known.Have(), r.leaving }) {
		leaving = true
	}
	return self, have, leaving
}

// setState changes what the list says of this node, and tells it.
func (r *roster) setState(s member.State) {
	r.do(func() {
		r.self.State = s
		if r.master != nil {
			r.carryOutMaster(r.master.Update(r.self, time.Now()))
		}
	})
	r.beatNow()
}

// leave has no more ways to others made.
func (r *roster) leave() { r.do(func() { r.leaving = true }) }

// setNodeID takes the node id that the list has chosen for this node's session ids.
func (r *roster) setNodeID(id uint32) {
	r.do(func() {
		if id == 0 && r.self.NodeID == 0 { // a master of the 0.5 series: chance has to do
			id = 1 + rand.Uint32N(service.MaxNodeID)
		}
		if r.self.Fixed || id == 0 || id == r.leased {
			return
		}
		ids, err := service.New(uint64(id))
		if err != nil {
			r.log.Error("node id of the master was not used: it is out of range", "id", id, "err", err)
			return
		}
		r.self.NodeID, r.leased = uint64(id), id
		r.sessions.ids.Store(&ids)
	})
}

// linkUp and linkDown are told by the link to a node. A way that another has taken the place of
// does not count. Many links come and go at once when the network does: the list is shown to
// readers once after all of them.
func (r *roster) linkUp(p *peer) {
	r.post(func() {
		if r.peers.at(p.addr) == p {
			r.stale = true
			r.news.tell()
			if effects := r.known.LinkUp(p.addr, p.epoch); len(effects) > 0 {
				r.carryOut(effects)
			}
		}
	})
}

func (r *roster) linkDown(p *peer, err error) {
	r.log.Warn("link to a node went down", "peer", p.addr, "err", err)
	at := p.downSince(time.Now())
	r.post(func() {
		if r.peers.at(p.addr) == p {
			r.known.LinkLost(p.addr, p.epoch, at)
			r.stale = true
		}
	})
	r.look()
}

// look has the links looked at soon. Anybody may call it.
func (r *roster) look() {
	select {
	case r.lookNow <- struct{}{}:
	default:
	}
}

// beatNow asks for a heartbeat at once. Anybody may call it.
func (r *roster) beatNow() {
	select {
	case r.beat <- struct{}{}:
	default:
	}
}

// await waits until ok, which is asked again after each change of what is known of other nodes. It
// is false when ctx or the node ends first.
func (r *roster) await(ctx context.Context, ok func() bool) bool {
	for {
		changed := r.news.wait()
		if ok() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		case <-r.ctx.Done():
			return false
		}
	}
}

// news wakes all who wait for it.
type news struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that is closed at the next news.
func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ch
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.ch)
	n.ch = make(chan struct{})
}
