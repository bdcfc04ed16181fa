package mesh

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
)

// receivers take the links of other nodes.
type receivers struct {
	mu     sync.Mutex
	closed bool
	all    map[process]*inlet
}

// process is one run of another node.
type process struct {
	addr  string
	epoch uint64
}

// inlet takes the link of another process, for one pair of ways (see peer). When either end gives the other up, it begins
// anew with a later turn, and the other end does the same when it sees that: both have then forgotten what they told each
// other, and the sessions over the link are closed. Nothing of one pair is taken for another.
type inlet struct {
	receiver *link.Receiver
	turn     uint64        // of the way that comes in
	way      *peer         // and the way back
	ready    chan struct{} // closed when what the one before it told is forgotten: over of that one
	over     chan struct{} // closed when what it told is forgotten
	dead     atomic.Bool   // what it still tells is not heard

	streams map[*origin]context.CancelCauseFunc // what ends each of them; receivers.mu is held
	idle    chan struct{}                       // not nil: to be closed when there is no stream
}

var (
	errUnreachable = status.Error(codes.Unavailable, "nano: the node cannot reach the one that calls: its answers would not arrive")
	errOlderWay    = status.Error(codes.FailedPrecondition, "nano: the nodes have given each other up: the link begins anew")
	errStopping    = status.Error(codes.Unavailable, "nano: the node is shutting down")
)

// inlet returns what takes the batches of from, and notes its stream, which cancel ends. Only the process that the list
// has at its address is heard, and only while there is a way back to it: for any other, there would be no answer, and
// nothing that says when its sessions are over.
func (n *Mesh) inlet(ctx context.Context, from *origin, cancel context.CancelCauseFunc) (*inlet, error) {
	key := process{from.addr, from.epoch}
	in, old, err := n.enterInlet(key, from, cancel)
	if err != nil {
		return nil, err
	}
	if old != nil {
		n.retire(key, old)
		n.unanswered(in.way)
	}
	select {
	case <-in.ready:
		return in, nil
	case <-ctx.Done():
		n.receivers.left(from)
		return nil, context.Cause(ctx)
	}
}

// enterInlet finds or makes the inlet of from. old is one that is to be retired.
func (n *Mesh) enterInlet(key process, from *origin, cancel context.CancelCauseFunc) (in, old *inlet, err error) {
	rs := &n.receivers
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for {
		if rs.closed {
			return nil, nil, errStopping
		}
		p := n.peer(from.addr) // under the lock: if it is there, then forget, which comes after its removal, finds the inlet
		switch {
		case p == nil || p.epoch != from.epoch:
			return nil, nil, errNotListed(from)
		case p.oneWay():
			return nil, nil, errUnreachable
		}
		switch meets := p.meets.Load(); {
		case from.meets == p.turn && from.turn >= meets, from.meets == 0 && (meets == 0 || from.turn == meets):
			return rs.takeLocked(n, key, p, from, cancel)
		case from.meets != 0 || from.turn < meets:
			return nil, nil, errOlderWay
		}
		rs.mu.Unlock() // the other node has given this one up, and does not know of p yet
		n.members.mu.Lock()
		ok := n.peer(from.addr) != p || n.beginAnewLocked(p, from.turn)
		n.members.mu.Unlock()
		rs.mu.Lock()
		if !ok {
			return nil, nil, errStopping
		}
	}
}

// takeLocked notes that from makes a pair with p.
func (rs *receivers) takeLocked(n *Mesh, key process, p *peer, from *origin, cancel context.CancelCauseFunc) (in, old *inlet, err error) {
	was := rs.all[key]
	in = was
	if was == nil || was.turn != from.turn || was.way != p || was.dead.Load() {
		r, err := link.NewReceiver(link.ReceiverConfig{Epoch: n.epoch, AckDelay: min(250*time.Millisecond, n.silence()/8)})
		if err != nil {
			return nil, nil, fmt.Errorf("take the link of %s: %w", from.addr, err)
		}
		in = &inlet{receiver: r, turn: from.turn, way: p, over: make(chan struct{}), streams: make(map[*origin]context.CancelCauseFunc)}
		rs.all[key] = in
		if was == nil {
			in.ready = make(chan struct{})
			close(in.ready)
		} else {
			in.ready = was.over
			if !was.dead.Swap(true) {
				old = was
			}
		}
	}
	p.meets.Store(from.turn)
	in.streams[from] = cancel
	from.in, from.way = in, p
	return in, old, nil
}

// of returns the inlet of a process, nil if there is none.
func (rs *receivers) of(key process) *inlet {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.all[key]
}

// beginAnewLocked puts a new way in the place of p, and forgets what p's node has told: what was on its way between the two
// may be lost, so the sessions over their link are closed here, and there when the other node hears of it. meets is the
// turn of its new way, 0 if this node gives the other up. It is false when there can be no new way. members.mu is held.
func (n *Mesh) beginAnewLocked(p *peer, meets uint64) bool {
	if n.members.leaving {
		return false
	}
	key := process{p.addr, p.epoch}
	q := p
	if p.link != nil { // what a node of the 0.5 series is told needs no way of its own
		var err error
		if q, err = n.newPeer(member.Member{Addr: p.addr, Epoch: p.epoch, Link: p.version}, meets); err != nil {
			n.log.Error("cannot connect to a node", "peer", p.addr, "err", err)
			return false
		}
		q.lost.Store(p.lost.Load())
		n.setPeer(p.addr, q)
		p.lost.Store(true)
	}
	in := n.receivers.of(key)
	switch {
	case in == nil:
		n.unlearn(key)
	case in.dead.Swap(true): // somebody else has that in hand
		in = nil
	}
	if q != p {
		n.tellAllBound(q)
	}
	n.background(func() {
		if in != nil {
			n.retire(key, in)
		}
		if q != p {
			p.discard()
			p.abandon()
			n.failRequests(p, true)
		}
	})
	return true
}

// startAnew has a new way put in the place of p soon.
func (n *Mesh) startAnew(p *peer) {
	if !p.anew.Swap(true) {
		select {
		case n.members.lost <- struct{}{}:
		default:
		}
	}
}

// retire ends an inlet that was marked as dead, and forgets what it told. A batch of it may wait for a scheduler that does
// not go on, for longer than anybody else can wait: what that has made before it saw that it is not heard goes when it
// returns, and the next inlet is not ready before.
func (n *Mesh) retire(key process, in *inlet) {
	ctx, cancel := context.WithTimeout(n.ctx, closeTimeout)
	defer cancel()
	err := in.receiver.Close(ctx)
	n.unlearn(key)
	select {
	case <-in.ready:
		if err == nil {
			n.retired(key, in)
			return
		}
	default:
	}
	n.background(func() {
		_ = in.receiver.Close(n.ctx) // an error says that the node ends
		select {
		case <-in.ready:
		case <-n.ctx.Done():
		}
		n.unlearn(key)
		n.retired(key, in)
	})
}

func (n *Mesh) retired(key process, in *inlet) {
	n.receivers.mu.Lock()
	defer n.receivers.mu.Unlock()
	if n.receivers.all[key] == in {
		delete(n.receivers.all, key)
	}
	close(in.over)
}

// unlearn drops what a process told.
func (n *Mesh) unlearn(key process) {
	n.directory.drop(key.addr, key.epoch)
	n.closeGate(key.addr, key.epoch, false)
}

// left counts a stream that has ended.
func (rs *receivers) left(from *origin) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	in := from.in
	if delete(in.streams, from); len(in.streams) == 0 && in.idle != nil {
		close(in.idle)
		in.idle = nil
	}
}

// interrupt ends the streams of a process. It may come back: nothing is forgotten.
func (rs *receivers) interrupt(key process, why error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if in := rs.all[key]; in != nil {
		for _, cancel := range in.streams {
			cancel(why)
		}
	}
}

// idle waits until the process has ended its link.
func (rs *receivers) idle(ctx context.Context, key process) {
	rs.mu.Lock()
	in := rs.all[key]
	if in == nil || len(in.streams) == 0 {
		rs.mu.Unlock()
		return
	}
	if in.idle == nil {
		in.idle = make(chan struct{})
	}
	idle := in.idle
	rs.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// forget ends the link of a process that has left, and what it told.
func (n *Mesh) forget(key process, in *inlet) {
	switch {
	case in == nil && n.receivers.of(key) == nil:
		n.unlearn(key)
	case in != nil && !in.dead.Swap(true): // else somebody else has that in hand, or it is back already
		n.retire(key, in)
	}
}
