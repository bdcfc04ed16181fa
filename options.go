package nano

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// Endpoint is an address, or a listener of the application's, at which a node takes clients.
type Endpoint = cluster.Endpoint

// Handshake is what a validator sees of a client's handshake, and what it can add to the answer.
type Handshake = session.Handshake

// The policies of WithBindPolicy.
const (
	BindKeepBoth  = session.BindKeepBoth  // both sessions stay, as in v0.5: the default
	BindKickOld   = session.BindKickOld   // the old session is kicked with the reason "signed in elsewhere"
	BindRefuseNew = session.BindRefuseNew // the new session's Bind returns session.ErrUIDTaken
)

// The policies of WithSlowConsumer.
const (
	SlowKick = session.SlowKick // the session is kicked with the reason "slow consumer": the default
	SlowDrop = session.SlowDrop // what does not fit is dropped and counted; Push returns cluster.ErrBufferExceed
)

// complain keeps an error for the start of the node, which returns it.
func complain(o *cluster.Options, format string, a ...any) {
	err := fmt.Errorf(format, a...)
	if o.Err != nil {
		err = fmt.Errorf("%w\n%w", o.Err, err)
	}
	o.Err = err
}

// WithEndpoint adds an address or a listener for clients: TCP or WebSocket, with or without TLS. It may be used
// more than once. With it the service address takes no clients on a single node.
func WithEndpoint(e Endpoint) Option {
	return func(o *cluster.Options) { o.Endpoints = append(slices.Clip(o.Endpoints), e) }
}

// WithHTTPHandler sets the pages that are served beside WebSockets. On a WebSocket's path that ends in "/", as on "/", which is
// the default, a request is for a page where an http.ServeMux has a longer pattern for it. Any other handler gets all that does
// not ask for a WebSocket, and, where the path is "/", all but that one. Default: nothing with New, http.DefaultServeMux with
// Listen.
func WithHTTPHandler(h http.Handler) Option {
	return func(o *cluster.Options) { o.Pages = h }
}

// WithAllowedOrigins lets pages of these origins connect by WebSocket ("https://example.com", scheme and port
// included where it is not the usual one), and pages of the node's own host; "*" lets all. Requests without an
// Origin header are no browser's and pass. Default: all, as in v0.5.
func WithAllowedOrigins(origins ...string) Option {
	return func(o *cluster.Options) {
		var allowed []*url.URL
		for _, origin := range origins {
			u, err := url.Parse(origin)
			if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
				complain(o, "WithAllowedOrigins: %q is no origin such as https://example.com", origin)
				continue
			}
			allowed = append(allowed, u)
		}
		o.CheckOrigin = func(r *http.Request) bool {
			origin := r.Header.Get("Origin")
			if origin == "" || slices.Contains(origins, "*") {
				return true
			}
			u, err := url.Parse(origin)
			if err != nil || u.Host == "" {
				return false
			}
			own := &url.URL{Scheme: u.Scheme, Host: r.Host} // browsers leave the usual port out of it; proxies may add it
			return sameOrigin(u, own) || slices.ContainsFunc(allowed, func(a *url.URL) bool { return sameOrigin(u, a) })
		}
	}
}

// sameOrigin compares scheme, host and port; no port is the usual one of the scheme.
func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		switch p := u.Port(); {
		case p != "":
			return p
		case strings.EqualFold(u.Scheme, "https"):
			return "443"
		case strings.EqualFold(u.Scheme, "http"):
			return "80"
		}
		return ""
	}
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// WithSameOrigin lets only pages of the node's own host connect by WebSocket, and clients that are no browsers.
func WithSameOrigin() Option { return WithAllowedOrigins() }

// WithSubprotocols names the WebSocket subprotocols (Sec-WebSocket-Protocol) that the node speaks, the preferred first. A
// client that offers some of them is told the first; the validator of handshakes sees what it has offered in the request's
// header. Default: none is agreed; browsers then end a connection for which their page has named one.
func WithSubprotocols(names ...string) Option {
	return func(o *cluster.Options) { o.Subprotocols = slices.Clone(names) }
}

// WithTLSConfig serves the client address with TLS, WebSocket or not. Endpoints have a TLS of their own.
func WithTLSConfig(conf *tls.Config) Option {
	return func(o *cluster.Options) { o.TLS = conf }
}

// WithTrustedProxies names the proxies, by IP address or prefix, whose word on a client's address is taken: the
// X-Forwarded-For header, and PROXY headers with WithProxyProtocol. "unix" trusts who connects to an Endpoint whose
// Listener is a Unix socket. Default: none.
func WithTrustedProxies(addrs ...string) Option {
	return func(o *cluster.Options) { o.TrustedProxies = append(slices.Clip(o.TrustedProxies), addrs...) }
}

// WithProxyProtocol has connections from trusted proxies begin with a PROXY header (version 1 or 2). One without
// is taken as it is.
func WithProxyProtocol() Option {
	return func(o *cluster.Options) { o.ProxyProtocol = true }
}

// WithHandshake sets the validator of handshakes. It sees the session, the payload and, on WebSockets, the HTTP
// request; it may keep values in the session, bind it, and add to the answer. An error refuses the client: Refuse
// says with which code and reason, any other error is code 500. It runs on the connection's goroutine, so it may
// wait for a database; the handshake timeout goes on.
func WithHandshake(fn func(s *session.Session, h *Handshake) error) Option {
	return func(o *cluster.Options) { o.Handshake = fn }
}

// WithBindPolicy says what Bind does when another session has the user. Default: BindKeepBoth.
func WithBindPolicy(p session.BindPolicy) Option {
	return func(o *cluster.Options) { o.BindPolicy = p }
}

// WithErrorResponses sends error responses to all clients, whether or not their handshake said that they understand
// them. Default: only to those.
func WithErrorResponses(all bool) Option {
	return func(o *cluster.Options) { o.ErrorsToAll = all }
}

// WithErrorShape makes the payload of error responses. Default: {"code","error"} of a component.Error, and
// code "internal" without the text for all others. fn runs where the request failed: on the scheduler, on a
// connection's goroutine, or on that of who calls Session.FailMID, where route is "".
func WithErrorShape(fn func(s *session.Session, route string, err error) any) Option {
	return func(o *cluster.Options) { o.ErrorShape = fn }
}

// WithMaxPacket sets how many bytes the body of a client's packet may have, at most 16,777,215; also what a gzip payload
// may unpack to. Clients that send sys.accept are told in the handshake's answer. Default: 65,536.
func WithMaxPacket(bytes int) Option {
	return func(o *cluster.Options) { o.MaxPacket = bytes }
}

// WithMaxConnections caps the connections that are open at one time at all addresses for clients, from the moment they are
// accepted: clients, also before their handshake, and browsers that load pages. More are closed at once. Default: no cap.
func WithMaxConnections(n int) Option {
	return func(o *cluster.Options) { o.MaxConnections = n }
}

// WithMaxHeader sets how many bytes the header of an HTTP request may have, that of a WebSocket's upgrade too. A longer one
// is answered with status 431. Default: 16,384.
func WithMaxHeader(bytes int) Option {
	return func(o *cluster.Options) { o.MaxHeader = bytes }
}

// WithHandshakeTimeout sets the time from a connection's begin to the end of its handshake; also that for the header of an
// HTTP request, and for each 64 KiB of its body. Default: 10 s.
func WithHandshakeTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.HandshakeTimeout = d }
}

// WithWriteTimeout sets how long a client that does not keep up may take nothing before it is cut. It must also
// take 1 KiB a second on average, and 16 KiB a second while more than 256 KiB are queued for it: one that takes
// less uses the time up bit by bit. For one that loads a page it is the time to take it. Default: 10 s.
func WithWriteTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.WriteTimeout = d }
}

// WithFlushTimeout sets the time for what was queued before a Close or Kick. Default: 5 s.
func WithFlushTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.FlushTimeout = d }
}

// WithShutdownTimeout sets the time in which Run and Listen shut down. Default: 15 s.
func WithShutdownTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.ShutdownTimeout = d }
}

// WithSendQueue sets how many bytes may be queued for one session. Default: 4 MiB.
func WithSendQueue(bytes int) Option {
	return func(o *cluster.Options) { o.SendQueue = bytes }
}

// WithSlowConsumer says what happens to a session whose queue is full. Default: SlowKick.
func WithSlowConsumer(p session.SlowPolicy) Option {
	return func(o *cluster.Options) { o.SlowConsumer = p }
}

// WithWriteDelay lets output wait for up to d, so that more of it goes in one write; a few milliseconds are sensible.
// WebSocket clients that accept it ("batch") get several packets in one message then. Default: 0, written at once.
func WithWriteDelay(d time.Duration) Option {
	return func(o *cluster.Options) { o.WriteDelay = d }
}

// WithGzip packs payloads of at least so many bytes for clients that accept it, where that makes them smaller.
// Default: 0, never.
func WithGzip(atLeast int) Option {
	return func(o *cluster.Options) { o.GzipMin = atLeast }
}

// WithSlowHandler sets the time after which a handler that is still running is logged, with its route and stack.
// Default: 1 s; negative: never.
func WithSlowHandler(d time.Duration) Option {
	return func(o *cluster.Options) { o.SlowHandler = d }
}

// WithUnanswered sets the time after which a request is logged whose handler has returned without an answer, if nobody has
// answered it since. Each route is logged once. Default: 10 s; negative: never.
func WithUnanswered(d time.Duration) Option {
	return func(o *cluster.Options) { o.Unanswered = d }
}

// WithSlog sets the logger. Default: slog.Default.
func WithSlog(l *slog.Logger) Option {
	return func(o *cluster.Options) { o.Slog = l }
}

// WithSignals has Run end on these signals; without arguments, on SIGINT and SIGTERM. Default: none; Listen always
// listens.
func WithSignals(signals ...os.Signal) Option {
	if len(signals) == 0 {
		signals = []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	}
	return func(o *cluster.Options) { o.Signals = signals }
}

// WithScheduler sets the scheduler that runs the handlers. It stays as it is configured; if it does not run yet, it
// is started with the node. Its end is the caller's, after the node's. Default: one of the node's own with New,
// scheduler.Default with Listen.
func WithScheduler(s *scheduler.Scheduler) Option {
	return func(o *cluster.Options) { o.Scheduler = s }
}

// WithLifetime sets whose hooks are told of the sessions. Default: the application's own with New (see App.Lifetime),
// session.Lifetime with Listen.
func WithLifetime(l *session.Lifetimes) Option {
	return func(o *cluster.Options) { o.Lifetime = l }
}

// WithProcessDefaults uses the default instances of v0.5 with New, as Listen does: scheduler.Default,
// session.Lifetime, service.Connections and http.DefaultServeMux. It is for moving a program from Listen to New
// step by step. One application at a time can use them.
func WithProcessDefaults() Option {
	return func(o *cluster.Options) {
		o.Scheduler, o.Lifetime = scheduler.Default(), session.Lifetime
		o.Connections = service.Connections
		if o.Pages == nil {
			o.Pages = http.DefaultServeMux
		}
	}
}

// WithPipeline sets the filters of inbound and outbound messages. Default: none.
func WithPipeline(pipeline pipeline.Pipeline) Option {
	return func(o *cluster.Options) { o.Pipeline = pipeline }
}

// WithSerializer sets the format of payloads. Default: protobuf.
func WithSerializer(serializer serialize.Serializer) Option {
	return func(o *cluster.Options) { o.Serializer = serializer }
}

// WithDictionary sets routes that are sent as two bytes; clients learn them from the handshake. Used again, it adds
// routes. Default: none.
func WithDictionary(dict map[string]uint16) Option {
	return func(o *cluster.Options) {
		if o.Dictionary == nil {
			o.Dictionary = make(map[string]uint16, len(dict))
		}
		for route, code := range dict {
			o.Dictionary[route] = code
		}
	}
}

// WithHeartbeatInterval sets the interval of heartbeats. Clients are told it in whole seconds, rounded up. A client that
// sends nothing for three of the intervals that it was told is gone; see WithMissedHeartbeats. It must be positive.
// Default: 30 s.
func WithHeartbeatInterval(d time.Duration) Option {
	return func(o *cluster.Options) {
		if d <= 0 {
			complain(o, "WithHeartbeatInterval: %v is not positive", d)
			return
		}
		o.Heartbeat = d
	}
}

// WithMissedHeartbeats sets how many heartbeat intervals, in the whole seconds that clients are told, may pass without a
// sign of life before a client is gone. Idle clients of v0.5 and pomelo answer a heartbeat one interval after it came, so
// their first sign of life comes two intervals and a round trip after the handshake: 1 and 2 are for other clients only.
// Default: 3.
func WithMissedHeartbeats(n int) Option {
	return func(o *cluster.Options) { o.MissedHeartbeats = n }
}

// WithDebugMode logs every message. Default: off.
func WithDebugMode() Option {
	return func(o *cluster.Options) { o.Debug = true }
}
