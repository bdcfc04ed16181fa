package nano

import (
	"crypto/tls"
	"net"
	"slices"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/session"
)

// WithKeeper has an engine such as etcd keep the list of the cluster's nodes, in the place of a master: k is this node's way
// to it, made for this node alone. All nodes of the cluster use the same engine, and none has WithMaster or WithAdvertiseAddr.
// Nodes of the 0.5 series cannot join. Default: none, a master keeps the list.
func WithKeeper(k keeper.Keeper) Option {
	return func(o *cluster.Options) { o.Keeper = k }
}

// WithServiceListener gives the listener on which other nodes reach this one; the service address still is what they
// are told. Default: the node listens on the service address.
func WithServiceListener(l net.Listener) Option {
	return func(o *cluster.Options) { o.ServiceListener = l }
}

// WithClusterTLS has nodes talk by TLS. conf serves both directions: Certificates are shown to whoever asks, RootCAs
// (or ClientCAs where that is nil) check the other side, and ClientAuth tls.RequireAndVerifyClientCert makes it
// mutual. Default: none. A node warns where its service address is not loopback and neither that nor a token turns strangers away.
func WithClusterTLS(conf *tls.Config) Option {
	return func(o *cluster.Options) { o.ClusterTLS = conf }
}

// WithClusterToken sets a secret that all nodes of the cluster share; who does not have it is turned away. Without TLS
// it can be read on the way. Nodes of the 0.5 series have no token. Default: none.
func WithClusterToken(token string) Option {
	return func(o *cluster.Options) { o.ClusterToken = token }
}

// WithRouting sets the policy that chooses the node for a session's first message to a service; later ones go to the
// same node. Default: random. WithCustomerRemoteServiceRoute sets a function in its place.
func WithRouting(r cluster.Routing) Option {
	return func(o *cluster.Options) { o.Routing = r }
}

// RouteRandom chooses any node. It and the policies beside it are for WithRouting.
func RouteRandom() cluster.Routing { return cluster.RouteRandom() }

// RouteRoundRobin takes the nodes in turn.
func RouteRoundRobin() cluster.Routing { return cluster.RouteRoundRobin() }

// RouteLeastSessions chooses the node to which this one has sent the fewest of the sessions that are there now.
func RouteLeastSessions() cluster.Routing { return cluster.RouteLeastSessions() }

// RouteHash sends sessions with the same key to the same node, from every gate; nil: by uid.
func RouteHash(key func(s *session.Session) string) cluster.Routing { return cluster.RouteHash(key) }

// WithForwardedValues chooses the session values, by key, that a gate sends along to the nodes which serve the session: all of
// them before its first message there, and later each that is set or removed at the gate, before the session's next message or
// at the end of the handler. What a node has set itself under such a key stays until the gate's application changes that key, or
// clears the session. A value is packed when it is set: what is changed in place later has to be set again. It may have 1 MiB,
// and all of a session's 8 MiB, packed. They must be of types that encoding/gob knows on both sides; one that is not is missing on the other node, and
// the log says so. Default: none.
func WithForwardedValues(keys ...string) Option {
	return func(o *cluster.Options) { o.Forwarded = append(slices.Clip(o.Forwarded), keys...) }
}

// WithLinkQueue sets how many bytes may wait for another node; messages that do not fit fail. Default: 64 MiB.
func WithLinkQueue(bytes int) Option {
	return func(o *cluster.Options) { o.LinkQueue = bytes }
}

// WithMaxLoss sets which share of the other nodes (0 to 1) the master takes for dead when they fall silent at once. If more do,
// at least two, the master is the one that cannot be reached: it drops nobody until enough are back, and then gives the
// others their full time of four heartbeats. 1: all are dropped. For the master; default: 0.5.
func WithMaxLoss(share float64) Option {
	return func(o *cluster.Options) { o.MaxLoss = share }
}
