package nano

import (
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Option sets something in the options of a node. Where its comment does not say otherwise, a zero, empty or nil
// argument means the default, and a negative one is an error. Options are checked together, and what is wrong with them
// is returned, when the node starts; of two for the same thing the later counts. An Option may be used for several nodes.
type Option func(*cluster.Options)

// WithComponents sets the components that the node runs. Default: none.
func WithComponents(components *component.Components) Option {
	return func(o *cluster.Options) { o.Components = components }
}

// WithIsWebsocket makes the client address take WebSockets instead of plain TCP. Default: TCP. Newer: WithEndpoint,
// which serves both at once.
func WithIsWebsocket(enableWs bool) Option {
	return func(o *cluster.Options) { o.IsWebsocket = enableWs }
}

// WithWSPath sets the path of the client address's WebSocket. One that ends in "/" is a subtree. Default: "/", which is every
// path that is no page. Newer: WithEndpoint.
func WithWSPath(path string) Option {
	return func(o *cluster.Options) { o.WSPath = path }
}

// WithTSLConfig serves the client address with TLS, from two PEM files, WebSocket or not. Newer: WithTLSConfig, or
// WithEndpoint.
func WithTSLConfig(certificate, key string) Option {
	return func(o *cluster.Options) {
		o.TSLCertificate, o.TSLKey = certificate, key
		if certificate == "" || key == "" {
			complain(o, "WithTSLConfig: TLS needs both files: certificate %q, key %q", certificate, key)
		}
	}
}

// WithCheckOriginFunc decides from the upgrade request which pages may connect by WebSocket. Default: all. Newer:
// WithAllowedOrigins, WithSameOrigin.
func WithCheckOriginFunc(fn func(*http.Request) bool) Option {
	return func(o *cluster.Options) { o.CheckOrigin = fn }
}

// WithHandshakeValidator sets a validator that sees the session and the payload. Its error refuses the client with
// code 500. Newer: WithHandshake.
func WithHandshakeValidator(fn func(*session.Session, []byte) error) Option {
	return func(o *cluster.Options) { o.Validate = fn }
}

// WithLogger sets a logger for the node: any value with the three methods. Only Println is called. Default: log/slog.
// Newer: WithSlog.
func WithLogger(l cluster.Logger) Option {
	return func(o *cluster.Options) { o.Logger = l }
}

// WithTimerPrecision sets how often the conditions of scheduler.NewCondTimer are checked; at least 1 ms. Default:
// 1 s. Timers with an interval are precise to 1 ms whatever it is, so nothing newer is needed.
func WithTimerPrecision(precision time.Duration) Option {
	return func(o *cluster.Options) {
		if precision < time.Millisecond {
			complain(o, "WithTimerPrecision: %v is less than a millisecond", precision)
			return
		}
		o.TimerPrecision = precision
	}
}

// WithNodeId makes session ids bear a node id, so that those of several nodes differ; at most service.MaxNodeID.
// Default: none on a single node; in a cluster, one that the master leases to the node.
func WithNodeId(nodeId uint64) Option {
	return func(o *cluster.Options) { o.NodeID = nodeId }
}

// WithClientAddr sets the address at which clients connect to a node of a cluster. Default: none; on a single node,
// the address of Listen or New.
func WithClientAddr(addr string) Option {
	return func(o *cluster.Options) { o.ClientAddr = addr }
}

// WithMaster makes the node the one that keeps the member list. Default: it is not.
func WithMaster() Option {
	return func(o *cluster.Options) { o.IsMaster = true }
}

// WithAdvertiseAddr makes the node join the master whose service address this is, and sets the time between
// attempts (default 3 s).
func WithAdvertiseAddr(addr string, retryInterval ...time.Duration) Option {
	return func(o *cluster.Options) {
		o.AdvertiseAddr = addr
		if len(retryInterval) > 0 {
			o.RetryInterval = retryInterval[0]
		}
	}
}

// WithLabel sets the application's word for the node, which routing functions see. Default: none.
func WithLabel(label string) Option {
	return func(o *cluster.Options) { o.Label = label }
}

// WithGrpcOptions adds options for connections to other nodes; it may be used more than once. An interceptor of streams
// must not wait in SendMsg: schedulers may be what calls it. Default: none.
func WithGrpcOptions(opts ...grpc.DialOption) Option {
	return func(o *cluster.Options) { o.GrpcOptions = append(o.GrpcOptions, opts...) }
}

// WithCustomerRemoteServiceRoute sets the function that chooses the node for a session's messages. Default: sticky,
// a random one at first.
func WithCustomerRemoteServiceRoute(route cluster.CustomerRemoteServiceRoute) Option {
	return func(o *cluster.Options) { o.RemoteServiceRoute = route }
}

// WithUnregisterCallback sets what the master calls when a member has left.
func WithUnregisterCallback(fn func(member cluster.Member)) Option {
	return func(o *cluster.Options) { o.UnregisterCallback = fn }
}
