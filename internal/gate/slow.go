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
	left := c.gate.cfg.FlushTimeout - time.Since(c.transitLocked().closedAt)
	c.mu.Unlock()
	if c.sock.Unsent() == 0 {
		c.cut()
		return
	}
	if left > 0 {
		c.mu.Lock()
		c.setTimerLocked(left, c.lingered)
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
		return c.chain.sizes.in(c.form())
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
	c.gate.heavies.set(c, n)
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
			g.cfg.Log.Warn("session cut: all send queues together are full, and its queue is the largest", "session", h.c.owner().sess.ID(),
				"uid", h.c.owner().sess.UID(), "remote", h.c.peer(), "bytes", h.weight)
			h.c.because(session.CloseSlow, "all send queues together were full, and its queue was the largest")
			h.c.cut()
		}
	}()
}

const (
	// busyAt is how many bytes are not written yet while a write that may block is under way, when
	// the client counts as one that does not keep up.
	busyAt = 64 << 10
	// answerShare is the part of a queue's size that answers have beyond it.
	answerShare = 8
)

// busyLocked tells whether the client does not keep up: the kernel takes no more for it. Where that
// cannot be known, as with TLS, a write is under way and much is not written.
func (c *Conn) busyLocked() bool {
	return c.stuck || c.writing && c.sock.Blocks() && c.queuedBytesLocked() >= busyAt
}

// skipsLocked tells whether a message of n bytes is left out: its class says so for a client that
// does not keep up.
func (c *Conn) skipsLocked(n int, m *manner) bool {
	if m.class != session.DeliverUnlessBusy || c.closing {
		return false
	}
	queued, limit := c.queuedBytesLocked(), c.gate.cfg.SendQueue
	if !c.busyLocked() && (limit == 0 || queued == 0 || queued+n <= limit) {
		return false
	}
	c.skippedLocked(1)
	return true
}

// makeRoomLocked drops what may be dropped for a message that does not fit, and returns how many
// bytes that were.
func (c *Conn) makeRoomLocked(m *manner) int {
	if c.chain == nil && (c.out == nil || len(c.out.loose.all) == 0) {
		return 0
	}
	before := c.waitingLocked()
	o := c.outLocked()
	c.skippedLocked(o.dropClass(session.DeliverUnlessBusy))
	if i, there := o.loose.slots[m.slot]; there && m.class == session.DeliverLatest {
		o.dropLoose(i)
		c.replacedLocked(true)
	}
	return before - o.size
}

// skippedLocked counts messages that were left out.
func (c *Conn) skippedLocked(n int) {
	if n > 0 {
		c.gate.counters.Skipped.Add(uint64(n))
	}
}

// replacedLocked counts a message that a newer one has replaced, if it has.
func (c *Conn) replacedLocked(it bool) {
	if it {
		c.gate.counters.Replaced.Add(1)
	}
}
