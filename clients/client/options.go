package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/json"
)

// Option sets something of a client. [Client.Connect] returns the error of an option that makes no
// sense.
type Option func(*config)

// DialFunc makes the connection under everything else. network is always "tcp", and addr is
// host:port of the URL.
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
	addresses     []string // beside the first
	noResume      bool

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
		c.complain("%s(%v): the time must be positive", option, d)
	}
	return d > 0
}

// WithSerializer sets the format of payloads, which must be the server's. Default: JSON.
func WithSerializer(s serialize.Serializer) Option {
	return func(c *config) {
		if s == nil {
			c.complain("WithSerializer(nil): a serializer is needed")
			return
		}
		c.serializer = s
	}
}

// WithDialer sets how connections are made: through a proxy, from an address, in memory, or with an
// [EventConn]. TLS and WebSocket go on top of what it returns. Default: a net.Dialer.
func WithDialer(dial DialFunc) Option {
	return func(c *config) {
		if dial == nil {
			c.complain("WithDialer(nil): a dial function is needed")
			return
		}
		c.dial = dial
	}
}

// WithTLSConfig sets the configuration for tls and wss. Default: the root certificates of the
// system, and the host of the URL as the server's name.
func WithTLSConfig(conf *tls.Config) Option { return func(c *config) { c.tls = conf } }

// WithAddresses adds addresses of the same servers, in the form that [New] takes. A client that
// comes back tries the next one after an attempt that has failed, and when the server that it was
// connected to is drained. Default: the address of New alone.
func WithAddresses(urls ...string) Option {
	return func(c *config) { c.addresses = append(c.addresses, urls...) }
}

// WithHeader sets headers of the WebSocket's HTTP request, such as Origin, Cookie and
// Authorization. Default: none.
func WithHeader(h http.Header) Option { return func(c *config) { c.header = h.Clone() } }

// WithUser sets what the handshake carries as "user"; encoding/json makes JSON of it. Default:
// nothing.
func WithUser(v any) Option {
	return WithUserFunc(func(context.Context) (any, error) { return v, nil })
}

// WithUserFunc is [WithUser] for what changes, such as a token that expires: the client calls fn
// before each handshake, within the time of [WithConnectTimeout]. An error of fn fails the attempt
// to connect.
func WithUserFunc(fn func(ctx context.Context) (any, error)) Option {
	return func(c *config) { c.user = fn }
}

// WithName sets the type and the version that the handshake names. Default: "go" and the version of
// this module.
func WithName(name, version string) Option {
	return func(c *config) { c.name, c.version = name, version }
}

// WithGzip accepts payloads compressed with gzip, if the server makes them. Default: it accepts
// none.
func WithGzip() Option { return accepts("gzip") }

// WithBatch accepts several packets in one WebSocket message, if the server makes them. Default: it
// accepts none.
func WithBatch() Option { return accepts("batch") }

func accepts(word string) Option {
	return func(c *config) { c.accept = append(c.accept, word) }
}

// WithConnectTimeout bounds each attempt to connect, up to the end of the handshake, and on
// reconnection the setup as well. The context of [Client.Connect] bounds the first attempt, too.
// Default: 10 s.
func WithConnectTimeout(d time.Duration) Option {
	return func(c *config) {
		if c.positive("WithConnectTimeout", d) {
			c.connectTimeout = d
		}
	}
}

// WithRequestTimeout sets how long an answer may take if the request's context has no deadline; if
// it has one, only that counts. Servers of v0.5 do not answer requests that fail. A negative time
// means no bound. Default: 15 s.
func WithRequestTimeout(d time.Duration) Option { return func(c *config) { c.requestTimeout = d } }

// WithWriteTimeout sets how long the server may take to read what is sent in one write. After that
// the connection is lost. Default: 10 s.
func WithWriteTimeout(d time.Duration) Option {
	return func(c *config) {
		if c.positive("WithWriteTimeout", d) {
			c.writeTimeout = d
		}
	}
}

// WithMaxPacket sets how many bytes the body of a packet to the server may have; a server that gets
// more ends the connection. Default: what the server says in the handshake; 65,536 if it says
// nothing, and for the handshake itself.
func WithMaxPacket(bytes int) Option {
	return func(c *config) {
		if bytes <= 0 || bytes > codec.MaxPacket {
			c.complain("WithMaxPacket(%d): it must be from 1 to %d bytes", bytes, codec.MaxPacket)
			return
		}
		c.maxSent = bytes
	}
}

// WithDictionary gives the client the dictionary that another client has got from the server,
// perhaps in a program that ran before: see [Client.Dictionary]. The server sends its dictionary
// only if it has changed. Default: none.
func WithDictionary(d Dictionary) Option { return func(c *config) { c.dictionary = d } }

// WithMaxReceived sets how many bytes the body of a packet from the server may have, and a gzip
// payload when it is decompressed. The client allocates memory as bytes arrive. Default:
// 16,777,215, the most that a packet can have.
func WithMaxReceived(bytes int) Option {
	return func(c *config) {
		if bytes <= 0 || bytes > codec.MaxPacket {
			c.complain("WithMaxReceived(%d): it must be from 1 to %d bytes", bytes, codec.MaxPacket)
			return
		}
		c.maxReceived = bytes
	}
}

// WithPushQueue sets how many bytes of pushes may wait for their handlers. Each push counts 64
// bytes more than its payload. A push that does not fit ends the connection with [ErrOverflow], so
// that nothing is lost in silence. Default: 4 MiB.
func WithPushQueue(bytes int) Option {
	return func(c *config) {
		if bytes <= 0 {
			c.complain("WithPushQueue(%d): it must be positive", bytes)
			return
		}
		c.pushQueue = int64(bytes)
	}
}

// WithPushDrop drops the pushes that do not fit the queue, and counts them in [Stats], instead of
// ending the connection.
func WithPushDrop() Option { return func(c *config) { c.pushDrop = true } }

// WithReconnect makes the client connect again when a connection is lost and there is no session
// to come back to. The zero Reconnect has good defaults. Default: such a loss ends the client. To a
// session that the server keeps, the client comes back in any case: see [WithoutResume].
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

// WithAwayWait sets how long requests and notifies wait for a connection while the client is away,
// within what bounds them anyway. With 0 or less they do not wait. Default: 5 s.
func WithAwayWait(d time.Duration) Option { return func(c *config) { c.awayWait = max(d, 0) } }

// WithSetup sets what each session needs before it is of use, such as signing in. Requests that fn
// makes with its ctx go through; all others wait until fn has returned. On the first connection fn
// is part of [Client.Connect], which returns its error; on later ones its error fails the attempt.
// A connection that goes on with a session does not call fn. ctx ends with the connection, and when
// fn returns.
func WithSetup(fn func(ctx context.Context, c *Client) error) Option {
	return func(c *config) { c.setup = fn }
}

// WithStateHandler sets the function that is told when the client goes online, is away and has
// ended. The client calls it in order with the handlers of pushes, on their goroutine.
func WithStateHandler(fn func(Change)) Option { return func(c *config) { c.onState = fn } }

// WithTrace sets a function that sees every packet, sent or received, as it is encoded or decoded.
// It must not keep the body after it returns. Several goroutines call it, and for what is sent the
// client holds its lock: it must be quick and must not use the client.
func WithTrace(fn func(sent bool, p codec.Packet)) Option { return func(c *config) { c.trace = fn } }

// WithSlog sets the logger for what cannot be returned to anybody: a handler's panic, a push that
// does not decode. Default: slog.Default.
func WithSlog(l *slog.Logger) Option { return func(c *config) { c.log = l } }

func (c *config) encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	}
	return c.serializer.Marshal(v)
}

// decode reads a payload that it must not keep.
func (c *config) decode(data []byte, v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case *[]byte:
		*v = bytes.Clone(data)
		return nil
	}
	return c.serializer.Unmarshal(data, v)
}

// callSetup turns a panic into an error.
func (c *config) callSetup(ctx context.Context, of *Client) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			c.logPanic("setup", v)
		}
	}()
	return c.setup(ctx, of)
}

// shield calls a function of the application.
func (c *config) shield(name string, fn func() error) {
	defer c.recovered(name)
	_ = fn()
}

// recovered is deferred around functions of the application.
func (c *config) recovered(name string) {
	if v := recover(); v != nil {
		c.logPanic(name, v)
	}
}

func (c *config) logPanic(name string, v any) {
	c.log.Error("handler panicked", "handler", name, "panic", v, "stack", string(debug.Stack()))
}
