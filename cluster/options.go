package cluster

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// The defaults of a node: what zero in the field of Options means.
const (
	DefaultHeartbeat        = 30 * time.Second
	DefaultMissedHeartbeats = 3
	DefaultMaxHeader        = 16 << 10 // bytes
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultWriteTimeout     = 10 * time.Second
	DefaultFlushTimeout     = 5 * time.Second
	DefaultShutdownTimeout  = 15 * time.Second
	DefaultSendQueue        = 4 << 20 // bytes
	DefaultSlowHandler      = time.Second
	DefaultUnanswered       = 10 * time.Second
	DefaultRetryInterval    = 3 * time.Second
	DefaultSessionCalls     = 256
	DefaultSendQueues       = 1 << 30 // bytes
)

// Logger is v0.5's logger, which programs pass to nano.WithLogger. Only Println is ever called,
// from any goroutine: a library does not end its process. The two Fatal methods are there because
// v0.5's programs have them.
type Logger interface {
	Println(v ...any)
	Fatal(v ...any)
	Fatalf(format string, v ...any)
}

// Endpoint is an address at which a node takes clients.
type Endpoint struct {
	Addr     string       // host:port; port 0 chooses one. Empty if there is a Listener.
	Listener net.Listener // used instead of Addr; the node closes it

	WebSocket bool   // else the protocol on plain TCP
	Path      string // of the WebSocket; a trailing "/" is a subtree; "" is "/", every path that is no page

	TLS               *tls.Config // not nil: TLS
	CertFile, KeyFile string      // PEM files, another way to ask for TLS
}

// Options is what a node is made of. Package nano documents the options: the comment beside each
// field names the function that sets it, and the function's comment says what it does, its unit,
// where it applies, and the default, which the zero value stands for. Fields without such a
// function say it here.
//
// Startup checks the options and copies them; a change after that has no effect.
type Options struct {
	// Clients: where they connect, and what the node asks of them.

	ClientAddr       string                                           // WithClientAddr
	Endpoints        []Endpoint                                       // WithEndpoint
	IsWebsocket      bool                                             // WithIsWebsocket
	WSPath           string                                           // WithWSPath
	TLS              *tls.Config                                      // WithTLSConfig
	TSLCertificate   string                                           // WithTSLConfig
	TSLKey           string                                           // WithTSLConfig
	Subprotocols     []string                                         // WithSubprotocols
	CheckOrigin      func(*http.Request) bool                         // WithCheckOriginFunc, WithAllowedOrigins
	Pages            http.Handler                                     // WithHTTPHandler
	Transport        Transport                                        // WithTransport
	TrustedProxies   []string                                         // WithTrustedProxies
	ProxyProtocol    bool                                             // WithProxyProtocol
	Handshake        func(*session.Session, *session.Handshake) error // WithHandshake
	Validate         func(*session.Session, []byte) error             // WithHandshakeValidator
	HandshakeTimeout time.Duration                                    // WithHandshakeTimeout
	Heartbeat        time.Duration                                    // WithHeartbeatInterval
	MissedHeartbeats int                                              // WithMissedHeartbeats
	MaxPacket        int                                              // WithMaxPacket
	MaxHeader        int                                              // WithMaxHeader
	MaxConnections   int                                              // WithMaxConnections
	// WithMessageRate, WithConnectionsPerAddress, WithAcceptRate, WithConcurrentHandshakes
	Limits       Limits
	WriteTimeout time.Duration                                         // WithWriteTimeout
	WriteDelay   time.Duration                                         // WithWriteDelay
	NoDelay      []string                                              // WithNoDelay
	Deliveries   map[string]session.Delivery                           // WithDelivery
	FlushTimeout time.Duration                                         // WithFlushTimeout
	SendQueue    int                                                   // WithSendQueue
	SendQueues   int                                                   // WithSendQueues
	SlowConsumer session.SlowPolicy                                    // WithSlowConsumer
	CompressMin  int                                                   // WithCompression
	GzipMin      int                                                   // WithGzip
	ErrorsToAll  bool                                                  // WithErrorResponses
	Resume       *Resume                                               // WithResume; nil: sessions end with their connections
	ErrorShape   func(s *session.Session, route string, err error) any // WithErrorShape

	// Application: what the node runs, and how.

	Components      *component.Components // WithComponents
	Pipeline        pipeline.Pipeline     // WithPipeline
	ForwardFilter   pipeline.Func         // WithForwardFilter
	Serializer      serialize.Serializer  // WithSerializer
	Dictionary      map[string]uint16     // WithDictionary
	Scheduler       *scheduler.Scheduler  // WithScheduler
	Lifetime        *session.Lifetimes    // WithLifetime
	BindPolicy      session.BindPolicy    // WithBindPolicy
	SessionCalls    int                   // WithSessionCalls
	WaitingCalls    int                   // WithWaitingCalls
	SlowHandler     time.Duration         // WithSlowHandler
	Unanswered      time.Duration         // WithUnanswered
	TimerPrecision  time.Duration         // WithTimerPrecision
	ShutdownTimeout time.Duration         // WithShutdownTimeout
	Signals         []os.Signal           // WithSignals; the node itself does not listen to signals
	Drain           *Drain                // WithDrain; nil: no signal drains
	Slog            *slog.Logger          // WithSlog
	Logger          Logger                // WithLogger
	Debug           bool                  // WithDebugMode
	Tracer          tracing.Tracer        // WithTracer

	// Cluster: the other nodes.

	IsMaster           bool                       // WithMaster
	AdvertiseAddr      string                     // WithAdvertiseAddr
	RetryInterval      time.Duration              // WithAdvertiseAddr
	Keeper             keeper.Keeper              // WithKeeper
	NodeID             uint64                     // WithNodeId
	Label              string                     // WithLabel
	ServiceListener    net.Listener               // WithServiceListener
	ClusterTLS         *tls.Config                // WithClusterTLS
	ClusterToken       string                     // WithClusterToken
	GrpcOptions        []grpc.DialOption          // WithGrpcOptions
	Routing            Routing                    // WithRouting
	RemoteServiceRoute CustomerRemoteServiceRoute // WithCustomerRemoteServiceRoute
	Forwarded          []string                   // WithForwardedValues
	LinkQueue          int                        // WithLinkQueue
	MaxLoss            float64                    // WithMaxLoss
	UnregisterCallback func(Member)               // WithUnregisterCallback

	// Connections counts the sessions of the node, and makes their ids. Nil: service.Connections,
	// the process's default instance.
	Connections service.Connection
	// Answer answers what nodes ask with [Node.Ask]. It is called on goroutines of its own, at most
	// 16 at a time for other nodes, and is to return when ctx ends. nano.New sets it. Nil: the node
	// answers nothing.
	Answer func(ctx context.Context, what string, data []byte) ([]byte, error)
	// OwnScheduler says that Scheduler was made for this node, which configures, runs and ends it.
	OwnScheduler bool
	// Err holds the errors of arguments that no field could keep. Startup returns it.
	Err error
}
