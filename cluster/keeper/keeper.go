// Package keeper is what an engine implements that keeps the member list of a cluster in the place
// of a master: etcd, or a table of a database. [github.com/lonng/nano.WithKeeper] takes a [Keeper].
//
// A Keeper puts its node under a key with a time to live, renews it, and watches the keys of the
// others. The list itself is values: each [View] holds every [Member] at one [Version].
package keeper

import (
	"context"

	"github.com/lonng/nano/internal/fault"
)

// Keeper keeps the member list of a cluster for one node. It serves one node once: Join, any number
// of Updates, Leave. Its methods may be called from any goroutine.
//
// Nodes rely on four promises:
//   - A node that has died leaves the views within four heartbeat intervals.
//   - A node that was only silent gets back in by itself.
//   - No two living nodes have the same NodeID (1 to service.MaxNodeID). An id that was freed rests
//     for an hour, because sessions may be known by it.
//   - A process with a larger Epoch takes the place of one with the same Addr.
type Keeper interface {
	// Join enters self in the list and returns the views of it. The first view holds self, with the
	// NodeID that the Keeper gives it unless self.Fixed; one view follows after each change. A slow
	// reader gets the newest view and misses those between.
	//
	// Join waits while the list cannot be reached. Its error ends the start of the node; it is
	// ErrNodeIDTaken if self.Fixed and a living node has the id.
	//
	// While the list cannot be reached later, the channel is silent and the nodes go on with the list
	// that they have. The channel is closed after Leave, and when ctx ends; after ctx ends self stays
	// in the list until its time is over, as if the process had died. A view may give self another
	// NodeID than before: it is for session ids made from then on.
	Join(ctx context.Context, self Member) (<-chan View, error)

	// Update replaces what the list says of self: its services, label or state. Addr and Epoch are
	// those of Join; NodeID is ignored. An error means that the list may not say it: the node calls
	// Update again until it works.
	Update(ctx context.Context, self Member) error

	// Leave takes self out of the list at once. A second call is harmless.
	Leave(ctx context.Context) error
}

// ErrNodeIDTaken is returned by Join for a node whose configured node id a living node has.
var ErrNodeIDTaken = fault.New(fault.Exists, "cluster/keeper: a living node has the node id")
