package mesh

import (
	"iter"
	"math"
	"sync/atomic"

	"github.com/lonng/nano/internal/link"
)

// A link's goroutine never waits for a scheduler that is full: what comes behind the message may be
// for another one, or the answer that this one waits for. So whoever sends keeps count of what has
// not left the receiver's queue yet, and is told of what has by Credit frames. A client that sends
// more than its handlers take is not read any more, as on one node; a node that calls too much gets
// an error.
const (
	sessionWindow = 64 << 10 // bytes of one session's messages at one node, before its client is not read
	nodeWindow    = 32 << 20 // bytes of the calls and notifies of one node at another, before there are errors
	messageCost   = 64       // bytes that a message counts for beside its own
)

// creditFrom is the version of the link from which on nodes send credit.
const creditFrom = 2

// costOf is what a message counts for.
func costOf(f *link.Frame) int { return messageCost + len(f.Route) + len(f.Data) }

// window counts the bytes that a node was sent in this node's name, and that have not left its
// queue. Its methods may be called concurrently.
type window struct{ sent atomic.Int64 }

// enter counts a message, if there is room for it.
func (w *window) enter(cost int) bool {
	if w.sent.Add(int64(cost)) <= nodeWindow {
		return true
	}
	w.leave(cost)
	return false
}

// leave takes back what was counted, but not more: what the other node says may be wrong.
func (w *window) leave(cost int) {
	for {
		n := w.sent.Load()
		if w.sent.CompareAndSwap(n, max(0, n-int64(cost))) {
			return
		}
	}
}

// reset forgets what was counted.
func (w *window) reset() { w.sent.Store(0) }

// taken counts what has left the queue here, and the sender was not told. Its methods may be called
// concurrently.
type taken struct{ bytes atomic.Int64 }

// add returns what to tell the sender: not of each message, so that a busy one costs few frames.
func (t *taken) add(cost int, step int64) (tell uint64) {
	if t.bytes.Add(int64(cost)) < step {
		return 0
	}
	return uint64(max(0, t.bytes.Swap(0)))
}

// sessionPeers are the nodes that know a client of this gate, and the bytes of its messages that
// have not left their queues. The methods are not for concurrent use.
type sessionPeers struct {
	list []sessionPeer // few: how many nodes serve one client
	full chan struct{} // not nil: the client is not read until it is closed
}

// sessionPeer is what is so of one node. There is an entry while there is something to say.
type sessionPeer struct {
	peer  *peer
	sent  int32 // bytes that it has not taken
	known bool  // it was told of the session
}

func (s *sessionPeers) find(p *peer) *sessionPeer {
	for i := range s.list {
		if s.list[i].peer == p {
			return &s.list[i]
		}
	}
	return nil
}

// entry returns the entry of p, made if there is none.
func (s *sessionPeers) entry(p *peer) *sessionPeer {
	if e := s.find(p); e != nil {
		return e
	}
	s.list = append(s.list, sessionPeer{peer: p})
	return &s.list[len(s.list)-1]
}

// tidy removes an entry that says nothing.
func (s *sessionPeers) tidy(e *sessionPeer) {
	if e.sent == 0 && !e.known {
		last := len(s.list) - 1
		*e = s.list[last]
		s.list[last] = sessionPeer{}
		s.list = s.list[:last]
	}
}

// knows tells whether p was told of the session.
func (s *sessionPeers) knows(p *peer) bool {
	e := s.find(p)
	return e != nil && e.known
}

// introduced notes that p was told of the session.
func (s *sessionPeers) introduced(p *peer) { s.entry(p).known = true }

// drop notes that p does not know the session, and tells whether it did.
func (s *sessionPeers) drop(p *peer) (known bool) {
	e := s.find(p)
	if e == nil {
		return false
	}
	known, e.known = e.known, false
	s.tidy(e)
	return known
}

// all returns those that know the session. The loop may not change that.
func (s *sessionPeers) all() iter.Seq[*peer] {
	return func(yield func(*peer) bool) {
		for _, e := range s.list {
			if e.known && !yield(e.peer) {
				return
			}
		}
	}
}

// enter counts a message that goes to p. What it returns is not nil when the client is not to be
// read until it is closed.
func (s *sessionPeers) enter(p *peer, cost int) (full <-chan struct{}) {
	e := s.entry(p)
	if e.sent = int32(min(int(e.sent)+cost, math.MaxInt32)); e.sent <= sessionWindow {
		return nil
	}
	if s.full == nil {
		s.full = make(chan struct{})
	}
	return s.full
}

// leave takes back what was counted.
func (s *sessionPeers) leave(p *peer, cost int) {
	if e := s.find(p); e != nil {
		e.sent = int32(max(0, int(e.sent)-cost))
		s.tidy(e)
	}
	s.relax()
}

// forget takes back all of p's: nothing of it will be told.
func (s *sessionPeers) forget(p *peer) { s.leave(p, math.MaxInt32) }

// close has the client be read again, whatever was counted.
func (s *sessionPeers) close() {
	s.list = nil
	s.relax()
}

// relax lets the reader go on when half of each window is free.
func (s *sessionPeers) relax() {
	if s.full == nil {
		return
	}
	for _, e := range s.list {
		if e.sent > sessionWindow/2 {
			return
		}
	}
	close(s.full)
	s.full = nil
}
