package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/internal/link"
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

// inlet takes the link of another process. When either end gives the other up, what the link told is forgotten, the
// inlet too: the next stream finds a new one, by which the sender sees that it has to tell everything again, or is of a
// later turn, by which this node sees that the sender has forgotten whom it told what.
type inlet struct {
	receiver *link.Receiver
	turn     uint64
	ready    chan struct{} // closed when what the one before it told is forgotten: over of that one
	over     chan struct{} // closed when what it told is forgotten
	dead     atomic.Bool   // what it still tells is not heard

	streams map[*origin]context.CancelCauseFunc // what ends each of them; receivers.mu is held
	idle    chan struct{}                       // not nil: to be closed when there is no stream
}

var errUnreachable = status.Error(codes.Unavailable, "nano: the node cannot reach the one that calls: its answers would not arrive")

// inlet returns what takes the batches of from, and notes its stream, which cancel ends. Only the process that the list
// has at its address is heard, and only while there is a way back to it: for any other, there would be no answer, and
// nothing that says when its sessions are over.
func (n *Node) inlet(ctx context.Context, from *origin, cancel context.CancelCauseFunc) (*inlet, error) {
	key := process{from.addr, from.epoch}
	rs := &n.receivers
	rs.mu.Lock()
	if rs.closed {
		rs.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "nano: the node is shutting down")
	}
	p := n.peer(from.addr) // under the lock: if it is there, then forget, which comes after its removal, finds the inlet
	if p == nil || p.epoch != from.epoch {
		rs.mu.Unlock()
		return nil, errNotListed(from)
	}
	if p.oneWay() {
		rs.mu.Unlock()
		return nil, errUnreachable
	}
	old := rs.all[key]
	if old != nil && from.turn < old.turn {
		rs.mu.Unlock()
		return nil, status.Error(codes.FailedPrecondition, "nano: a later link of the node is there already")
	}
	in, retire := old, false
	if old == nil || from.turn > old.turn || old.dead.Load() {
		r, err := link.NewReceiver(link.ReceiverConfig{Epoch: n.epoch})
		if err != nil {
			rs.mu.Unlock()
			return nil, fmt.Errorf("take the link of %s: %w", from.addr, err)
		}
		in = &inlet{receiver: r, turn: from.turn, over: make(chan struct{}), streams: make(map[*origin]context.CancelCauseFunc)}
		rs.all[key] = in
		if old == nil {
			in.ready = make(chan struct{})
			close(in.ready)
		} else {
			in.ready = old.over
			retire = !old.dead.Swap(true)
		}
	}
	in.streams[from] = cancel
	from.in = in
	rs.mu.Unlock()
	if retire {
		n.retire(key, old)
		n.unanswered(p)
	}
	select {
	case <-in.ready:
		return in, nil
	case <-ctx.Done():
		rs.left(from)
		return nil, context.Cause(ctx)
	}
}

// retire ends an inlet that was marked as dead, and forgets what it told. A batch of it may wait for a scheduler that does
// not go on, for longer than anybody else can wait: what that has made before it saw that it is not heard goes when it
// returns, and the next inlet is not ready before.
func (n *Node) retire(key process, in *inlet) {
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

func (n *Node) retired(key process, in *inlet) {
	n.receivers.mu.Lock()
	defer n.receivers.mu.Unlock()
	if n.receivers.all[key] == in {
		delete(n.receivers.all, key)
	}
	close(in.over)
}

// unlearn drops what a process told.
func (n *Node) unlearn(key process) {
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

// forget ends the link of a process, and what it told.
func (n *Node) forget(addr string, epoch uint64) {
	key := process{addr, epoch}
	n.receivers.mu.Lock()
	in := n.receivers.all[key]
	n.receivers.mu.Unlock()
	if in == nil || in.dead.Swap(true) { // or somebody else has that in hand, but for what was told by unary calls
		n.unlearn(key)
		return
	}
	n.retire(key, in)
	if p := n.peer(addr); p != nil && p.epoch == epoch {
		// It is back already, and answers to what it was asked may have been on the link's way.
		n.unanswered(p)
	}
}
