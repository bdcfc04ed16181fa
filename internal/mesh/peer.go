package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// peer is the way to one process of another node: a link if it has that, the calls of the 0.5
// series else. Its methods may be called concurrently; none of them waits for the network but close
// and drain.
type peer struct {
	*node
	peers   *peers
	addr    string
	epoch   uint64
	version uint32 // of its link; 0: it has none
	way     atomic.Pointer[grpc.ClientConn]
	link    *link.Sender  // nil: legacy
	legacy  *legacyClient // nil: link

	// A way and the other node's way back make a pair, which begins and ends together: what the two
	// nodes have told each other holds for one pair.
	number     uint64        // counts this node's ways to others: a later one to the same process knows nothing of the earlier
	pairedWith atomic.Uint64 // number of the other node's way back; 0: it has not come yet; inboundLinks.mu is held when it changes
	receiver   atomic.Uint64 // which receiver of the other node has what was sent; 0: not known yet
	mute       atomic.Bool   // the last stream was never answered, or fell silent

	moves sync.RWMutex // held for reading while output for its clients is queued, and for writing while one goes to another gate
	moved atomic.Bool  // one has gone

	clients atomic.Pointer[whereabouts] // of its clients; made on demand

	sessions atomic.Int64 // how many sessions it knows from here
	leaving  atomic.Bool  // it has had its sessions choose again: see router.Rebind
	lost     atomic.Bool  // it is gone or cannot be reached, and its requests were failed
	hasUsers atomic.Bool  // it is a gate, and users have signed in there
	queued   atomic.Bool  // the gate will call Flush
	anew     atomic.Bool  // see startAnew
	window   window       // what it was sent in this node's name, and has not taken
	taken    taken        // what it has sent in its own name
	calls    pendingCalls // of this node to it
	served   servedCalls  // of it to this node

	mu      sync.Mutex
	hurry   func()    // not nil: the link is being drained; ends that
	awaited time.Time // see awaitedUntil
}

// errPeerGone is what clients may know of it: where the node was is not for them, see unavailable.
var errPeerGone error = component.Errorf(component.CodeUnavailable, "the node is gone")

// up is told of the process that the list names, see clientStream.Recv.
func (p *peer) up() { p.peers.roster.linkUp(p) }

func (p *peer) down(err error) {
	p.mu.Lock()
	hurry := p.hurry
	p.mu.Unlock()
	if hurry != nil {
		hurry()
	}
	if errors.Is(err, link.ErrSilent) {
		p.mute.Store(true)
	}
	p.peers.roster.linkDown(p, err)
}

// downSince is when a link that is down now was of use last.
func (p *peer) downSince(now time.Time) time.Time {
	switch {
	case p.link != nil:
		if heard := p.link.Stats().Heard; !heard.IsZero() && now.Sub(heard) > p.silence()/2 {
			return heard
		}
	case p.mute.Load():
		return now.Add(-p.legacy.patience())
	}
	return now
}

// connected tells whether a frame would be on its way at once.
func (p *peer) connected() bool {
	if p.link == nil {
		return p.way.Load().GetState() == connectivity.Ready
	}
	return p.link.Stats().Connected
}

// oneWay tells whether the node cannot be connected to, and so gets no answer to what it may send
// here.
func (p *peer) oneWay() bool { return p.lost.Load() && p.way.Load().GetState() != connectivity.Ready }

// Flush sends what is queued. It is for the gate.
func (p *peer) Flush() {
	p.queued.Store(false)
	if p.link != nil {
		p.link.Flush()
	}
}

// send queues a frame. It never blocks.
func (p *peer) send(f *link.Frame) error {
	if p.link == nil {
		return p.legacy.send(f)
	}
	dirty, err := p.link.Queue(f)
	if dirty && !p.queued.Swap(true) {
		p.gate.Dirty(p)
	}
	return p.sent(f, err)
}

// sent is what becomes of the link's answer to a frame.
func (p *peer) sent(f *link.Frame, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, link.ErrFull) && !f.Kind.Bulk() {
		p.startAnew()
	}
	return fmt.Errorf("cluster: send to node %s: %w", p.addr, err)
}

// sendNow queues a frame and sends it without waiting for more.
func (p *peer) sendNow(f *link.Frame) error {
	if p.link == nil {
		return p.legacy.send(f)
	}
	dirty, err := p.link.Queue(f)
	if dirty {
		p.link.Flush()
	}
	return p.sent(f, err)
}

// Multicast pushes v to sessions that are behind this gate, in one frame.
func (p *peer) Multicast(route string, v any, to []*session.Session) error {
	data, err := p.serialize(v)
	if err != nil {
		return err
	}
	f, err := p.pushFrame(link.Multicast, route, v, data)
	if err != nil {
		return err
	}
	f.Sessions = make([]int64, 0, len(to))
	elsewhere, err := p.multicast(f, to)
	if errors.Is(err, link.ErrClosed) || errors.Is(err, errPeerGone) {
		err = nil // with the gate its sessions end
	}
	for _, s := range elsewhere {
		if e := s.Push(route, v); e != nil && !errors.Is(e, gate.ErrBrokenPipe) {
			err = errors.Join(err, fmt.Errorf("cluster: session %d: %w", s.ID(), e))
		}
	}
	return err
}

// multicast sends f to those of the sessions that are behind this gate, and returns the others,
// which were there a moment ago.
func (p *peer) multicast(f *link.Frame, to []*session.Session) (elsewhere []*session.Session, err error) {
	p.moves.RLock()
	defer p.moves.RUnlock()
	if !p.moved.Load() {
		for _, s := range to {
			f.Sessions = append(f.Sessions, s.ID())
		}
		return nil, p.send(f)
	}
	for _, s := range to {
		if r, ok := s.NetworkEntity().(*remoteSession); ok && r.at.Load().way == p {
			f.Sessions = append(f.Sessions, s.ID())
		} else {
			elsewhere = append(elsewhere, s)
		}
	}
	if len(f.Sessions) == 0 {
		return elsewhere, nil
	}
	return elsewhere, p.send(f)
}

// callOff tells the node that nobody waits for a call any more. One that cannot be told goes on.
func (p *peer) callOff(id uint64) {
	_ = p.send(&link.Frame{Kind: link.Call, Flags: flagOff, ID: id})
}

// withdraw takes back what is queued and was answered with an error. A lane of calls asks before
// each of them.
func (p *peer) withdraw() {
	if p.link != nil {
		p.link.Withdraw()
	}
}

// close ends the way to the node, after what is queued if ctx allows.
func (p *peer) close(ctx context.Context) {
	p.drain(ctx)
	p.fail()
	_ = p.way.Load().Close()
}

// discard ends the way to the node and drops what is queued.
func (p *peer) discard() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.close(ctx)
}

// drain refuses more, and sends what is queued if ctx allows: not for long to a node that hangs,
// and not at all to one that is not there. It tells whether the node has taken it.
func (p *peer) drain(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	p.calls.close()
	p.served.close()
	p.mu.Lock()
	p.hurry = cancel
	p.mu.Unlock()
	if p.link == nil {
		p.legacy.close(ctx)
		return ctx.Err() == nil
	}
	if !p.link.Stats().Connected {
		cancel()
	}
	return p.link.Close(ctx) == nil // else it is lost with the node
}

// fail ends the calls in flight: no reply comes any more.
func (p *peer) fail() { p.calls.fail(unavailable(p.addr)) }

// awaitedUntil returns until when messages wait for the node's start. The first who asks says it.
func (p *peer) awaitedUntil(at time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.awaited.IsZero() {
		p.awaited = at
	}
	return p.awaited
}

// startAnew has a new way put in the place of this one soon: the node is told everything again.
func (p *peer) startAnew() {
	if !p.anew.Swap(true) {
		p.peers.roster.look()
	}
}

// givesCredit tells whether the node tells what has left its queue: what is sent to others is not
// counted.
func (p *peer) givesCredit() bool { return p.version >= creditFrom }

// post sends a frame in this node's own name, if the node keeps up with what it is sent.
func (p *peer) post(f *link.Frame, send func(*link.Frame) error) error {
	if !p.givesCredit() {
		return send(f)
	}
	cost := costOf(f)
	if !p.window.enter(cost) {
		return fmt.Errorf("cluster: send to node %s: %w: it does not keep up with the calls of this node", p.addr, link.ErrFull)
	}
	err := send(f)
	if err != nil {
		p.window.leave(cost)
	}
	return err
}

// credit tells the node what of its calls has left the queue here.
func (p *peer) credit(cost int) {
	if !p.givesCredit() {
		return
	}
	if n := p.taken.add(cost, nodeWindow/16); n > 0 {
		_ = p.send(&link.Frame{Kind: link.Credit, ID: n})
	}
}

// unanswered notes that the node says nothing more about what it was asked and sent so far: a link
// has ended in a way by which answers and credit are lost.
func (p *peer) unanswered() {
	p.window.reset()
	p.fail()
	p.peers.sessions.failAt(p, false)
	p.withdraw()
}
