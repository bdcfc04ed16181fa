// Package metrics is what a node of nano tells of itself: the [Snapshot] that App.Snapshot returns,
// and the histograms in it.
//
//	s := app.Snapshot()
//	for _, r := range s.Routes {
//		fmt.Println(r.Name, r.Handler.Count, r.Handler.Quantile(0.99))
//	}
//
// A node always counts. A snapshot costs about what it holds, waits for no handler, and can be
// taken once a second and more often. Counters count from the start of the node and never go back;
// what happened in a time is the difference of two snapshots. All values marshal to JSON, durations
// as nanoseconds.
//
// Package github.com/lonng/nano/contrib/prometheus exports all of it to Prometheus.
package metrics

import "time"

// Snapshot is the state of a node at one moment, and what it has counted until then. The parts are
// read one after the other while the node works: a message may be in one and not yet in another.
type Snapshot struct {
	// Node is the address at which other nodes reach this one, which is its identity in the
	// cluster; on a single node, its name.
	Node  string `json:"node"`
	Label string `json:"label,omitempty"` // the application's own word for the node (WithLabel)
	// At is when the snapshot was taken, and Started when the node began to start.
	At      time.Time `json:"at"`
	Started time.Time `json:"started"`
	Health  Health    `json:"health"`

	// Routes are those that this node has a handler for, sorted by name.
	Routes []Route `json:"routes"`
	// Elsewhere counts messages for which this node has no handler: they went on to other nodes, or
	// were refused, as their errors say.
	Elsewhere Messages `json:"elsewhere"`
	// Ignored counts messages of a type that only servers send.
	Ignored uint64 `json:"ignored"`

	// Schedulers are the node's own first, then those of components, then those of
	// App.NewScheduler that have the most to do: at most MaxListed of these.
	Schedulers []Scheduler `json:"schedulers"`
	// MadeSchedulers are all of App.NewScheduler that run or wait to be started, listed or not.
	MadeSchedulers MadeSchedulers `json:"madeSchedulers"`

	Gate    Gate    `json:"gate"`
	Groups  Groups  `json:"groups"`
	Cluster Cluster `json:"cluster"`
}

// MaxListed is how many schedulers of App.NewScheduler and how many groups a [Snapshot] lists.
const MaxListed = 100

// Messages counts messages that ask for a handler: of clients, of other nodes, and of this one.
type Messages struct {
	Requests uint64 `json:"requests"` // those that are answered
	Notifies uint64 `json:"notifies"` // the others
	// Errors counts, by the code that clients see, those that ended in an error before, in or after
	// their handler, whether anybody was told or not. Codes beyond the first 32 of a route count as
	// "other".
	Errors map[string]uint64 `json:"errors,omitempty"`
}

// Failed returns how many messages ended in an error, whatever its code.
func (m Messages) Failed() (n uint64) {
	for _, c := range m.Errors {
		n += c
	}
	return n
}

// Route is what a handler of the node has done.
type Route struct {
	Name string `json:"name"`
	Messages
	// Panics counts calls that panicked. They are among the errors, with the code "internal".
	Panics uint64 `json:"panics"`
	// Running is how many calls have begun and not returned, those that wait in Await among them.
	Running int `json:"running"`
	// Handler is the time from the beginning of the handler to its return, the time that it waits
	// in Await or in App.Call included. Messages that reach no handler are not in it.
	Handler Histogram `json:"handler"`
	// Wait is the time from when the message was read to the beginning of its handler.
	Wait Histogram `json:"wait"`
}

// Scheduler is what a scheduler does.
type Scheduler struct {
	Name string        `json:"name"`
	Kind SchedulerKind `json:"kind"`
	// Queued is how many calls and tasks wait.
	Queued int `json:"queued"`
	// Wait is how long the first of those that wait has waited, or the first of the last batch had
	// waited, whichever is more.
	Wait     time.Duration `json:"waitNs"`
	Timers   int           `json:"timers"`   // those that are not stopped
	Awaiting int           `json:"awaiting"` // calls in Await
	// Busy is the time in which it ran something. The share of a period is the growth of Busy in it
	// divided by its length.
	Busy     time.Duration `json:"busyNs"`
	Executed uint64        `json:"executed"` // calls and tasks that were run
	Dropped  uint64        `json:"dropped"`  // calls and tasks that came after its end
	Panics   uint64        `json:"panics"`
	// Running is the name of the call that runs at this moment, a route for example; empty if none
	// does. Since is when it began, or a little earlier; zero if none runs. App.SchedulerStack
	// tells where it is.
	Running string    `json:"running,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// SchedulerKind says whose a scheduler is.
type SchedulerKind string

// The kinds of schedulers.
const (
	SchedulerOfNode      SchedulerKind = "node"      // runs the handlers of components without one of their own
	SchedulerOfComponent SchedulerKind = "component" // of component.WithScheduler
	SchedulerMade        SchedulerKind = "made"      // by App.NewScheduler, for a room for example
)

// MadeSchedulers are the schedulers of App.NewScheduler together. Those that have ended, or that
// nobody has any more, do not count.
type MadeSchedulers struct {
	Count  int           `json:"count"`
	Queued int           `json:"queued"` // calls and tasks that wait
	Wait   time.Duration `json:"waitNs"` // the longest of their waits
}

// Gate is the client side of a node.
type Gate struct {
	// Connections are those that are open, before and after their handshake, by transport.
	Connections Connections `json:"connections"`
	// Sessions are those that live, the suspended ones among them. On a node that serves clients of
	// other gates these count, too.
	Sessions int `json:"sessions"`
	Users    int `json:"users"` // users with a session on this node
	// Away is how many sessions wait for their clients to come back (WithResume), and Kept how many
	// bytes are kept for those and for others that may have to be sent again. Shared broadcasts do
	// not count.
	Away int   `json:"away"`
	Kept int64 `json:"keptBytes"`

	Accepted uint64 `json:"accepted"` // connections that found a place
	// Refused counts, by reason, connections that were closed before they had a session that the
	// application knows: see the constants Refused….
	Refused map[string]uint64 `json:"refused,omitempty"`
	Opened  uint64            `json:"opened"` // sessions whose handshake was answered
	Closed  uint64            `json:"closed"` // sessions that have ended, those whose handshake was not answered among them
	// Ends counts the sessions that have ended by the name of their session.CloseKind.
	Ends      map[string]uint64 `json:"ends,omitempty"`
	Suspended uint64            `json:"suspended"` // connections that were lost while their sessions go on
	Resumed   uint64            `json:"resumed"`   // clients that came back to their session

	// BytesIn and BytesOut are as the connections carry them, without TLS. Packets are those of
	// nano's protocol: messages, handshakes and heartbeats.
	BytesIn    uint64 `json:"bytesIn"`
	BytesOut   uint64 `json:"bytesOut"`
	PacketsIn  uint64 `json:"packetsIn"`
	PacketsOut uint64 `json:"packetsOut"`

	// Slow is how many connections have 64 KiB or more that are not written yet. Queued is the sum
	// of these queues in bytes, in which a broadcast counts for each client that it waits for, and
	// Largest the largest of them; both are known to 64 KiB.
	Slow    int   `json:"slow"`
	Queued  int64 `json:"queuedBytes"`
	Largest int64 `json:"largestBytes"`

	Kicked     uint64 `json:"kicked"`     // sessions kicked by the application
	SlowKicked uint64 `json:"slowKicked"` // sessions kicked because they did not read
	Dropped    uint64 `json:"dropped"`    // messages dropped for sessions that did not read (SlowDrop)
	Skipped    uint64 `json:"skipped"`    // pushes left out because their session did not keep up (WithDelivery)
	Replaced   uint64 `json:"replaced"`   // pushes left out because a newer one came (WithDelivery)
	Silent     uint64 `json:"silent"`     // connections ended by the heartbeat
	Malformed  uint64 `json:"malformed"`  // connections ended by what they sent

	// Limited counts what was over a limit, whether it waited or was dropped.
	Limited Limited `json:"limited"`
}

// Connections counts open connections by transport.
type Connections struct {
	TCP       int `json:"tcp"`
	WebSocket int `json:"websocket"`
}

// Total returns the number of all connections.
func (c Connections) Total() int { return c.TCP + c.WebSocket }

// Reasons of [Gate.Refused].
const (
	RefusedFull       = "full"       // the node has as many connections as it may (WithMaxConnections)
	RefusedRate       = "rate"       // too many connections came in a second (WithAcceptRate with LimitDrop)
	RefusedAddress    = "address"    // its address has as many connections as it may (WithConnectionsPerAddress)
	RefusedHandshakes = "handshakes" // too many handshakes were under way (WithConcurrentHandshakes)
	RefusedEnding     = "ending"     // the node drains or ends
	RefusedUpgrade    = "upgrade"    // no WebSocket came of its request: its origin, for example, is not allowed
	RefusedHandshake  = "handshake"  // the application's validator refused it
	RefusedLate       = "late"       // its handshake was not finished in time
)

// Limited counts what was over a limit.
type Limited struct {
	Messages   uint64 `json:"messages"`   // WithMessageRate
	Addresses  uint64 `json:"addresses"`  // WithConnectionsPerAddress
	Accepts    uint64 `json:"accepts"`    // WithAcceptRate
	Handshakes uint64 `json:"handshakes"` // WithConcurrentHandshakes
}

// Groups are the groups of the node: those that have had a member here, are not closed, and that
// somebody still has.
type Groups struct {
	Count      int     `json:"count"`
	Members    int     `json:"members"`    // of all of them together
	Broadcasts uint64  `json:"broadcasts"` // calls of Broadcast and Multicast, of all groups that there were
	Pushes     uint64  `json:"pushes"`     // the members that these were for
	Largest    []Group `json:"largest"`    // those with the most members, at most MaxListed
}

// Group is one group.
type Group struct {
	Name       string `json:"name"` // as NewGroup was given it; two groups may have the same
	Members    int    `json:"members"`
	Broadcasts uint64 `json:"broadcasts"` // calls of Broadcast and Multicast
}

// Cluster is what a node knows of the others. On a single node all of it is zero but the calls.
type Cluster struct {
	// Members are the nodes of the list as this node has it, itself left out, sorted by address.
	Members []Member `json:"members,omitempty"`
	// Links are the ways to them that are open, in the same order.
	Links []Link `json:"links,omitempty"`

	// Calls is the time from App.Call to its return, whatever it returned, here and at other nodes.
	// CallErrors counts those that failed, by the code of the error, as [Messages] does.
	Calls      Histogram         `json:"calls"`
	CallErrors map[string]uint64 `json:"callErrors,omitempty"`
	// Calling is how many calls of this node wait for their reply, and Serving how many calls of
	// others this node has not answered.
	Calling int `json:"calling"`
	Serving int `json:"serving"`

	// Messages between nodes that did not run, each of which was answered with an error or has
	// nobody who waits: taken out of the queue to a node; too late at this one; of a session that
	// this node does not know.
	Withdrawn uint64 `json:"withdrawn"`
	Late      uint64 `json:"late"`
	Unknown   uint64 `json:"unknown"`
	// Lost counts pushes, kicks and notifies for other nodes that the node may not have got when
	// the link to it was given up: whoever sent them was told nothing.
	Lost uint64 `json:"lost"`
}

// Member is another node of the cluster, as this one knows it.
type Member struct {
	Addr     string   `json:"addr"`
	Label    string   `json:"label,omitempty"`
	Services []string `json:"services,omitempty"`
	// State is what the list says of it: "starting", "working" or "draining".
	State string `json:"state"`
	// Reach is how the link to it is: "up", or "down" for a moment, "far" when requests for it
	// fail, "abandoned" when its sessions were closed.
	Reach string `json:"reach"`
	// Unlisted says that the list has lost it, and that it lives all the same: its link is up.
	Unlisted bool `json:"unlisted,omitempty"`
	// Legacy says that it is a node of the 0.5 series.
	Legacy bool `json:"legacy,omitempty"`
	// Started is when its process began, by its own clock; zero if that is not known.
	Started time.Time `json:"started,omitzero"`
}

// Link is the way from this node to another one. Of a node of the 0.5 series only Peer is known.
type Link struct {
	Peer      string `json:"peer"` // the address of the other node
	Connected bool   `json:"connected"`
	// Heard is when the other node last said something on the link; zero: never.
	Heard time.Time `json:"heard,omitzero"`
	// RoundTrip is how long the other node took to answer when it was last asked for a sign of
	// life, which a node asks for every few seconds; 0: not known yet.
	RoundTrip time.Duration `json:"roundTripNs"`
	Unsent    int           `json:"unsentBytes"`  // queued
	Unacked   int           `json:"unackedBytes"` // sent, and kept until the other node has confirmed them
	Frames    uint64        `json:"frames"`       // queued so far
	Batches   uint64        `json:"batches"`      // sent, each time counted
	Bytes     uint64        `json:"bytes"`        // of these batches
	Resent    uint64        `json:"resent"`       // batches that were sent again after a reconnect
	Connects  uint64        `json:"connects"`     // how often the link came up
	Dropped   uint64        `json:"dropped"`      // frames given up because the other node was restarted
	Refused   uint64        `json:"refused"`      // frames that found no room in the queue
	// Credit is how many bytes of calls and notifies the other node has not taken out of its queue,
	// of CreditLimit that it may have before calls fail; both 0 where it does not tell.
	Credit      int64 `json:"creditBytes"`
	CreditLimit int64 `json:"creditLimitBytes"`
	// Sessions is how many sessions of clients the other node knows from here.
	Sessions int64 `json:"sessions"`
	Calling  int   `json:"calling"` // calls to it that wait for their reply
	Serving  int   `json:"serving"` // calls of it that this node has not answered
	// LastError is why the last stream ended or the last attempt failed; empty if none has.
	LastError string `json:"lastError,omitempty"`
}

// Health says whether a node works and whether it should get new clients.
type Health struct {
	// Live is false for a node that a restart would help: it has ended, or one call has held up the
	// node's scheduler for a minute.
	Live bool `json:"live"`
	// Ready says that the node may get new clients.
	Ready bool `json:"ready"`
	// Reasons say why it is not live or not ready.
	Reasons []Reason `json:"reasons,omitempty"`
}

// Reason is why a node is not live or not ready.
type Reason struct {
	Code ReasonCode `json:"code"`
	Text string     `json:"text"` // a sentence for whoever looks
}

// ReasonCode is the kind of a [Reason].
type ReasonCode string

// The reasons for which a node is not ready. With ReasonStopped and ReasonStuck it is not live,
// either.
const (
	ReasonStarting   ReasonCode = "starting"   // it has not started, or waits for its master or components
	ReasonNoMaster   ReasonCode = "no master"  // the list of members does not answer, or does not have it
	ReasonDraining   ReasonCode = "draining"   // it takes no new clients and is about to end
	ReasonOverloaded ReasonCode = "overloaded" // it is full, or its handlers wait too long
	ReasonStopped    ReasonCode = "stopped"    // it has ended, or its start has failed
	ReasonStuck      ReasonCode = "stuck"      // one call has held up the node's scheduler for a minute
)
