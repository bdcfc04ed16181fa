package gate

import (
	"net"

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

const (
	// busyAt is how many bytes are not written yet while a write that may block is under way, when
	// the client counts as one that does not keep up.
	busyAt = 64 << 10
	// answerShare is the part of a queue's size that answers have beyond it.
	answerShare = 8
)

// admitLocked tells whether n more bytes may be queued, and makes room for them where it can.
// Answers find room behind a queue that is full of pushes.
func (q *output) admitLocked(n int, m *manner) error {
	if q.closing {
		return ErrBrokenPipe
	}
	queued := q.queuedBytesLocked()
	limit := q.gate.cfg.SendQueue
	if m.when == atFirst {
		limit += limit / answerShare
	}
	if limit > 0 && queued > 0 && queued+n > limit {
		queued -= q.makeRoomLocked(m)
		if queued > 0 && queued+n > limit {
			return ErrBufferExceed
		}
	}
	return nil
}

// weighLocked counts what is queued for the cap of all queues. Small queues do not count, and small
// changes of how much that is neither: most messages touch nothing that connections share.
func (q *output) weighLocked() {
	n := q.queuedBytesLocked()
	if n < weighFrom || q.wasCut {
		n = 0
	}
	d := n - q.weighed
	if d == 0 || n > 0 && d > -weighFrom && d < weighFrom {
		return
	}
	q.weighed = n
	if n == 0 {
		q.gate.heavies.weigh(q, weight{})
	} else {
		q.gate.heavies.weigh(q, weight{n, q.shareLocked()})
	}
}

// shareLocked is the connection's share of the memory that its queue takes.
func (q *output) shareLocked() int {
	if q.chain != nil {
		return q.inFlight.share + q.chain.share(q.form())
	}
	return q.inFlight.share + q.waitingLocked()
}

// busyLocked tells whether the client does not keep up: the kernel takes no more for it. Where that
// cannot be known, as with TLS, a write is under way and much is not written.
func (q *output) busyLocked() bool {
	return q.stuck || q.writing && q.sock.Blocks() && q.queuedBytesLocked() >= busyAt
}

// skipsLocked tells whether a message of n bytes is left out: its class says so for a client that
// does not keep up.
func (q *output) skipsLocked(n int, m *manner) bool {
	if m.class != session.DeliverUnlessBusy || q.closing {
		return false
	}
	queued, limit := q.queuedBytesLocked(), q.gate.cfg.SendQueue
	if !q.busyLocked() && (limit == 0 || queued == 0 || queued+n <= limit) {
		return false
	}
	q.skippedLocked(1)
	return true
}

// makeRoomLocked drops what may be dropped for a message that does not fit, and returns how many
// bytes that were.
func (q *output) makeRoomLocked(m *manner) int {
	if q.chain == nil && (q.out == nil || len(q.out.loose.all) == 0) {
		return 0
	}
	before := q.waitingLocked()
	o := q.outLocked()
	q.skippedLocked(o.dropClass(session.DeliverUnlessBusy))
	if i, there := o.loose.slots[m.slot]; there && m.class == session.DeliverLatest {
		o.dropLoose(i)
		q.replacedLocked(true)
	}
	return before - o.size
}

// skippedLocked counts messages that were left out.
func (q *output) skippedLocked(n int) {
	if n > 0 {
		q.gate.counters.Skipped.Add(uint64(n))
	}
}

// replacedLocked counts a message that a newer one has replaced, if it has.
func (q *output) replacedLocked(it bool) {
	if it {
		q.gate.counters.Replaced.Add(1)
	}
}
