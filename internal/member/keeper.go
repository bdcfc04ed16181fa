package member

import "context"

// Keeper keeps the member list of a cluster for one node, in the place of a master: one for an engine such as etcd
// puts the node under a key with a time to live and watches the others. A Keeper serves one node once: Join, any
// number of Updates, Leave. Its methods may be called from any goroutine. Programs know it as cluster.Keeper.
//
// What a Keeper promises: a node that has died is out of the views within four heartbeat intervals; a node that
// was only silent gets back in by itself; no two living nodes in a view have one NodeID.
type Keeper interface {
	// Join enters self in the list and returns the views of it: the first holds self, with the NodeID that it
	// was given unless it came with one, and then there is one after each change. A reader that is slow gets the
	// newest and misses those between. The channel is closed after Leave, and when ctx ends; then self stays in
	// the list until its time is over, as if the process had died. While the list cannot be reached Join waits,
	// and later the channel is silent. When self.Fixed and a living node has its NodeID, the error is ErrNodeIDTaken.
	//
	// A view may give self another NodeID than before: it is for session ids made from then on.
	Join(ctx context.Context, self Member) (<-chan View, error)

	// Update replaces what the list says of self: its services, label or state. Addr and Epoch are those of
	// Join, and NodeID is ignored. An error means that the list may not say it; calling it again is harmless.
	Update(ctx context.Context, self Member) error

	// Leave takes self out of the list at once. Calling it again is harmless.
	Leave(ctx context.Context) error
}
