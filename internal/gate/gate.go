// Package gate is the client side of a node. It accepts connections, answers handshakes, reads what
// clients send, queues and writes what goes to them, and closes idle, slow and finished
// connections.
//
// A Gate owns its connections. A goroutine of the event loop reads a connection (Conn) while there
// is something to read; without the loop, each connection has a goroutine of its own for that. Only
// while its client does not keep up, a connection has one that writes it. Else the scheduler or a
// worker writes what is queued: see flushQueue.
package gate

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/groups"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/internal/transport"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/session"
)

// Errors of a connection's methods.
var (
	ErrBrokenPipe         = fault.ErrBrokenPipe
	ErrBufferExceed       = fault.New(fault.Exhausted, "cluster: the session's send queue is full: the client does not read fast enough")
	ErrCloseClosedSession = fault.New(fault.Unavailable, "cluster: the session is closed already")
	ErrSessionOnNotify    = fault.New(fault.Invalid, "cluster: no answer is possible: the message was a notify, or a request with id 0")
)

// Config is what a gate is made from. The node fills in every field. A limit of zero means no
// limit.
type Config struct {
	MaxPacket        int                         // bytes of a packet's body that a client may send
	MaxConns         int                         // connections at one time, HTTP included
	MaxHeader        int                         // bytes of an HTTP request's header
	Heartbeat        time.Duration               // the interval of heartbeats
	MissedBeats      int                         // intervals, in the whole seconds that clients are told, that may pass without a sign of life
	HandshakeTimeout time.Duration               // from accept to the client's handshake ack
	WriteTimeout     time.Duration               // how long a client that does not keep up may stand still; see floorRate
	FlushTimeout     time.Duration               // for what was queued before a close
	WriteDelay       time.Duration               // how long pushes may wait for more to go with them
	NoDelay          map[string]struct{}         // routes whose pushes do not wait
	Deliveries       map[string]session.Delivery // by route; others are delivered in the default way
	SendQueue        int                         // bytes queued for one session
	SendQueues       int                         // bytes of memory for what is queued for all sessions, those with less than 64 KiB left out
	DropSlow         bool                        // what overflows the queue is dropped; else the session is kicked
	ErrorsToAll      bool                        // error responses also to clients that did not ask for them
	CompressMin      int                         // WebSocket messages of so many bytes are compressed for clients that accept it; 0 never
	GzipMin          int                         // payloads of so many bytes are compressed for clients that accept it; 0 never
	Debug            bool
	Portable         bool // a goroutine per connection everywhere, no event loop
	Limits           Limits
	Resume           ResumeConfig

	Dictionary *codec.Dictionary
	Serializer serialize.Serializer
	Pipeline   pipeline.Pipeline // may be nil
	Handshake  func(s *session.Session, h *session.Handshake) error
	Table      *dispatch.Table
	Log        *slog.Logger

	// NewSession makes the session of a new connection. Opened is called when the session may be
	// used, Closed when it has ended. Bind and Unbind update the register of users. None of these
	// may be nil.
	NewSession func(e session.NetworkEntity) *session.Session
	InitLane   func(l *scheduler.Lane) // makes the order of a session's calls
	Opened     func(s *session.Session)
	Closed     func(s *session.Session)
	// These are only called if Resume has a window. Discard forgets a session that was never
	// opened, because its connection carries another one. Find returns a session of the node; nil:
	// none. Claim fetches a session from the gate that has it: then Find finds it. It may take
	// seconds, and returns a reason if there is none; nil: there are no other gates.
	Suspended, Discard func(s *session.Session)
	Resumed            func(s *session.Session, gap bool)
	Find               func(id int64) *session.Session
	Claim              func(c Claim) resume.Reason
	Groups             *groups.Registry // of the node; nil: they are not counted
	Bind               func(s *session.Session, uid int64) error
	Unbind             func(s *session.Session, uid int64)
	Reaches            func(service, addr string) bool // nil: there are no other nodes
	// ValueChanged is called for each value of a session that was set or removed. It may be nil.
	ValueChanged func(s *session.Session, key string)

	CheckOrigin   func(r *http.Request) bool
	Pages         http.Handler   // what is served beside the WebSocket; nil: nothing
	Subprotocols  []string       // of WebSockets, the preferred first
	Trusted       []netip.Prefix // proxies whose word on a client's address is taken
	TrustUnix     bool           // the same of who connects to a Unix socket
	ProxyProtocol bool           // trusted proxies on TCP endpoints begin with a PROXY header
}

// Counters count the events of a gate. They are safe for concurrent use.
type Counters struct {
	Accepted          atomic.Uint64 // connections
	Refused           Refusals      // connections
	Opened, Closed    atomic.Uint64 // sessions
	ends              ends          // of sessions
	Suspended         atomic.Uint64 // connections that were lost while their sessions go on
	Resumed           atomic.Uint64 // connections that carry a session on
	Kicked            atomic.Uint64
	SlowKicked        atomic.Uint64 // sessions kicked because their queue was full
	Dropped           atomic.Uint64 // pushes and responses dropped for slow sessions
	Skipped, Replaced atomic.Uint64 // pushes left out as their class says: the client did not keep up; a newer one came
	Silent            atomic.Uint64 // connections ended by the heartbeat
	Malformed         atomic.Uint64 // connections ended by what they sent
	Limited           LimitCounters
	_                 [64]byte // readers write what stands next, and whoever flushes the rest

	BytesIn, PacketsIn atomic.Uint64
	_                  [64]byte

	BytesOut, PacketsOut atomic.Uint64
}

// Gate serves clients. All methods are safe for concurrent use.
type Gate struct {
	cfg      Config
	outbound pipeline.Channel
	flushes  *flushQueue
	wheel    *wheel
	shake    answer
	encoder  encoder
	counters Counters

	admission admission
	endpoints endpoints
	resumer   resumer
	heavies   heavies
	drain     drain

	running sync.WaitGroup // one for each connection, until it is gone

	mu         sync.Mutex
	conns      map[*Conn]struct{}
	websockets int  // of conns
	ending     bool // it takes no connections any more
}

// New returns a gate without endpoints.
func New(cfg Config) (*Gate, error) {
	g := &Gate{cfg: cfg, conns: make(map[*Conn]struct{})}
	if cfg.Pipeline != nil {
		g.outbound = cfg.Pipeline.Outbound()
	}
	g.flushes = newFlushQueue(cfg.WriteDelay)
	g.wheel = newWheel(cfg.Heartbeat, cfg.MissedBeats)
	g.encoder = encoder{cfg: &g.cfg, zip: newCompressor(cfg.CompressMin)}
	g.admission.cfg, g.admission.counters = &g.cfg, &g.counters
	g.endpoints.gate, g.resumer.gate, g.heavies.gate, g.drain.gate = g, g, g, g
	g.resumer.signer = resume.NewSigner(nil)
	if err := g.shake.init(&g.cfg); err != nil {
		return nil, err
	}
	return g, nil
}

// Counters returns the live counters.
func (g *Gate) Counters() *Counters { return &g.counters }

// Len returns the number of open connections.
func (g *Gate) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

// BatchBegin is called when a scheduler begins a batch: what its handlers queue waits for BatchEnd.
// BatchBegin, BatchEnd, Help and Stalled are the hooks of a scheduler: see flushQueue.
func (g *Gate) BatchBegin() { g.flushes.begin() }

// BatchEnd flushes what a batch of handlers has queued, or wakes workers that do.
func (g *Gate) BatchEnd() { g.flushes.end() }

// Help flushes connections until more reports that handlers wait.
func (g *Gate) Help(more func() bool) { g.flushes.help(more) }

// Dirty flushes f as connections are flushed: at the end of the running batch of handlers, or now
// if none runs. Do not pass f again before its Flush is called. The write delay is for clients, and
// does not hold f up.
func (g *Gate) Dirty(f Flusher) { g.flushes.add(atFirst, f) }

// Stalled flushes while a batch is still running.
func (g *Gate) Stalled() { g.flushes.hurry() }

// add registers a connection, unless the gate is closing.
func (g *Gate) add(c *Conn, p *place) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending {
		return errEnding
	}
	if g.drain.takesNobody() {
		return errDraining
	}
	if err := g.admission.admit(c, p); err != nil {
		return err
	}
	g.conns[c] = struct{}{}
	if c.websocket {
		g.websockets++
	}
	g.running.Add(1)
	return nil
}

// remove forgets a connection when its reader has stopped, nobody writes, its socket is closed and
// no session needs it.
func (g *Gate) remove(c *Conn) {
	c.mu.Lock()
	done := c.readDone && c.wasCut && c.parted && !c.writing && !c.removed
	if done {
		c.removed = true
	}
	c.mu.Unlock()
	if !done {
		return
	}
	g.mu.Lock()
	delete(g.conns, c)
	if c.websocket {
		g.websockets--
	}
	g.mu.Unlock()
	g.admission.left(c)
	g.running.Done()
}

func (g *Gate) snapshot() []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*Conn, 0, len(g.conns))
	for c := range g.conns {
		all = append(all, c)
	}
	return all
}

// ServeTCP accepts clients on l, with TLS if conf is not nil, until StopAccepting. It returns at
// once.
func (g *Gate) ServeTCP(l net.Listener, conf *tls.Config) { g.endpoints.serveTCP(l, conf) }

// ServeWebSocket accepts clients on l under path, with TLS if conf is not nil, and serves the
// application's pages beside them, until StopAccepting. A path that ends in "/" is a subtree. It
// returns at once.
func (g *Gate) ServeWebSocket(l net.Listener, path string, conf *tls.Config) {
	g.endpoints.serveWebSocket(l, path, conf)
}

// serve makes a connection of nc, which has its place p from admission, and reads it until it ends.
// It returns at once. remote is the client's address if that is not nc's, else nil. deflates says
// that WebSocket messages may be compressed.
func (g *Gate) serve(nc net.Conn, p place, req *http.Request, remote net.Addr, websocket, deflates bool) {
	c := newConn(g, transport.Portable(nc))
	c.websocket, c.deflates, c.held = websocket, deflates, true
	if remote != nil {
		c.sock = forwarded{c.sock, remote}
	}
	c.mu.Lock() // who finds it in the gate waits until it is whole
	if err := g.add(c, &p); err != nil {
		c.mu.Unlock()
		g.counters.Refused.add(refusalOf(err))
		g.cfg.Log.Warn("connection refused", "remote", c.RemoteAddr(), "err", err)
		_ = nc.Close()
		g.admission.leave(&p)
		return
	}
	g.counters.Accepted.Add(1)
	g.cfg.InitLane(&c.lane)
	c.sess = g.cfg.NewSession(c)
	c.transitLocked().request = req
	c.setTimerLocked(g.cfg.HandshakeTimeout, func() { late(c) })
	c.mu.Unlock()
	c.sock.Start(c)
}

// BeginDrain has the gate take no new sessions from now on. Clients of sessions that are here may
// come back.
func (g *Gate) BeginDrain() { g.drain.begin() }

// Drain asks the clients that can resume their sessions to come back elsewhere, evenly over a time,
// and returns when no session is left here. The error of ctx says how many are. It may be called
// more than once at a time: one of the calls asks.
func (g *Gate) Drain(ctx context.Context, spread time.Duration) error {
	return g.drain.run(ctx, spread)
}

// StopAccepting closes the endpoints and waits for their loops. Open connections stay.
func (g *Gate) StopAccepting() {
	g.mu.Lock()
	g.ending = true
	g.mu.Unlock()
	g.endpoints.stop()
}

// KickAll kicks every session with reason, behind what is queued for it, because the node ends.
func (g *Gate) KickAll(reason string) {
	for _, c := range g.snapshot() {
		if c.retired.Load() { // another connection has the session, or another gate
			continue
		}
		c.closeWith(wsframe.CloseGoingAway)
		_ = c.kick(session.CloseShutdown, reason)
	}
	for _, f := range g.resumer.waitingFor() {
		_ = f.kick(session.CloseShutdown, reason)
	}
}

// Shutdown waits until the connections are gone, and cuts those that are left when ctx ends. Call
// StopAccepting and KickAll before it.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.ending = true // this and end: so it is, unless the time was over before StopAccepting came to it
	g.mu.Unlock()
	g.endpoints.end()
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		for _, f := range g.resumer.waitingFor() {
			_ = f.shut(nil, session.CloseReason{Kind: session.CloseShutdown})
		}
		left := g.snapshot()
		for _, c := range left {
			if c.outlives() && !c.retired.Load() {
				_ = c.shut(nil, session.CloseReason{Kind: session.CloseShutdown})
			}
			c.because(session.CloseShutdown, "")
			c.cut()
		}
		err = fmt.Errorf("%d connections were cut with output left: %w", len(left), context.Cause(ctx))
		select {
		case <-done:
		case <-time.After(linger): // readers are in a validator or filter, or wait for a scheduler that stands still
			err = fmt.Errorf("%d connections are held up in the application: %w", g.Len(), err)
		}
	}
	g.wheel.stop()
	g.flushes.stop()
	g.endpoints.closeLoop()
	return err
}
