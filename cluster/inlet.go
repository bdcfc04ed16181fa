package cluster

import (
	"context"
	"fmt"
	"sync"

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
	ready    chan struct{} // closed when the one before it has ended
	streams  int
	idle     chan struct{} // not nil: to be closed when streams is 0
}

// inlet returns what takes the batches of from, and counts a stream of it.
func (n *Node) inlet(ctx context.Context, from *origin) (*inlet, error) {
	key := process{from.addr, from.epoch}
	rs := &n.receivers
	rs.mu.Lock()
	if rs.closed {
		rs.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "nano: the node is shutting down")
	}
	old := rs.all[key]
	if old != nil && from.turn < old.turn {
		rs.mu.Unlock()
		return nil, status.Error(codes.FailedPrecondition, "nano: a later link of the node is there already")
	}
	in := old
	if old == nil || from.turn > old.turn {
		r, err := link.NewReceiver(link.ReceiverConfig{Epoch: n.epoch})
		if err != nil {
			rs.mu.Unlock()
			return nil, fmt.Errorf("take the link of %s: %w", from.addr, err)
		}
		in = &inlet{receiver: r, turn: from.turn, ready: make(chan struct{})}
		rs.all[key] = in
		if old == nil {
			close(in.ready)
		}
	}
	in.streams++
	rs.mu.Unlock()
	if in != old && old != nil {
		_ = old.receiver.Close(ctx) // an error says that the new stream is over, too
		n.directory.drop(from.addr, from.epoch)
		n.closeGate(from.addr, from.epoch, false)
		close(in.ready)
	}
	select {
	case <-in.ready:
		return in, nil
	case <-ctx.Done():
		rs.left(in)
		return nil, context.Cause(ctx)
	}
}

// left counts a stream that has ended.
func (rs *receivers) left(in *inlet) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if in.streams--; in.streams == 0 && in.idle != nil {
		close(in.idle)
		in.idle = nil
	}
}

// idle waits until the process has ended its link.
func (rs *receivers) idle(ctx context.Context, key process) {
	rs.mu.Lock()
	in := rs.all[key]
	if in == nil || in.streams == 0 {
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
	delete(n.receivers.all, key)
	n.receivers.mu.Unlock()
	if in != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = in.receiver.Close(ctx) // a handler that does not return is its scheduler's trouble
		if p := n.peer(addr); p != nil && p.epoch == epoch {
			// It is back already, and answers to what it was asked may have been on the link's way.
			p.fail(errPeerGone)
			n.failRequests(p, false)
		}
	}
	n.directory.drop(addr, epoch)
	n.closeGate(addr, epoch, false)
}
