package mesh

import (
	"fmt"
	"sync/atomic"

	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
)

// A link's goroutine never waits for a scheduler that is full: what comes behind the message may be for another one, or the
// answer that this one waits for. So whoever sends keeps count of what has not left the receiver's queue yet, and is told
// of what has by Credit frames. A client that sends more than its handlers take is not read any more, as on one node; a
// node that calls too much gets an error.
const (
	sessionWindow = 64 << 10 // bytes of one session's messages at one node, before its client is not read
	nodeWindow    = 32 << 20 // bytes of the calls and notifies of one node at another, before there are errors
	messageCost   = 64       // bytes that a message counts for beside its own
)

// costOf is what a message counts for.
func costOf(f *link.Frame) int { return messageCost + len(f.Route) + len(f.Data) }

// enterLocked counts a message that goes to p, and has the reader wait if there are many.
func (u *upstream) enterLocked(from *gate.Conn, p *peer, cost int) {
	if !p.counts() {
		return // the lanes to a node of the 0.5 series are bounded
	}
	if u.sent == nil {
		u.sent = make(map[*peer]int, 1)
	}
	u.sent[p] += cost
	if u.sent[p] > sessionWindow {
		if u.full == nil {
			u.full = make(chan struct{})
		}
		from.Pause(u.full)
	}
}

// credit takes back what was counted.
func (u *upstream) credit(p *peer, cost int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if left := u.sent[p] - cost; left > 0 {
		u.sent[p] = left
	} else {
		delete(u.sent, p)
	}
	u.relaxLocked()
}

// relaxLocked lets the reader go on when half of the window is free.
func (u *upstream) relaxLocked() {
	if u.full == nil {
		return
	}
	for _, n := range u.sent {
		if n > sessionWindow/2 {
			return
		}
	}
	close(u.full)
	u.full = nil
}

// Spent tells the gate that messages of the session have left the queue: not of each, so that a busy session costs few frames.
func (r *remote) Spent(cost int) {
	if n := r.spent.Add(int64(cost)); n >= sessionWindow/4 {
		if n = r.spent.Swap(0); n > 0 {
			_ = r.send(&link.Frame{Kind: link.Credit, ID: uint64(n)}) // with its gate gone nobody waits
		}
	}
}

// Spent tells the node that its calls have left the queue. The way to it may be another one by then.
func (o *origin) Spent(cost int) {
	if o.mesh == nil {
		return // of unary calls, which nobody counts
	}
	p := o.mesh.peer(o.addr)
	if p == nil || p.epoch != o.epoch || !p.counts() {
		return
	}
	if n := p.spent.Add(int64(cost)); n >= nodeWindow/16 {
		if n = p.spent.Swap(0); n > 0 {
			_ = p.send(&link.Frame{Kind: link.Credit, ID: uint64(n)})
		}
	}
}

// countsFrom is the version of the link from which on nodes send credit.
const countsFrom = 2

// counts tells whether the node tells what has left its queue: what is sent to others is not counted.
func (p *peer) counts() bool { return p.version >= countsFrom }

// unanswered notes that the node will say nothing more about what it was asked and sent so far: a link has ended in a way
// by which answers and credit are lost.
func (n *Mesh) unanswered(p *peer) {
	p.owed.Store(0)
	p.fail(errPeerGone)
	n.failRequests(p, false)
}

// admit counts a message that this node sends to p in its own name.
func (p *peer) admit(cost int) error {
	if !p.counts() || p.owed.Add(int64(cost)) <= nodeWindow {
		return nil
	}
	p.credit(cost)
	return fmt.Errorf("send to node %s: %w: it does not keep up with the calls of this node", p.addr, link.ErrFull)
}

// credit takes back what was counted.
func (p *peer) credit(cost int) {
	for {
		n := p.owed.Load()
		if p.owed.CompareAndSwap(n, max(0, n-int64(cost))) {
			return
		}
	}
}

// post sends a frame in this node's own name.
func (p *peer) post(f *link.Frame, send func(*link.Frame) error) error {
	cost := costOf(f)
	if err := p.admit(cost); err != nil {
		return err
	}
	err := send(f)
	if err != nil && p.counts() {
		p.credit(cost)
	}
	return err
}

// takeCredit takes the word of a node that messages have left its queue.
func (n *Mesh) takeCredit(from *origin, f *link.Frame) {
	p := n.peer(from.addr)
	if p == nil || p.epoch != from.epoch {
		return
	}
	cost := int(min(f.ID, 1<<40))
	if f.Session == 0 {
		p.credit(cost)
		return
	}
	if s := n.users.Session(f.Session); s != nil {
		if u, ok := n.upstreams.Load(s); ok {
			u.(*upstream).credit(p, cost)
		}
	}
}

// renewLocked begins anew with each node that has not been told what it has to know, because its link's queue was full, or
// that has forgotten it. members.mu is held.
func (n *Mesh) renewLocked() {
	for _, p := range *n.peers.Load() {
		if p.anew.Load() && !n.members.leaving {
			n.log.Warn("the queue to a node has overflowed, or the node has forgotten this one: it is told everything anew", "peer", p.addr)
			n.beginAnewLocked(p, 0)
		}
	}
}

// meters are a peer's part of all this.
type meters struct {
	owed  atomic.Int64 // bytes sent in this node's name that have not left the other's queue
	spent atomic.Int64 // bytes of the other's that have left the queue here, and it was not told
	anew  atomic.Bool  // see startAnew
}
