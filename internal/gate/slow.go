package gate

import (
	"net"
	"slices"
	"time"

	"github.com/lonng/nano/session"
)

const (
	// floorRate is how many bytes a second a client has to take while more than patienceTo bytes
	// are queued for it. With less, which costs the node little, patientRate is enough: a phone on
	// a bad network catches up with a burst. What a client takes beyond the rate counts for later,
	// up to the write timeout.
	floorRate   = 16 << 10
	patientRate = 1 << 10
	patienceTo  = 256 << 10
	// kernelQueue is how many bytes the kernel may hold for one client, beside the session's own
	// queue. It would grow to several MiB by itself.
	kernelQueue = 256 << 10
	// weighFrom is how many queued bytes make a connection count for the cap of all queues.
	weighFrom = 64 << 10
)

// boundKernel bounds what the kernel holds for a connection.
func boundKernel(nc net.Conn) {
	if t, ok := nc.(interface{ SetWriteBuffer(int) error }); ok {
		_ = t.SetWriteBuffer(kernelQueue) // if it cannot be, the kernel's own bound holds
	}
}

// lingered is called when a client has had its time to close after the last output. What the kernel
// has not sent yet may have the rest of the flush timeout; then it is dropped.
func (c *Conn) lingered() {
	c.mu.Lock()
	left := c.gate.cfg.FlushTimeout - time.Since(c.closedAt)
	c.mu.Unlock()
	if c.sock.Unsent() == 0 {
		c.cut()
		return
	}
	if left > 0 {
		c.mu.Lock()
		if !c.wasCut {
			c.timer = time.AfterFunc(left, c.lingered)
		}
		c.mu.Unlock()
		return
	}
	c.mu.Lock()
	c.abort = true
	c.mu.Unlock()
	c.cut()
}

// queuedBytesLocked is how much is queued.
func (c *Conn) queuedBytesLocked() int {
	return c.inFlight + c.waitingLocked()
}

// waitingLocked is how much of that nobody has taken to write it.
func (c *Conn) waitingLocked() int {
	switch {
	case c.chain != nil:
		return c.chain.sizes[c.form()]
	case c.out != nil:
		return c.out.size
	}
	return 0
}

// weighLocked counts n queued bytes for the cap of all queues. Small queues do not count, and small
// changes neither: most messages touch nothing that connections share.
func (c *Conn) weighLocked(n int) {
	if n < weighFrom {
		n = 0
	}
	d := n - c.weight
	if d == 0 || n > 0 && d > -weighFrom && d < weighFrom {
		return
	}
	c.weight = n
	if total := c.gate.queued.Add(int64(d)); d > 0 && total > int64(c.gate.cfg.SendQueues) {
		c.gate.relieve()
	}
}

// relieve cuts the connections with the largest queues until all queues together are within the
// cap. It does not wait.
func (g *Gate) relieve() {
	if g.cfg.SendQueues == 0 || g.relieving.Swap(true) {
		return
	}
	g.running.Add(1) // the connection that calls is not gone
	go func() {
		defer g.running.Done()
		defer g.relieving.Store(false)
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
		for _, h := range all {
			if g.queued.Load() <= int64(g.cfg.SendQueues) {
				return
			}
			g.counters.SlowKicked.Add(1)
			g.cfg.Log.Warn("session cut: all send queues together are full, and its queue is the largest", "session", h.c.sess.ID(),
				"uid", h.c.sess.UID(), "remote", h.c.RemoteAddr(), "bytes", h.weight)
			h.c.because(session.CloseSlow, "all send queues together were full, and its queue was the largest")
			h.c.cut()
		}
	}()
}
