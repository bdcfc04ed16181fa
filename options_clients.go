package nano

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/session"
)

// Endpoint is an address, or a listener of the application's, at which a node takes clients.
type Endpoint = cluster.Endpoint

// Handshake is what a validator sees of a client's handshake, and what it can add to the answer.
type Handshake = session.Handshake

// The policies of [WithSlowConsumer].
const (
	SlowKick = session.SlowKick // the session is kicked with the reason "slow consumer": the default
	SlowDrop = session.SlowDrop // the message is dropped and counted; Push returns cluster.ErrBufferExceed
)

// The policies of [WithMessageRate], [WithAcceptRate] and [WithConcurrentHandshakes], for what is
// over the limit.
const (
	// LimitWait lets it wait: the client is not read, or connections are not accepted.
	LimitWait = cluster.LimitWait
	// LimitDrop drops it: a request is answered with resource_exhausted, a connection is closed.
	LimitDrop = cluster.LimitDrop
	// LimitKick kicks the session with the reason "flood". It is for messages only.
	LimitKick = cluster.LimitKick
)

// The transports of [WithTransport].
const (
	// EventLoop has a few goroutines wait for all clients: the default.
	EventLoop = cluster.EventLoop
	// Portable has a goroutine wait for each client.
	Portable = cluster.Portable
)

// WithTransport sets how the node waits for what its clients send. With [EventLoop], a client that
// says nothing costs no goroutine and no buffer: about 1 KiB. It serves TCP and WebSocket on Linux.
// Clients on TLS, on a Unix socket or with a PROXY header, and all clients on other systems, are
// served as with [Portable]. What the application's code sees is the same. Default: [EventLoop].
func WithTransport(t cluster.Transport) Option {
	return func(o *cluster.Options) { o.Transport = t }
}

// WithClientAddr sets the address (host:port) at which clients connect to a node of a cluster. Port
// 0 chooses a free port. Default: none; on a single node, the address of Listen or New.
func WithClientAddr(addr string) Option {
	return func(o *cluster.Options) { o.ClientAddr = addr }
}

// WithEndpoint adds an address or a listener for clients: TCP or WebSocket, with or without TLS. It
// may be used more than once. With it, the address of Listen or New takes no clients. Default:
// none.
func WithEndpoint(e Endpoint) Option {
	return func(o *cluster.Options) { o.Endpoints = append(slices.Clip(o.Endpoints), e) }
}

// WithIsWebsocket makes the client address take WebSockets instead of plain TCP. Default: TCP.
//
// Deprecated: use [WithEndpoint], which serves both at once.
func WithIsWebsocket(enableWs bool) Option {
	return func(o *cluster.Options) { o.IsWebsocket = enableWs }
}

// WithWSPath sets the path at which the client address takes WebSockets. A path that ends in "/" is
// a subtree. Default: "/", which is every path that is no page.
//
// Deprecated: use [WithEndpoint].
func WithWSPath(path string) Option {
	return func(o *cluster.Options) { o.WSPath = path }
}

// WithTLSConfig encrypts the client address with TLS, for TCP and WebSockets. An [Endpoint] has a
// TLS configuration of its own. Default: no TLS.
func WithTLSConfig(conf *tls.Config) Option {
	return func(o *cluster.Options) { o.TLS = conf }
}

// WithTSLConfig encrypts the client address with TLS, for TCP and WebSockets. It takes the names of
// two PEM files, and both are required. Default: no TLS.
//
// Deprecated: use [WithTLSConfig], or [WithEndpoint].
func WithTSLConfig(certificate, key string) Option {
	return func(o *cluster.Options) {
		o.TSLCertificate, o.TSLKey = certificate, key
		if certificate == "" && key == "" { // in the fields, no TLS
			complain(o, "WithTSLConfig: TLS needs both files: certificate %q, key %q", certificate, key)
		}
	}
}

// WithSubprotocols names the WebSocket subprotocols (Sec-WebSocket-Protocol) that the node speaks,
// the preferred one first. The node answers a client that offers some of them with the first match;
// the validator of [WithHandshake] sees in the request's header what the client offered. Default:
// none is agreed, and a browser then closes a connection for which its page named one.
func WithSubprotocols(names ...string) Option {
	return func(o *cluster.Options) { o.Subprotocols = slices.Clone(names) }
}

// WithAllowedOrigins lets pages of these origins, and of the node's own host, connect by WebSocket.
// An origin is a scheme and a host, with the port where it is not the usual one:
// "https://example.com". "*" lets every page connect. A request without an Origin header comes from
// no browser and passes. Default: every page may connect, as in v0.5.
func WithAllowedOrigins(origins ...string) Option {
	return func(o *cluster.Options) {
		var allowed []*url.URL
		for _, origin := range origins {
			u, err := url.Parse(origin)
			if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
				complain(o, "WithAllowedOrigins: %q is no origin: write a scheme and a host, such as https://example.com", origin)
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
			// Browsers leave the usual port out of Host; proxies may add it.
			own := &url.URL{Scheme: u.Scheme, Host: r.Host}
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

// WithSameOrigin lets only pages of the node's own host connect by WebSocket, and clients that are
// no browsers. Default: every page may connect, as in v0.5.
func WithSameOrigin() Option { return WithAllowedOrigins() }

// WithCheckOriginFunc sets a function that decides from the upgrade request whether a page may
// connect by WebSocket. Default: every page may connect.
//
// Deprecated: use [WithAllowedOrigins] or [WithSameOrigin].
func WithCheckOriginFunc(fn func(*http.Request) bool) Option {
	return func(o *cluster.Options) { o.CheckOrigin = fn }
}

// WithHTTPHandler sets the pages that are served beside WebSockets. If the path of the WebSocket
// ends in "/", as the default path does, an [http.ServeMux] serves a request for which it has a
// longer pattern. Any other handler serves every request that does not ask for a WebSocket, and
// with the path "/" every path but "/". Without TLS, requests may come by HTTP/2 as well, from
// clients that know it beforehand ("h2c"). Default: no pages with New, http.DefaultServeMux with
// Listen.
func WithHTTPHandler(h http.Handler) Option {
	return func(o *cluster.Options) { o.Pages = h }
}

// WithTrustedProxies names the proxies that the node believes when they state a client's address,
// in the X-Forwarded-For header, or in PROXY headers with [WithProxyProtocol]. A proxy is an IP
// address ("10.0.0.1"), a prefix ("10.0.0.0/8"), or "unix" for every connection to an [Endpoint]
// whose Listener is a Unix socket. It may be used more than once. Default: none.
func WithTrustedProxies(addrs ...string) Option {
	return func(o *cluster.Options) { o.TrustedProxies = append(slices.Clip(o.TrustedProxies), addrs...) }
}

// WithProxyProtocol expects a PROXY header (version 1 or 2) at the start of each connection from a
// trusted proxy; see [WithTrustedProxies], which it needs. A connection without the header is
// served as it is. Default: off.
func WithProxyProtocol() Option {
	return func(o *cluster.Options) { o.ProxyProtocol = true }
}

// WithHandshake sets the validator of handshakes. It sees the session, the client's payload and, on
// WebSockets, the HTTP request. It may set values of the session, bind it, and add to the answer.
// An error refuses the client: [Refuse] chooses the code and the reason, any other error is code
// 500. The validators of different clients run beside each other, and one may wait for a database,
// within [WithHandshakeTimeout]: that holds no other client up for more than a few milliseconds.
// Default: every client is accepted.
func WithHandshake(fn func(s *session.Session, h *Handshake) error) Option {
	return func(o *cluster.Options) { o.Handshake = fn }
}

// WithHandshakeValidator sets a validator that sees the session and the payload. Its error refuses
// the client with code 500. It cannot be set together with [WithHandshake]. Default: every client
// is accepted.
//
// Deprecated: use [WithHandshake].
func WithHandshakeValidator(fn func(*session.Session, []byte) error) Option {
	return func(o *cluster.Options) { o.Validate = fn }
}

// WithHandshakeTimeout sets how long each part of a connection's beginning may take: TLS with the
// header of a proxy, the header of an HTTP request, each 64 KiB of its body, and the handshake.
// Default: 10 s.
func WithHandshakeTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.HandshakeTimeout = d }
}

// WithHeartbeatInterval sets the interval of heartbeats, for clients and between nodes. It must be
// positive. Clients are told it in whole seconds, rounded up. A client that sends nothing for three
// of the intervals that it was told is closed; see [WithMissedHeartbeats]. Default: 30 s.
func WithHeartbeatInterval(d time.Duration) Option {
	return func(o *cluster.Options) {
		o.Heartbeat = d
		if d == 0 { // in the field, the default
			complain(o, "WithHeartbeatInterval: 0s is not positive: set a positive interval, or leave the option out for 30 s")
		}
	}
}

// WithMissedHeartbeats sets how many heartbeat intervals, in the whole seconds that clients are
// told, may pass without a sign of life before a client is closed. An idle client of v0.5 or pomelo
// answers a heartbeat one interval after it came. Its first sign of life comes two intervals and a
// round trip after the handshake, so use 1 and 2 for other clients only. Default: 3.
func WithMissedHeartbeats(n int) Option {
	return func(o *cluster.Options) { o.MissedHeartbeats = n }
}

// WithMaxPacket sets how many bytes the body of a client's packet may have, at most 16,777,215. A
// gzip payload may unpack to as many. Clients that send sys.accept are told it in the handshake's
// answer. Default: 65,536.
func WithMaxPacket(bytes int) Option {
	return func(o *cluster.Options) { o.MaxPacket = bytes }
}

// WithMaxHeader sets how many bytes the header of an HTTP request may have, the upgrade to a
// WebSocket included. A longer one is answered with status 431. Less than 4,097 counts as 4,097
// over TLS and for pages: net/http, which reads these, takes as many. Default: 16,384.
func WithMaxHeader(bytes int) Option {
	return func(o *cluster.Options) { o.MaxHeader = bytes }
}

// WithMaxConnections limits the connections that are open at one time, at all addresses for clients
// together. A connection counts from the moment it is accepted: clients count before their
// handshake, and so do browsers that load pages. The node closes every further one at once.
// Default: no limit.
func WithMaxConnections(n int) Option {
	return func(o *cluster.Options) { o.MaxConnections = n }
}

// WithMessageRate limits the requests and notifies of one session to perSecond, after burst
// messages at once. What happens to a message over the limit is p's decision: [LimitWait],
// [LimitDrop] or [LimitKick]. A handshake that the client repeats counts as a message. Stats counts
// those over the limit as LimitedMessages. Default: no limit.
func WithMessageRate(perSecond float64, burst int, p cluster.LimitPolicy) Option {
	return func(o *cluster.Options) {
		o.Limits.Messages, o.Limits.MessageBurst, o.Limits.MessagePolicy = perSecond, burst, p
	}
}

// WithConnectionsPerAddress limits the open connections of one IP address, or of one /64 network of
// IPv6: those of clients, and those of pages and half-open ones too, so a browser needs some six.
// The node closes every further one; Stats counts them as LimitedAddresses. Behind a proxy, name
// the proxy with [WithTrustedProxies]: all clients have its address otherwise. As many sessions of
// one address, and no more, wait for their clients to come back ([WithResume]). Default: no limit.
func WithConnectionsPerAddress(n int) Option {
	return func(o *cluster.Options) { o.Limits.PerAddress = n }
}

// WithAcceptRate limits the connections that the node accepts to perSecond, after burst connections
// at once. With [LimitWait] the node accepts the others later, with [LimitDrop] it closes them.
// Stats counts both as LimitedAccepts. Default: no limit.
func WithAcceptRate(perSecond float64, burst int, p cluster.LimitPolicy) Option {
	return func(o *cluster.Options) {
		o.Limits.Accepts, o.Limits.AcceptBurst, o.Limits.AcceptPolicy = perSecond, burst, p
	}
}

// WithConcurrentHandshakes limits the connections whose handshake is not finished, from the moment
// on which they are accepted: those that have sent half a request count, too. While there are
// n, the node accepts no more with [LimitWait], and closes them with [LimitDrop]. Stats counts both
// as LimitedHandshakes. Default: no limit.
func WithConcurrentHandshakes(n int, p cluster.LimitPolicy) Option {
	return func(o *cluster.Options) { o.Limits.Handshakes, o.Limits.HandshakePolicy = n, p }
}

// WithWriteTimeout sets how long a client that does not keep up may take nothing before its
// connection is cut. Such a client must also take 1 KiB a second on average, and 16 KiB a second
// while more than 256 KiB are queued for it; one that takes less uses the time up bit by bit. A
// browser that loads a page must have taken it within that time. Default: 10 s.
func WithWriteTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.WriteTimeout = d }
}

// WithWriteDelay lets pushes and broadcasts wait for up to d, so that all that a session gets
// within that time goes in one write. What many sessions get alike is put together once for all of
// them. WebSocket clients that accept "batch" get the packets of a write in one message. Responses,
// kicks and heartbeats do not wait, and neither do the routes of [WithNoDelay]; what is queued
// before them goes with them, so the order stays. In a cluster, a gate's delay is the one that
// counts. A few milliseconds are sensible. Default: 0, output is written at once.
func WithWriteDelay(d time.Duration) Option {
	return func(o *cluster.Options) { o.WriteDelay = d }
}

// Resume says for how long, and for how much, sessions outlive their connections.
type Resume = cluster.Resume

// WithResume lets sessions outlive their connections. A client that has lost its connection comes
// back on a new one, and goes on with the same session: no message is lost, doubled or out of
// order, in either direction. Meanwhile the session is one like any other: its handlers run, groups
// hold it, and what is sent to it is kept. The OnSuspended and OnResumed handlers of [WithLifetime]
// tell; OnClosed runs when the session has really ended.
//
// A session ends when its client does not come back in time, when more is sent to it than is kept,
// and at once by Close, by Kick, and when the client says goodbye: by a WebSocket close frame with
// the code 1000 or 1001, or by a kick packet. The end of a TCP stream is no goodbye.
//
// What is sent is counted, so none of it is replaced, and nothing overtakes it: for such a session,
// [Latest] and [LatestBy] deliver every message, and responses go behind what was pushed before
// them. [DropWhenBusy] leaves messages out for a client that is away, too.
//
// In a cluster, a client may come back to any gate: the session goes there, and backends and groups
// hold the same one as before. After a gate has died, the backends that know the session have it go
// on, too; what was on its way in that gate is lost, and [session.Session.Gap] says so in
// OnResumed. All gates need the same dictionary and, with [WithKeeper], a token
// ([WithClusterToken]); else, and at a single node that was restarted, the client gets a new
// session.
//
// The client has to ask for it. The clients of this project do; for others, and for those of v0.5,
// nothing changes. Default: sessions end with their connections.
func WithResume(r Resume) Option {
	return func(o *cluster.Options) { o.Resume = &r }
}

// WithNoDelay names routes whose pushes and broadcasts do not wait for [WithWriteDelay]. It may be
// used more than once, and adds routes. In a cluster, set it on the gates. Default: all routes
// wait.
func WithNoDelay(routes ...string) Option {
	return func(o *cluster.Options) { o.NoDelay = append(slices.Clip(o.NoDelay), routes...) }
}

// WithFlushTimeout sets how long Close and Kick wait for the client to take what was queued before.
// Default: 5 s.
func WithFlushTimeout(d time.Duration) Option {
	return func(o *cluster.Options) { o.FlushTimeout = d }
}

// WithSendQueue sets how many bytes may be queued for one session. [WithSlowConsumer] says what
// happens when its queue is full. Default: 4 MiB.
func WithSendQueue(bytes int) Option {
	return func(o *cluster.Options) { o.SendQueue = bytes }
}

// WithSendQueues limits the bytes that are queued for all sessions together. Broadcasts that wait
// for many count once for all who have stopped at the same message, until they are written to
// again, and queues of less than 64 KiB do not count. Over the limit, the node cuts the sessions
// whose queues take the most memory, without flushing them; Stats counts them as SlowKicked.
// Default: 1 GiB.
func WithSendQueues(bytes int) Option {
	return func(o *cluster.Options) { o.SendQueues = bytes }
}

// WithSlowConsumer sets what happens to a session whose queue is full because its client does not
// read: [SlowKick] or [SlowDrop]. Default: SlowKick.
func WithSlowConsumer(p session.SlowPolicy) Option {
	return func(o *cluster.Options) { o.SlowConsumer = p }
}

// WithGzip compresses payloads of at least so many bytes for clients that accept gzip, if that
// makes them smaller. Default: 0, no payload is compressed.
func WithGzip(atLeast int) Option {
	return func(o *cluster.Options) { o.GzipMin = atLeast }
}

// WithErrorResponses sends error responses to all clients. Default: false, only to clients
// whose handshake said that they understand them.
func WithErrorResponses(all bool) Option {
	return func(o *cluster.Options) { o.ErrorsToAll = all }
}

// WithErrorShape sets the function that makes the payload of error responses. It runs where the
// request failed: on the scheduler, on the goroutine of a connection, or on that of the caller of
// Session.FailMID, where route is "". Default: {"code","error"} of an [Error]; any other error has
// the code "internal" and no text. The default replaces a payload that neither the serializer nor
// JSON can encode, and the log has a warning.
func WithErrorShape(fn func(s *session.Session, route string, err error) any) Option {
	return func(o *cluster.Options) { o.ErrorShape = fn }
}
