package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/json"
)

// Option sets something of a client. What does not make sense is an error of Connect.
type Option func(*config)

// DialFunc makes the connection under everything else; network is always "tcp", and addr is host:port of the URL.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

type config struct {
	serializer serialize.Serializer
	dial       DialFunc
	tls        *tls.Config
	header     http.Header
	log        *slog.Logger

	name, version string
	user          func(context.Context) (any, error)
	accept        []string

	connectTimeout, requestTimeout, writeTimeout, awayWait time.Duration

	maxSent     int // 0: what the server says
	maxReceived int
	pushQueue   int64
	pushDrop    bool
	dictionary  Dictionary

	reconnect *Reconnect
	setup     func(context.Context, *Client) error
	onState   func(Change)
	trace     func(sent bool, p codec.Packet)

	err error // the first thing that is wrong
}

func makeConfig(opts []Option) config {
	cfg := config{
		serializer:     json.NewSerializer(),
		dial:           new(net.Dialer).DialContext,
		name:           "go",
		version:        "0.6.0",
		accept:         []string{"error"},
		connectTimeout: 10 * time.Second,
		requestTimeout: 15 * time.Second,
		writeTimeout:   10 * time.Second,
		awayWait:       5 * time.Second,
		maxReceived:    codec.MaxPacket,
		pushQueue:      4 << 20,
	}
	for _, o := range opts {
		if o != nil {
			o(&cfg)
		}
	}
	if cfg.log == nil {
		cfg.log = slog.Default()
	}
	return cfg
}

func (c *config) complain(format string, a ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("client: "+format, a...)
	}
}

// positive reports whether a time may be set.
func (c *config) positive(option string, d time.Duration) bool {
	if d <= 0 {
		c.complain("%s: %v is not positive", option, d)
	}
	return d > 0
}

// WithSerializer sets the format of payloads, which must be the server's. Default: JSON.
func WithSerializer(s serialize.Serializer) Option {
	return func(c *config) {
		if s == nil {
			c.complain("WithSerializer: nil")
			return
		}
		c.serializer = s
	}
}

// WithDialer sets how connections are made: through a proxy, from an address, in memory. TLS and WebSocket go on top
// of what it returns. Default: a net.Dialer.
func WithDialer(dial DialFunc) Option {
	return func(c *config) {
		if dial == nil {
			c.complain("WithDialer: nil")
			return
		}
		c.dial = dial
	}
}

// WithTLSConfig sets the configuration for tls and wss. Default: the system's roots, and the URL's host as the name.
func WithTLSConfig(conf *tls.Config) Option { return func(c *config) { c.tls = conf } }

// WithHeader sets headers of the WebSocket's HTTP request: Origin, Cookie, Authorization. Default: none.
func WithHeader(h http.Header) Option { return func(c *config) { c.header = h.Clone() } }

// WithUser sets what the handshake carries as "user", made JSON by encoding/json. Default: nothing.
func WithUser(v any) Option {
	return WithUserFunc(func(context.Context) (any, error) { return v, nil })
}

// WithUserFunc is WithUser for what is not the same each time, such as a token that expires: fn is called before each
// handshake, within the time of WithConnectTimeout. Its error fails the attempt to connect.
func WithUserFunc(fn func(ctx context.Context) (any, error)) Option {
	return func(c *config) { c.user = fn }
}

// WithName sets the type and version that the handshake names. Default: "go" and this module's version.
func WithName(name, version string) Option {
	return func(c *config) { c.name, c.version = name, version }
}

// WithGzip accepts packed payloads, if the server makes them. Default: not.
func WithGzip() Option { return accepts("gzip") }

// WithBatch accepts several packets in one WebSocket message, if the server makes them. Default: not.
func WithBatch() Option { return accepts("batch") }

func accepts(word string) Option {
	return func(c *config) { c.accept = append(c.accept, word) }
}

// WithConnectTimeout bounds each attempt to connect, up to the end of the handshake, and on reconnection the setup as
// well. The context of Connect bounds the first one too. Default: 10 s.
func WithConnectTimeout(d time.Duration) Option {
	return func(c *config) {
		if c.positive("WithConnectTimeout", d) {
			c.connectTimeout = d
		}
	}
}

// WithRequestTimeout is how long an answer may take where the request's context has no deadline; with one, that alone
// counts. Servers of v0.5 do not answer requests that fail. Negative: no bound. Default: 15 s.
func WithRequestTimeout(d time.Duration) Option { return func(c *config) { c.requestTimeout = d } }

// WithWriteTimeout is how long the server may take to read what is sent in one write; the connection is lost then.
// Default: 10 s.
func WithWriteTimeout(d time.Duration) Option {
	return func(c *config) {
		if c.positive("WithWriteTimeout", d) {
			c.writeTimeout = d
		}
	}
}

// WithMaxPacket sets how many bytes the body of a packet may have that is sent; a server that gets more ends the
// connection. Default: what the server says in the handshake; 65,536 if it says nothing, and for the handshake itself.
func WithMaxPacket(bytes int) Option {
	return func(c *config) {
		if bytes <= 0 || bytes > codec.MaxPacket {
			c.complain("WithMaxPacket: %d", bytes)
			return
		}
		c.maxSent = bytes
	}
}

// WithDictionary gives the client what another one, perhaps of a program that ran before, has had from the server: see
// [Client.Dictionary]. A server whose dictionary is still the same need not send it. Default: none.
func WithDictionary(d Dictionary) Option { return func(c *config) { c.dictionary = d } }

// WithMaxReceived sets how many bytes the body of a packet may have that comes, and what a packed payload may unpack
// to. Memory is taken as bytes come. Default: 16,777,215, the most there can be.
func WithMaxReceived(bytes int) Option {
	return func(c *config) {
		if bytes <= 0 || bytes > codec.MaxPacket {
			c.complain("WithMaxReceived: %d", bytes)
			return
		}
		c.maxReceived = bytes
	}
}

// WithPushQueue sets how many bytes of pushes may wait for their handlers, with 64 counted for each beside its
// payload. What does not fit ends the connection with ErrOverflow, as a server ends that of a client that does not
// keep up: nothing is lost in silence. Default: 4 MiB.
func WithPushQueue(bytes int) Option {
	return func(c *config) {
		if bytes <= 0 {
			c.complain("WithPushQueue: %d", bytes)
			return
		}
		c.pushQueue = int64(bytes)
	}
}

// WithPushDrop drops the pushes that do not fit the queue, and counts them in Stats, instead of ending the connection.
func WithPushDrop() Option { return func(c *config) { c.pushDrop = true } }

// WithReconnect has the client connect again when a connection is lost. The zero Reconnect has good defaults.
// Default: a lost connection ends the client.
func WithReconnect(r Reconnect) Option {
	return func(c *config) {
		r, err := r.checked()
		if err != nil {
			c.complain("WithReconnect: %v", err)
			return
		}
		c.reconnect = &r
	}
}

// WithAwayWait is how long requests and notifies wait for a connection while the client is away, in addition to what
// bounds them anyway. 0 or less: not at all. Default: 5 s.
func WithAwayWait(d time.Duration) Option { return func(c *config) { c.awayWait = max(d, 0) } }

// WithSetup sets what each connection needs before it is of use, such as signing in. Requests that fn makes with its
// context go through; all others wait until it has returned. On the first connection it is part of Connect, which
// returns its error; on later ones its error is a failed attempt. The context ends with the connection, and with fn.
func WithSetup(fn func(ctx context.Context, c *Client) error) Option {
	return func(c *config) { c.setup = fn }
}

// WithStateHandler sets who is told when the client goes online, is away and has ended. It is called in order with the
// handlers of pushes, and on their goroutine.
func WithStateHandler(fn func(Change)) Option { return func(c *config) { c.onState = fn } }

// WithTrace sets who sees every packet, sent or received, as it is encoded or decoded. The body is borrowed for the
// call. fn is called from several goroutines, under the client's lock for what is sent: it must be quick and must not
// use the client.
func WithTrace(fn func(sent bool, p codec.Packet)) Option { return func(c *config) { c.trace = fn } }

// WithSlog sets the logger for what has nobody to be returned to: a handler's panic, a push that does not decode.
// Default: slog.Default.
func WithSlog(l *slog.Logger) Option { return func(c *config) { c.log = l } }
