package gate

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/session"
)

// heavies are the connections with large queues. All queues together have a cap; small ones do not
// count.
type heavies struct {
	gate      *Gate
	queued    atomic.Int64 // bytes of all
	relieving atomic.Bool

	mu  sync.Mutex
	all map[*output]int // how large they are
}

// weigh notes that the queue of a connection counts n bytes, by d more than it did; 0: it is not
// large.
func (h *heavies) weigh(q *output, n, d int) {
	h.set(q, n)
	if total := h.queued.Add(int64(d)); d > 0 && total > int64(h.gate.cfg.SendQueues) {
		h.relieve()
	}
}

func (h *heavies) set(q *output, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if bytes == 0 {
		delete(h.all, q)
		return
	}
	if h.all == nil {
		h.all = make(map[*output]int)
	}
	h.all[q] = bytes
}

func (h *heavies) snapshot() (count int, sum, largest int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.all {
		sum += int64(n)
		largest = max(largest, int64(n))
	}
	return len(h.all), sum, largest
}

// relieve cuts the connections with the largest queues until all queues together are within the
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
			c      *Conn
			weight int
		}
		var all []heavy
		for _, c := range g.snapshot() {
			c.mu.Lock()
			if c.weight > 0 {
				all = append(all, heavy{c, c.weight})
			}
			c.mu.Unlock()
		}
		slices.SortFunc(all, func(a, b heavy) int { return b.weight - a.weight })
		for _, at := range all {
			if h.queued.Load() <= int64(g.cfg.SendQueues) {
				return
			}
			g.counters.SlowKicked.Add(1)
			g.cfg.Log.Warn("session cut: all send queues together are full, and its queue is the largest", "session", at.c.owner().sess.ID(),
				"uid", at.c.owner().sess.UID(), "remote", at.c.peer(), "bytes", at.weight)
			at.c.because(session.CloseSlow, "all send queues together were full, and its queue was the largest")
			at.c.cut()
		}
	}()
}
