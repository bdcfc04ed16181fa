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
)

// inboundLinks are the links that come in from other nodes. Only the process that the list has at
// its address is heard, and only while there is a way back to it. The methods may be called
// concurrently.
type inboundLinks struct {
	*node
	peers   *peers
	roster  *roster
	logins  *logins
	remotes *remoteSessions

	mu     sync.Mutex
	closed bool
	all    map[process]*inboundLink
}

func newInboundLinks(n *node, ps *peers, r *roster, l *logins, rs *remoteSessions) *inboundLinks {
	return &inboundLinks{node: n, peers: ps, roster: r, logins: l, remotes: rs, all: make(map[process]*inboundLink)}
}

// inboundLink is the link of another process, for one pair of ways (see peer). When either end
// gives the other up, it begins anew with a later number, and the other end does the same when it
// sees that: both have then forgotten what they told each other, and the sessions over the link are
// closed. Nothing of one pair is taken for another.
type inboundLink struct {
	receiver *link.Receiver
	number   uint64        // of the way that comes in
	way      *peer         // and the way back
	ready    chan struct{} // closed when what the one before it told is forgotten: over of that one
	over     chan struct{} // closed when what it told is forgotten
	dead     atomic.Bool   // what it still tells is not heard

	streams map[*sender]context.CancelCauseFunc // what ends each of them; inboundLinks.mu is held
	idle    chan struct{}                       // not nil: to be closed when there is no stream
}

// enter finds or makes the link of from, and decides by the numbers of the two ways: they make a
// pair, or from's is an older one and is refused, or it is a later one, and this node begins anew,
// too. old is a link that is to be retired.
func (ls *inboundLinks) enter(key process, from *sender, cancel context.CancelCauseFunc) (in, old *inboundLink, err error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for {
		if ls.closed {
			return nil, nil, errStopping
		}
		p := ls.peers.at(from.addr) // under the lock: if it is there, then forget, which comes after its removal, finds the link
		switch {
		case p == nil || p.epoch != from.epoch:
			return nil, nil, errNotListed(from)
		case p.oneWay():
			return nil, nil, errUnreachable
		}
		switch paired := p.pairedWith.Load(); {
		case from.pairedWith == p.number && from.number >= paired, from.pairedWith == 0 && (paired == 0 || from.number == paired):
			return ls.pairLocked(key, p, from, cancel)
		case from.pairedWith != 0 || from.number < paired:
			return nil, nil, errOlderWay
		}
		ls.mu.Unlock() // the other node has given this one up, and does not know of p yet
		ok := ls.roster.meetAnew(p, from.number)
		ls.mu.Lock()
		if !ok {
			return nil, nil, errStopping
		}
	}
}

// pairLocked notes that from makes a pair with p.
func (ls *inboundLinks) pairLocked(key process, p *peer, from *sender, cancel context.CancelCauseFunc) (in, old *inboundLink, err error) {
	was := ls.all[key]
	in = was
	if was == nil || was.number != from.number || was.way != p || was.dead.Load() {
		r, err := link.NewReceiver(link.ReceiverConfig{Epoch: ls.epoch, AckDelay: min(250*time.Millisecond, ls.silence()/8)})
		if err != nil {
			return nil, nil, fmt.Errorf("cluster: take the link of %s: %w", from.addr, err)
		}
		in = &inboundLink{receiver: r, number: from.number, way: p, over: make(chan struct{}), streams: make(map[*sender]context.CancelCauseFunc)}
		ls.all[key] = in
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
	p.pairedWith.Store(from.number)
	in.streams[from] = cancel
	from.in, from.way = in, p
	return in, old, nil
}

var (
	errUnreachable = status.Error(codes.Unavailable, "nano: the node cannot reach the one that calls: its answers would not arrive")
	errOlderWay    = status.Error(codes.FailedPrecondition, "nano: the nodes have given each other up: the link begins anew")
	errStopping    = status.Error(codes.Unavailable, "nano: the node is shutting down")
)

// admit waits until this node has heard of the process whose link comes in, and says no to others.
// One that has joined this moment may be quicker than the master's word of it, and what it asked
// before could not be answered.
func (ls *inboundLinks) admit(ctx context.Context, from *sender) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	for asked := false; ; asked = true {
		news := ls.roster.news.wait()
		p := ls.peers.at(from.addr)
		switch {
		case p != nil && p.epoch == from.epoch:
			return nil
		case p != nil && p.epoch > from.epoch, ls.cfg.IsMaster: // another has its address; or it would be in the list
			return errNotListed(from)
		}
		if !asked {
			ls.roster.beatNow() // the answer brings the list, if that has changed
		}
		select {
		case <-news:
		case <-ctx.Done():
			return errNotListed(from)
		}
	}
}

// errNotListed is for a process that is not, or not any more, in this node's list.
func errNotListed(from *sender) error {
	return status.Errorf(codes.FailedPrecondition, "nano: this process of node %s is not in the list of members here", from.addr)
}

// open returns what takes the batches of from, and notes its stream, which cancel ends. Only the
// process that the list has at its address is heard, and only while there is a way back to it: for
// any other, there would be no answer, and nothing that says when its sessions are over.
func (ls *inboundLinks) open(ctx context.Context, from *sender, cancel context.CancelCauseFunc) (*inboundLink, error) {
	key := process{from.addr, from.epoch}
	in, old, err := ls.enter(key, from, cancel)
	if err != nil {
		return nil, err
	}
	if old != nil {
		ls.retire(key, old)
		in.way.unanswered()
	}
	select {
	case <-in.ready:
		return in, nil
	case <-ctx.Done():
		ls.left(from)
		return nil, context.Cause(ctx)
	}
}

// of returns the link of a process, nil if there is none.
func (ls *inboundLinks) of(key process) *inboundLink {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.all[key]
}

// retire ends a link that was marked as dead, and forgets what it told. A batch of it may wait for
// a scheduler that does not go on, for longer than anybody else can wait: what that has made before
// it saw that it is not heard goes when it returns, and the next link is not ready before.
func (ls *inboundLinks) retire(key process, in *inboundLink) {
	ctx, cancel := context.WithTimeout(ls.ctx, closeTimeout)
	defer cancel()
	err := in.receiver.Close(ctx)
	ls.dropTold(key)
	select {
	case <-in.ready:
		if err == nil {
			ls.retired(key, in)
			return
		}
	default:
	}
	ls.background(func() {
		_ = in.receiver.Close(ls.ctx) // an error says that the node ends
		select {
		case <-in.ready:
		case <-ls.ctx.Done():
		}
		ls.dropTold(key)
		ls.retired(key, in)
	})
}

func (ls *inboundLinks) retired(key process, in *inboundLink) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.all[key] == in {
		delete(ls.all, key)
	}
	close(in.over)
}

// dropTold drops what a process told.
func (ls *inboundLinks) dropTold(key process) {
	ls.logins.directory.dropGate(key)
	ls.remotes.closeGate(key, ls.peers.to(key) == nil)
}

// left counts a stream that has ended.
func (ls *inboundLinks) left(from *sender) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	in := from.in
	if delete(in.streams, from); len(in.streams) == 0 && in.idle != nil {
		close(in.idle)
		in.idle = nil
	}
}

// interrupt ends the streams of a process. It may come back: nothing is forgotten.
func (ls *inboundLinks) interrupt(key process, why error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if in := ls.all[key]; in != nil {
		for _, cancel := range in.streams {
			cancel(why)
		}
	}
}

// idle waits until the process has ended its link.
func (ls *inboundLinks) idle(ctx context.Context, key process) {
	ls.mu.Lock()
	in := ls.all[key]
	if in == nil || len(in.streams) == 0 {
		ls.mu.Unlock()
		return
	}
	if in.idle == nil {
		in.idle = make(chan struct{})
	}
	idle := in.idle
	ls.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// forget ends the link of a process that has left, and what it told.
func (ls *inboundLinks) forget(key process, in *inboundLink) {
	switch {
	case in == nil && ls.of(key) == nil:
		ls.dropTold(key)
	case in != nil && !in.dead.Swap(true): // else somebody else has that in hand, or it is back already
		ls.retire(key, in)
	}
}

// close takes no more links, and returns those that are to be closed.
func (ls *inboundLinks) close() (all []*inboundLink) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for _, in := range ls.all {
		all = append(all, in)
	}
	ls.all = nil
	return all
}
