package nano

import (
	"crypto/tls"
	"math"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/session"
)

// WithMaster makes the node the master of its cluster, which keeps the member list. Default: it is
// not.
func WithMaster() Option {
	return func(o *cluster.Options) { o.IsMaster = true }
}

// WithAdvertiseAddr makes the node join the master with this service address (host:port).
// retryInterval is the time between two attempts. Default: the node joins no master; 3 s.
func WithAdvertiseAddr(addr string, retryInterval ...time.Duration) Option {
	return func(o *cluster.Options) {
		o.AdvertiseAddr = addr
		if len(retryInterval) > 0 {
			o.RetryInterval = retryInterval[0]
		}
	}
}

// WithKeeper lets an engine such as etcd keep the member list of the cluster, in the place of a
// master. k belongs to this node alone. All nodes of the cluster use the same engine, and none has
// [WithMaster] or [WithAdvertiseAddr]. Nodes of the 0.5 series cannot join. Default: none, a master
// keeps the list.
func WithKeeper(k keeper.Keeper) Option {
	return func(o *cluster.Options) { o.Keeper = k }
}

// WithNodeId sets the part of session ids that tells the sessions of several nodes apart; at most
// service.MaxNodeID. Default: none on a single node; in a cluster, an id that the master leases to
// the node.
func WithNodeId(nodeId uint64) Option {
	return func(o *cluster.Options) { o.NodeID = nodeId }
}

// WithLabel sets the application's name for the node, which routing functions see. Default: none.
func WithLabel(label string) Option {
	return func(o *cluster.Options) { o.Label = label }
}

// WithServiceListener sets the listener on which other nodes reach this one. They are told the
// service address all the same. The node closes the listener. Default: the node listens on its
// service address.
func WithServiceListener(l net.Listener) Option {
	return func(o *cluster.Options) { o.ServiceListener = l }
}

// WithClusterTLS encrypts connections between nodes. conf serves both directions: a node shows its
// Certificates, and checks the other side with RootCAs, or ClientCAs where that is nil. ClientAuth
// tls.RequireAndVerifyClientCert makes it mutual. Default: none. A node warns at the start when its
// service address is not loopback, and neither this nor [WithClusterToken] keeps strangers out.
func WithClusterTLS(conf *tls.Config) Option {
	return func(o *cluster.Options) { o.ClusterTLS = conf }
}

// WithClusterToken sets a secret that all nodes of the cluster share. A node turns away everybody
// who does not have it. Without TLS, it can be read on the network. Take at least 128 random bits:
// with [WithResume], clients hold texts that are signed with a key made of it. Nodes of the 0.5
// series have no token. Default: none.
func WithClusterToken(token string) Option {
	return func(o *cluster.Options) { o.ClusterToken = token }
}

// WithGrpcOptions adds options for connections to other nodes. It may be used more than once. An
// interceptor of streams must not wait in SendMsg, since a scheduler may be its caller. Default:
// none.
func WithGrpcOptions(opts ...grpc.DialOption) Option {
	return func(o *cluster.Options) { o.GrpcOptions = append(o.GrpcOptions, opts...) }
}

// WithRouting sets the policy that chooses the node for a session's first message to a service;
// later ones go to the same node. It cannot be set together with [WithCustomerRemoteServiceRoute].
// Default: [RouteRandom].
func WithRouting(r cluster.Routing) Option {
	return func(o *cluster.Options) { o.Routing = r }
}

// WithCustomerRemoteServiceRoute sets a function that chooses the node for the messages of a
// session. Default: a random node at first, and the same node after that.
//
// Deprecated: use [WithRouting].
func WithCustomerRemoteServiceRoute(route cluster.CustomerRemoteServiceRoute) Option {
	return func(o *cluster.Options) { o.RemoteServiceRoute = route }
}

// WithForwardedValues chooses the session values, by key, that a gate sends to the nodes which
// serve the session: all of them before its first message there, and later each one that is set or
// removed at the gate, before the session's next message or at the end of the handler. A value that
// a node has set itself under such a key stays until the gate's application changes that key, or
// clears the session.
//
// A value is encoded when it is set: set it again after a change in place. Encoded, one value may
// have 1 MiB, and all of a session 8 MiB. encoding/gob must know its type on both sides; otherwise
// the value is missing on the other node, and the log says so. It may be used more than once.
// Default: none.
func WithForwardedValues(keys ...string) Option {
	return func(o *cluster.Options) { o.Forwarded = append(slices.Clip(o.Forwarded), keys...) }
}

// WithLinkQueue sets how many bytes may wait for one other node. A message that does not fit fails.
// Default: 64 MiB.
func WithLinkQueue(bytes int) Option {
	return func(o *cluster.Options) { o.LinkQueue = bytes }
}

// WithMaxLoss sets which share of the other nodes (0 to 1) the master takes for dead when they fall
// silent at once; the master itself does not count. If more do, and at least two, the master takes
// itself for the one that is cut off: it drops nobody until enough are back, and then gives the
// others their full time of four heartbeats. 0 drops one at a time only, 1 drops all. It has an
// effect on the master only. Default: 0.5.
func WithMaxLoss(share float64) Option {
	if share == 0 {
		share = math.SmallestNonzeroFloat64 // 0 in the Options means the default
	}
	return func(o *cluster.Options) { o.MaxLoss = share }
}

// WithUnregisterCallback sets a function that the master calls, on its scheduler, when a member has
// left. It has an effect on the master only. Default: none.
func WithUnregisterCallback(fn func(member cluster.Member)) Option {
	return func(o *cluster.Options) { o.UnregisterCallback = fn }
}

// RouteRandom returns a policy for [WithRouting] that chooses any node.
func RouteRandom() cluster.Routing { return cluster.RouteRandom() }

// RouteRoundRobin returns a policy for [WithRouting] that takes the nodes in turn.
func RouteRoundRobin() cluster.Routing { return cluster.RouteRoundRobin() }

// RouteLeastSessions returns a policy for [WithRouting] that chooses the node with the fewest of
// the sessions that this node has sent out.
func RouteLeastSessions() cluster.Routing { return cluster.RouteLeastSessions() }

// RouteHash returns a policy for [WithRouting] that sends sessions with the same key to the same
// node, from every gate. With nil the key is the uid.
func RouteHash(key func(s *session.Session) string) cluster.Routing { return cluster.RouteHash(key) }
