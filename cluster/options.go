package cluster

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/log"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// What an Options that says nothing means.
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

// Logger is v0.5's logger, which programs pass to nano.WithLogger. Only Println is ever called, from
// any goroutine: a library does not end its process. The two Fatal methods are there because v0.5's
// programs have them.
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
	Path      string // of the WebSocket; one that ends in "/" is a subtree; empty is "/", every path that is no page

	TLS               *tls.Config // not nil: TLS
	CertFile, KeyFile string      // PEM files, another way to ask for TLS
}

// Options is what a node is made of. Functions of package nano fill it in; the zero value of each field is the
// default that its comment tells. Startup checks it once; changing it later does nothing.
type Options struct {
	Pipeline           pipeline.Pipeline          // filters; nil: none
	IsMaster           bool                       // keeps the member list
	AdvertiseAddr      string                     // the master's service address
	RetryInterval      time.Duration              // between attempts to reach the master; 0: 3 s
	ClientAddr         string                     // where clients connect; "": nowhere but at Endpoints
	Components         *component.Components      // what the application runs
	Label              string                     // the application's word for this node
	IsWebsocket        bool                       // of ClientAddr
	TSLCertificate     string                     // of ClientAddr, PEM file
	TSLKey             string                     // of ClientAddr, PEM file
	UnregisterCallback func(Member)               // called on the master when a member has left
	RemoteServiceRoute CustomerRemoteServiceRoute // chooses nodes; nil: sticky

	TLS              *tls.Config                          // of ClientAddr; nil: none, or the files above
	Endpoints        []Endpoint                           // beside ClientAddr
	WSPath           string                               // of ClientAddr; "": "/"
	Subprotocols     []string                             // of WebSockets, the preferred first; nil: none is agreed
	CheckOrigin      func(*http.Request) bool             // nil: every origin may connect, as in v0.5
	Pages            http.Handler                         // beside WebSockets; nil: http.DefaultServeMux
	TrustedProxies   []string                             // IP addresses, prefixes, "unix": whose word on a client's address is taken
	ProxyProtocol    bool                                 // trusted proxies send a PROXY header
	Serializer       serialize.Serializer                 // nil: protobuf, as in v0.5
	Dictionary       map[string]uint16                    // routes that are compressed
	Heartbeat        time.Duration                        // 0: 30 s
	MissedHeartbeats int                                  // intervals without a sign of life after which a client is gone; 0: 3
	MaxPacket        int                                  // bytes of a packet's body from a client; 0: 64 KiB
	MaxConnections   int                                  // of clients and browsers; 0: no cap
	MaxHeader        int                                  // bytes of an HTTP request's header; 0: 16 KiB
	HandshakeTimeout time.Duration                        // 0: 10 s
	WriteTimeout     time.Duration                        // how long a slow client may stand still; 0: 10 s
	FlushTimeout     time.Duration                        // for what was queued before a close; 0: 5 s
	ShutdownTimeout  time.Duration                        // of Shutdown; 0: 15 s
	SendQueue        int                                  // bytes queued for one session; 0: 4 MiB
	SlowConsumer     session.SlowPolicy                   // session.SlowKick
	WriteDelay       time.Duration                        // how long output waits for more to go with it; 0: not
	GzipMin          int                                  // pack payloads of so many bytes for clients that accept it; 0: never
	Validate         func(*session.Session, []byte) error // v0.5's validator
	Handshake        func(*session.Session, *session.Handshake) error
	BindPolicy       session.BindPolicy                                    // session.BindKeepBoth
	ErrorsToAll      bool                                                  // error responses also to clients that did not ask for them
	ErrorShape       func(s *session.Session, route string, err error) any // nil: code and error
	SlowHandler      time.Duration                                         // after which a running handler is reported; 0: 1 s, negative: never
	Unanswered       time.Duration                                         // after which a request without an answer is reported; 0: 10 s, negative: never
	TimerPrecision   time.Duration                                         // how often conditions of timers are checked; 0: 1 s
	NodeID           uint64                                                // part of session ids; 0: none
	Debug            bool                                                  // log every message
	Routing          Routing                                               // chooses nodes; nil: random
	Forwarded        []string                                              // keys of session values that backends see
	Keeper           keeper.Keeper                                         // keeps the member list in the place of a master; nil: a master does
	SessionCalls     int                                                   // handlers of one session that wait in a Call at a time; 0: 256
	WaitingCalls     int                                                   // handlers that wait in a Call on one scheduler; 0: 16,384
	SendQueues       int                                                   // bytes queued for all sessions; 0: 1 GiB
	Limits           Limits                                                // of messages and connections; zero: none
	LinkQueue        int                                                   // bytes that wait for another node; 0: 64 MiB
	MaxLoss          float64                                               // share of its nodes that the master drops at once; 0: half, 1: all

	ServiceListener net.Listener // used instead of listening on the service address; the node closes it
	ClusterTLS      *tls.Config  // between nodes; its Certificates serve both directions, ClientCAs and ClientAuth make it mutual
	ClusterToken    string       // shared by all nodes
	GrpcOptions     []grpc.DialOption

	Logger      Logger               // v0.5's logger
	Slog        *slog.Logger         // nil: Logger if there is one, else slog.Default
	Scheduler   *scheduler.Scheduler // nil: scheduler.Default
	Lifetime    *session.Lifetimes   // nil: session.Lifetime
	Connections service.Connection   // nil: service.Connections

	OwnScheduler bool        // Scheduler was made for this node, which configures, runs and ends it
	Signals      []os.Signal // end nano.App.Run; the node itself does not listen to signals

	// Err is an option's complaint; Startup returns it.
	Err error
}

// EndTimeout returns how long a shutdown may take.
func (o *Options) EndTimeout() time.Duration {
	return cmp.Or(o.ShutdownTimeout, DefaultShutdownTimeout)
}

// Log returns what the node logs to.
func (o *Options) Log() *slog.Logger { return o.logger() }

// logger returns what the node logs to.
func (o *Options) logger() *slog.Logger {
	switch {
	case o.Slog != nil:
		return o.Slog
	case o.Logger != nil:
		level := slog.LevelInfo
		if o.Debug {
			level = slog.LevelDebug
		}
		return log.New(o.Logger, level)
	}
	return slog.Default()
}

// check returns everything that is wrong with the options.
func (o *Options) check() error {
	errs := []error{o.Err}
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"Heartbeat", o.Heartbeat}, {"HandshakeTimeout", o.HandshakeTimeout}, {"WriteTimeout", o.WriteTimeout},
		{"FlushTimeout", o.FlushTimeout}, {"ShutdownTimeout", o.ShutdownTimeout}, {"WriteDelay", o.WriteDelay},
		{"RetryInterval", o.RetryInterval}, {"TimerPrecision", o.TimerPrecision},
	} {
		if d.d < 0 {
			bad("%s is %v: it cannot be negative", d.name, d.d)
		}
	}
	for _, n := range []struct {
		name string
		n    int
	}{{"MaxPacket", o.MaxPacket}, {"MaxConnections", o.MaxConnections}, {"SendQueue", o.SendQueue}, {"GzipMin", o.GzipMin}, {"LinkQueue", o.LinkQueue},
		{"MissedHeartbeats", o.MissedHeartbeats}, {"SessionCalls", o.SessionCalls}, {"WaitingCalls", o.WaitingCalls},
		{"MaxHeader", o.MaxHeader}, {"SendQueues", o.SendQueues}} {
		if n.n < 0 {
			bad("%s is %d: it cannot be negative", n.name, n.n)
		}
	}
	if l := o.Limits; l.Messages < 0 || l.MessageBurst < 0 || l.PerAddress < 0 || l.Accepts < 0 || l.AcceptBurst < 0 || l.Handshakes < 0 {
		bad("Limits is %+v: none of it can be negative", l)
	}
	if o.Limits.AcceptPolicy == LimitKick || o.Limits.HandshakePolicy == LimitKick {
		bad("LimitKick is for messages: a connection that is over a limit has no session yet; use LimitDrop")
	}
	if o.MaxPacket > 1<<24-1 {
		bad("MaxPacket is %d: the length field of a packet holds at most %d", o.MaxPacket, 1<<24-1)
	}
	if o.TimerPrecision > 0 && o.TimerPrecision < time.Millisecond {
		bad("the timer precision is %v: it cannot be less than a millisecond", o.TimerPrecision)
	}
	if (o.TSLCertificate == "") != (o.TSLKey == "") {
		bad("TLS needs both files: certificate %q, key %q", o.TSLCertificate, o.TSLKey)
	}
	o.checkEndpoints(bad)
	for _, name := range o.Subprotocols {
		if !isToken(name) {
			bad("the subprotocol %q is no token of letters, digits and !#$%%&'*+-.^_`|~", name)
		}
	}
	if o.NodeID > service.MaxNodeID {
		bad("the node id is %d: the largest is %d", o.NodeID, service.MaxNodeID)
	}
	if o.ProxyProtocol && len(o.TrustedProxies) == 0 {
		bad("the PROXY protocol is on, but no proxy is trusted: name them with WithTrustedProxies")
	}
	if o.Validate != nil && o.Handshake != nil {
		bad("WithHandshakeValidator and WithHandshake are both set: keep one")
	}
	if !o.clustered() && (o.ServiceListener != nil || o.ClusterTLS != nil || o.ClusterToken != "") {
		bad("a listener, TLS or token for other nodes is set, but the node is in no cluster (WithMaster, WithAdvertiseAddr, WithKeeper)")
	}
	if o.Keeper != nil && (o.IsMaster || o.AdvertiseAddr != "") {
		bad("WithKeeper is set, and a master, too (WithMaster, WithAdvertiseAddr): keep one")
	}
	if o.MaxLoss < 0 || o.MaxLoss > 1 || math.IsNaN(o.MaxLoss) {
		bad("MaxLoss is %v: it is a share, from 0 to 1", o.MaxLoss)
	}
	if o.Routing != nil && o.RemoteServiceRoute != nil {
		bad("WithRouting and WithCustomerRemoteServiceRoute are both set: keep one")
	}
	return errors.Join(errs...)
}

// checkEndpoints tells bad of fields that say nothing where they stand.
func (o *Options) checkEndpoints(bad func(format string, a ...any)) {
	if o.ClientAddr == "" {
		for _, f := range []struct {
			set           bool
			field, option string
			of            string // of an endpoint, what says the same; "" for what v0.5 ignored
		}{
			{o.TLS != nil, "TLS", "WithTLSConfig", "TLS"},
			{o.TSLCertificate != "", "TSLCertificate", "WithTSLConfig", "CertFile and KeyFile"},
			{o.IsWebsocket && len(o.Endpoints) > 0, "IsWebsocket", "WithIsWebsocket", "WebSocket"},
			{o.WSPath != "" && len(o.Endpoints) > 0, "WSPath", "WithWSPath", "Path"},
		} {
			switch {
			case f.set && len(o.Endpoints) > 0:
				bad("%s (%s) is set, and holds for the client address, which there is none beside the endpoints: set %s of the Endpoint", f.field, f.option, f.of)
			case f.set:
				bad("%s (%s) is set, but no address for clients that it could serve", f.field, f.option)
			}
		}
	}
	for i, e := range o.Endpoints {
		if e.Path != "" && !e.WebSocket {
			bad("endpoint %d (%s) has the Path %q, but takes no WebSockets: set WebSocket, too", i, e.where(), e.Path)
		}
		if (e.CertFile == "") != (e.KeyFile == "") {
			bad("endpoint %d (%s) needs both files for TLS: CertFile %q, KeyFile %q", i, e.where(), e.CertFile, e.KeyFile)
		}
	}
}

// isToken tells whether s may stand in a list of an HTTP header.
func isToken(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c) {
			return false
		}
	}
	return s != ""
}

// clustered tells whether the node is one of several.
func (o *Options) clustered() bool { return o.IsMaster || o.AdvertiseAddr != "" || o.Keeper != nil }

// gateConfig fills in what the client side of the node needs; the callbacks are the node's.
func (o *Options) gateConfig() (gate.Config, error) {
	dict, err := codec.NewDictionary(o.Dictionary)
	if err != nil {
		return gate.Config{}, err
	}
	trusted, err := prefixes(o.TrustedProxies)
	if err != nil {
		return gate.Config{}, err
	}
	cfg := gate.Config{
		MaxPacket:        cmp.Or(o.MaxPacket, codec.DefaultMaxPacket),
		MaxConns:         o.MaxConnections,
		MaxHeader:        cmp.Or(o.MaxHeader, DefaultMaxHeader),
		Subprotocols:     o.Subprotocols,
		Heartbeat:        cmp.Or(o.Heartbeat, DefaultHeartbeat),
		MissedBeats:      cmp.Or(o.MissedHeartbeats, DefaultMissedHeartbeats),
		HandshakeTimeout: cmp.Or(o.HandshakeTimeout, DefaultHandshakeTimeout),
		WriteTimeout:     cmp.Or(o.WriteTimeout, DefaultWriteTimeout),
		FlushTimeout:     cmp.Or(o.FlushTimeout, DefaultFlushTimeout),
		WriteDelay:       o.WriteDelay,
		SendQueue:        cmp.Or(o.SendQueue, DefaultSendQueue),
		SendQueues:       cmp.Or(o.SendQueues, DefaultSendQueues),
		DropSlow:         o.SlowConsumer == session.SlowDrop,
		ErrorsToAll:      o.ErrorsToAll,
		GzipMin:          o.GzipMin,
		Debug:            o.Debug,
		Dictionary:       dict,
		Serializer:       o.Serializer,
		Pipeline:         o.Pipeline,
		Handshake:        o.Handshake,
		CheckOrigin:      o.CheckOrigin,
		Pages:            o.Pages,
		Trusted:          trusted,
		TrustUnix:        slices.Contains(o.TrustedProxies, unixProxy),
		ProxyProtocol:    o.ProxyProtocol,
		Limits:           o.Limits.gate(),
	}
	if cfg.Serializer == nil {
		cfg.Serializer = protobuf.NewSerializer()
	}
	if cfg.Pages == nil {
		cfg.Pages = http.DefaultServeMux
	}
	if v := o.Validate; v != nil {
		cfg.Handshake = func(s *session.Session, h *session.Handshake) error { return v(s, h.Payload) }
	}
	return cfg, nil
}

// unixProxy stands for who connects to a Unix socket, among the trusted proxies.
const unixProxy = "unix"

// prefixes reads IP addresses and prefixes.
func prefixes(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		if s == unixProxy {
			continue
		}
		if a, err := netip.ParseAddr(s); err == nil {
			a = a.Unmap()
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q is neither an IP address nor a prefix such as 10.0.0.0/8, nor %q", s, unixProxy)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
