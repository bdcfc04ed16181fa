package cluster

import (
	"github.com/lonng/nano/describe"
	"github.com/lonng/nano/scheduler"
)

// Stats are the totals of a node. The counters count from its start. [Figures.Snapshot] tells more:
// of each route, scheduler, group and link.
type Stats struct {
	Connections int // open now, before and after their handshake
	Sessions    int // live now

	Accepted, Refused  uint64 // connections; refused ones were over the cap or failed their handshake
	Opened, Closed     uint64 // sessions
	Kicked, SlowKicked uint64 // sessions kicked by the application; because they did not read
	Suspended, Resumed uint64 // connections lost while their sessions go on; clients that came back (WithResume)
	Dropped            uint64 // messages dropped for sessions that did not read (SlowDrop)
	Skipped, Replaced  uint64 // pushes left out as WithDelivery says: their session did not keep up; a newer one came
	Silent, Malformed  uint64 // connections ended by the heartbeat; by what they sent
	Requests, Notifies uint64 // messages from clients
	Failed, Ignored    uint64 // of those: ended in an error; of a type that only servers send
	// Messages between nodes that did not run, each of which was answered with an error or has
	// nobody who waits: taken out of the queue to a node; too late at this one; of a session that
	// this node does not know.
	Withdrawn, Late, Unknown uint64
	// Pushes, kicks and notifies for other nodes that had been queued, and that the node may not
	// have got when the link to it was given up: whoever sent them was told nothing.
	Lost              uint64
	BytesIn, BytesOut uint64 // as the connections carry them, without TLS

	// What was over a limit, whether it waited or was dropped: messages (WithMessageRate),
	// connections of one address (WithConnectionsPerAddress), of all (WithAcceptRate), and those
	// with unfinished handshakes (WithConcurrentHandshakes).
	LimitedMessages, LimitedAddresses, LimitedAccepts, LimitedHandshakes uint64

	Scheduler scheduler.Stats // of the node's own scheduler
}

// Stats returns the figures of this moment; zero before Startup.
func (n *Node) Stats() Stats {
	if !n.ready.Load() {
		return Stats{}
	}
	c, t, refused := n.gate.Counters(), n.table.Totals(), n.mesh.Refusals()
	return Stats{
		Connections: n.gate.Len(), Sessions: n.users.Len(),
		Accepted: c.Accepted.Load(), Refused: c.Refused.Load(),
		Opened: c.Opened.Load(), Closed: c.Closed.Load(),
		Suspended: c.Suspended.Load(), Resumed: c.Resumed.Load(),
		Kicked: c.Kicked.Load(), SlowKicked: c.SlowKicked.Load(), Dropped: c.Dropped.Load(),
		Skipped: c.Skipped.Load(), Replaced: c.Replaced.Load(),
		Silent: c.Silent.Load(), Malformed: c.Malformed.Load(),
		Requests: t.Requests, Notifies: t.Notifies, Failed: t.Failed, Ignored: t.Ignored,
		Withdrawn: refused.Withdrawn.Load(), Late: refused.Late.Load(), Unknown: refused.Unknown.Load(), Lost: refused.Lost.Load(),
		BytesIn: c.BytesIn.Load(), BytesOut: c.BytesOut.Load(),
		LimitedMessages: c.Limited.Messages.Load(), LimitedAddresses: c.Limited.Addresses.Load(),
		LimitedAccepts: c.Limited.Accepts.Load(), LimitedHandshakes: c.Limited.Handshakes.Load(),
		Scheduler: n.sched.Stats(),
	}
}

// Describe returns what the node takes and answers: its own services, and the names of those of
// other nodes. It may be called before Startup, too, once the components are registered; the error
// is then that of the components.
func (n *Node) Describe() (*describe.Description, error) { return description(n) }
