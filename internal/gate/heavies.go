package gate

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/session"
)

// heavies are the connections with large queues. What all queues together take of memory has a cap;
// small ones do not count.
type heavies struct {
	gate      *Gate
	queued    atomic.Int64 // the shares of all
	relieving atomic.Bool

	mu  sync.Mutex // the locks of outputs come before it
	all map[*output]weight
}

// weight is how much is queued for a connection: the bytes that are to be written, and its share of
// the memory that they take. What waits for many connections is there once.
type weight struct{ bytes, share int }

// weigh notes what is queued for a connection, which has its lock. The zero weight says that the
// queue is not large.
func (h *heavies) weigh(q *output, w weight) {
	d := w.share - h.set(q, w).share
	if total := h.queued.Add(int64(d)); d > 0 && total > int64(h.gate.cfg.SendQueues) {
		h.relieve()
	}
}

// set notes a weight, and returns the one before.
func (h *heavies) set(q *output, w weight) (before weight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before = h.all[q]
	if w.bytes == 0 {
		delete(h.all, q)
		return before
	}
	if h.all == nil {
		h.all = make(map[*output]weight)
	}
	h.all[q] = w
	return before
}

func (h *heavies) snapshot() (count int, sum, largest int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.all {
		sum += int64(w.bytes)
		largest = max(largest, int64(w.bytes))
	}
	return len(h.all), sum, largest
}

// relieve cuts the connections whose queues take the most memory until all together are within the
// cap. It does not wait.
func (h *heavies) relieve() {
	g := h.gate
	if g.cfg.SendQueues == 0 || h.relieving.Swap(true) {
		return
	}
	g.running.Add(1) // the connection that calls is not gone
	go func() {
		defer g.running.Done()
		defer h.relieving.Store(false)
		type heavy struct {
			c *Conn
			weight
		}
		var all []heavy
		h.mu.Lock()
		weights := maps.Clone(h.all)
		h.mu.Unlock()
		for _, c := range g.snapshot() {
			if w, ok := weights[&c.output]; ok {
				all = append(all, heavy{c, w})
			}
		}
		slices.SortFunc(all, func(a, b heavy) int { return b.share - a.share })
		for _, at := range all {
			if h.queued.Load() <= int64(g.cfg.SendQueues) {
				return
			}
			g.counters.SlowKicked.Add(1)
			g.cfg.Log.Warn("session cut: all send queues together are full, and its queue takes the most memory", "session", at.c.owner().sess.ID(),
				"uid", at.c.owner().sess.UID(), "remote", at.c.peer(), "bytes", at.bytes)
			at.c.because(session.CloseSlow, "all send queues together were full, and its queue took the most memory")
			at.c.cut()
		}
	}()
}
