package mesh

import (
	"sync/atomic"

	"github.com/lonng/nano/internal/link"
)

// A link's goroutine never waits for a scheduler that is full: what comes behind the message may be for another one, or
// the answer that this one waits for. So whoever sends keeps count of what has not left the receiver's queue yet, and is
// told of what has by Credit frames. A client that sends more than its handlers take is not read any more, as on one
// node; a node that calls too much gets an error.
const (
	sessionWindow = 64 << 10 // bytes of one session's messages at one node, before its client is not read
	nodeWindow    = 32 << 20 // bytes of the calls and notifies of one node at another, before there are errors
	messageCost   = 64       // bytes that a message counts for beside its own
)

// creditFrom is the version of the link from which on nodes send credit.
const creditFrom = 2

// costOf is what a message counts for.
func costOf(f *link.Frame) int { return messageCost + len(f.Route) + len(f.Data) }

// window counts the bytes that a node was sent in this node's name, and that have not left its queue. Its methods may be
// called concurrently.
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

// taken counts what has left the queue here, and the sender was not told. Its methods may be called concurrently.
type taken struct{ bytes atomic.Int64 }

// add returns what to tell the sender: not of each message, so that a busy one costs few frames.
func (t *taken) add(cost int, step int64) (tell uint64) {
	if t.bytes.Add(int64(cost)) < step {
		return 0
	}
	return uint64(max(0, t.bytes.Swap(0)))
}

// sessionWindows count the bytes of one client's messages that have not left the queues of the nodes that serve it. The
// methods are not for concurrent use.
type sessionWindows struct {
	sent few[*peer, int]
	full chan struct{} // not nil: the client is not read until it is closed
}

// enter counts a message that goes to p. What it returns is not nil when the client is not to be read until it is closed.
func (w *sessionWindows) enter(p *peer, cost int) (full <-chan struct{}) {
	n, _ := w.sent.get(p)
	n += cost
	if w.sent.set(p, n); n <= sessionWindow {
		return nil
	}
	if w.full == nil {
		w.full = make(chan struct{})
	}
	return w.full
}

// leave takes back what was counted.
func (w *sessionWindows) leave(p *peer, cost int) {
	n, _ := w.sent.get(p)
	if n > cost {
		w.sent.set(p, n-cost)
	} else {
		w.sent.remove(p)
	}
	w.relax()
}

// forget takes back all of p's: nothing of it will be told.
func (w *sessionWindows) forget(p *peer) {
	w.sent.remove(p)
	w.relax()
}

// close has the client be read again, whatever was counted.
func (w *sessionWindows) close() {
	w.sent = few[*peer, int]{}
	w.relax()
}

// relax lets the reader go on when half of each window is free.
func (w *sessionWindows) relax() {
	if w.full == nil {
		return
	}
	for _, n := range w.sent.all() {
		if n > sessionWindow/2 {
			return
		}
	}
	close(w.full)
	w.full = nil
}
