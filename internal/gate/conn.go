package gate

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/transport"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// phase is how far a connection has come.
type phase uint32

const (
	waiting phase = iota // for the client's handshake: nothing is served, nothing sent
	shaken               // answered, waiting for the ack: may be sent to, is not served yet
	working
	leaving // closing: what still comes is not served
)

// maxOut is the largest body that a packet's length field can say, for what goes out.
const maxOut = 1<<24 - 1

// Conn is the connection of one client and the network side of its session. Its methods are safe
// for concurrent use.
//
// The fields that a broadcast touches stand first, because it visits thousands of connections that
// are in no cache.
type Conn struct {
	gate *Gate

	mu        sync.Mutex
	chain     *chain  // shared frames that are all there is; out is nil then
	out       *outbuf // what is queued; nil when nothing is, and when chain is not
	ahead     []byte  // a pong that may go before the handshake's answer
	inFlight  int     // bytes that a writer has taken and not written yet
	round     uint32  // the delay of the hub in whose list it is, or was
	listed    bool    // in the hub's list
	first     bool    // in the hub's list of those that are flushed first
	writing   bool    // somebody writes
	stuck     bool    // and the kernel took no more
	held      bool    // before the handshake's answer: queue, do not write
	closing   bool    // takes no more output
	wasCut    bool    // the socket is closed
	websocket bool    // constant
	merges    bool    // this and wantsGzip, wantsErr: set before the handshake is answered, constant after
	wantsGzip bool
	wantsErr  bool
	flushed   bool          // all output is written and the sending side closed
	readDone  bool          // the reader has ended
	told      bool          // the end of the session was told
	parted    bool          // nothing of the session waits for the connection any more
	removed   bool          // the gate has forgotten the connection
	abort     bool          // the kernel is to drop what it holds
	weight    int           // queued bytes that count for the cap of all queues
	closedAt  time.Time     // when closing was set
	closeCode uint16        // of the WebSocket close frame
	timer     *time.Timer   // the handshake's deadline, later the flush's; nil between
	ended     chan struct{} // see Waiting

	bucket  bucket      // the reader's: messages that it may take
	counted netip.Addr  // under which the gate counts it; invalid: under none
	shaking atomic.Bool // counted among the handshakes that are under way

	sess    *session.Session
	lane    scheduler.Lane // the order of the session's calls
	sock    transport.Conn
	remote  net.Addr      // nil: sock's
	request *http.Request // the upgrade request, until the handshake is over

	// Owned by the goroutine that reads.
	packets codec.Decoder
	frames  wsframe.Parser
	batch   *dispatch.Batch // of the read that is being worked on
	deaf    bool            // what comes is dropped: it was malformed once
	entered bool            // it holds resumable.serving

	phase atomic.Uint32
	busy  atomic.Bool                     // the reader waits for a scheduler
	pause atomic.Pointer[<-chan struct{}] // not nil: the reader is to wait until it is closed
	spoke spoke
	dispatch.Answers

	res     atomic.Pointer[resumable] // of the session, if it can be resumed; set before the handshake is answered
	front   atomic.Pointer[Conn]      // whose session the connection carries; nil: its own
	retired atomic.Bool               // another connection carries the session
}

// serve makes a connection of nc, which has its place from enter, and reads it until it ends. It
// returns at once.
func (g *Gate) serve(nc net.Conn, req *http.Request, remote net.Addr, websocket bool) {
	c := &Conn{gate: g, sock: transport.Portable(nc), request: req, remote: remote, websocket: websocket, held: true}
	c.mu.Lock() // who finds it in the gate waits until it is whole
	if err := g.add(c); err != nil {
		c.mu.Unlock()
		g.counters.Refused.Add(1)
		g.cfg.Log.Warn("connection refused", "remote", c.RemoteAddr(), "err", err)
		_ = nc.Close()
		g.leave()
		return
	}
	g.counters.Accepted.Add(1)
	c.packets.Init(g.cfg.MaxPacket)
	if websocket {
		c.frames.Init(max(g.cfg.MaxPacket+codec.HeadLength, 1<<20))
	}
	g.cfg.InitLane(&c.lane)
	c.sess = g.cfg.NewSession(c)
	c.timer = time.AfterFunc(g.cfg.HandshakeTimeout, c.late)
	c.mu.Unlock()
	c.sock.Start(c)
}

// late ends a connection that did not finish its handshake in time.
func (c *Conn) late() {
	if phase(c.phase.Load()) != working {
		c.gate.cfg.Log.Info("connection ended: no handshake in time", "remote", c.peer(), "after", c.gate.cfg.HandshakeTimeout)
		if r := c.res.Load(); r != nil && c.front.Load() == nil { // nobody will come back who was never there
			c.mu.Lock()
			_ = c.shutKept(r, nil, session.CloseReason{Kind: session.CloseHandshake, Reason: "not finished in time"})
		}
		c.because(session.CloseHandshake, "not finished in time")
		c.cut()
	}
}

// Session returns the connection's session.
func (c *Conn) Session() *session.Session { return c.sess }

// Lane returns the order of the session's calls.
func (c *Conn) Lane() *scheduler.Lane { return &c.lane }

// Waiting tells that the reader is about to wait, so that others do not wait for it. It returns a
// channel that is closed when the session ends.
func (c *Conn) Waiting() <-chan struct{} {
	c.reader().sock.Waiting()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = make(chan struct{})
		if c.told {
			close(c.ended)
		}
	}
	return c.ended
}

// Outlet returns the gate, which takes one push for many of its clients.
func (c *Conn) Outlet() session.Outlet { return c.gate }

// RemoteAddr returns the client's address. Behind a trusted proxy it is the one that the proxy
// tells.
func (c *Conn) RemoteAddr() net.Addr {
	if r := c.res.Load(); r != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.remote != nil {
			return r.remote
		}
	}
	return c.peer()
}

// peer returns the address of this connection's client.
func (c *Conn) peer() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.sock.RemoteAddr()
}

// BindUID enters a session's user into the node's register.
func (c *Conn) BindUID(s *session.Session, uid int64) error { return c.gate.cfg.Bind(s, uid) }

// UnbindUID removes a session's user from the register.
func (c *Conn) UnbindUID(s *session.Session, uid int64) { c.gate.cfg.Unbind(s, uid) }

// ValueChanged tells the node that a value of the session has changed.
func (c *Conn) ValueChanged(s *session.Session, key string) {
	if f := c.gate.cfg.ValueChanged; f != nil {
		f(s, key)
	}
}

// Reaches reports whether the node at addr can serve the session for a service.
func (c *Conn) Reaches(service, addr string) bool {
	return c.gate.cfg.Reaches == nil || c.gate.cfg.Reaches(service, addr)
}

// heartbeatFrame is the same for everybody.
var heartbeatFrame = newFrame(codec.AppendPacket(nil, codec.Heartbeat, nil), manner{when: soon})

// heartbeat is called by the wheel.
func (c *Conn) heartbeat() {
	if r := c.owner().res.Load(); r != nil {
		c.beat(r)
		return
	}
	list, _ := c.pushFrame(heartbeatFrame, nil) // an error says that the connection ends
	c.gate.hub.add(list, c)
}

// silent is called by the wheel when nothing came for as many heartbeats as are allowed.
func (c *Conn) silent() {
	c.gate.counters.Silent.Add(1)
	c.gate.cfg.Log.Debug("connection ended: no sign of life", "heartbeats", c.gate.cfg.MissedBeats, "session", c.owner().sess.ID(), "remote", c.peer())
	c.because(session.CloseSilent, "")
	c.cut()
}
