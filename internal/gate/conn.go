package gate

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/groups"
	"github.com/lonng/nano/internal/transport"
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
	chain     *chain                    // shared frames that are all there is; out is nil then
	out       *outbuf                   // what is queued; nil when nothing is, and when chain is not
	res       atomic.Pointer[resumable] // of the session that it carries, if that can be resumed; set before the handshake is answered
	inFlight  int                       // bytes that a writer has taken and not written yet
	round     uint32                    // the delay of the hub in whose list it is, or was
	listed    bool                      // in the hub's list
	first     bool                      // in the hub's list of those that are flushed first
	writing   bool                      // somebody writes
	stuck     bool                      // and the kernel took no more
	held      bool                      // before the handshake's answer: queue, do not write
	closing   bool                      // takes no more output
	wasCut    bool                      // the socket is closed
	websocket bool                      // this and deflates: constant
	deflates  bool                      // WebSocket messages may be compressed
	merges    bool                      // this and wantsGzip, wantsErr: set before the handshake is answered, constant after
	wantsGzip bool
	wantsErr  bool
	flushed   bool // all output is written and the sending side closed
	readDone  bool // the reader has ended
	ending    bool // the end of the session is told, or was
	told      bool // the end of the session was told
	parted    bool // nothing of the session waits for the connection any more
	removed   bool // the gate has forgotten the connection
	abort     bool // the kernel is to drop what it holds
	counted   bool // among the connections of its address; constant
	shaking   bool // counted among the handshakes that are under way; admission.mu guards it
	deaf      bool // what comes is dropped: it was malformed once; the reader's alone
	entered   bool // it holds resumable.serving; the reader's alone
	adopted   bool // it never had a socket: its session has come from another gate; constant
	phase     atomic.Uint32
	weight    int // queued bytes that count for the cap of all queues
	transit   *transit

	sess *session.Session
	sock transport.Conn
	lane scheduler.Lane // the order of the session's calls

	in *input // the reader's

	busy    atomic.Bool                     // the reader waits for a scheduler
	retired atomic.Bool                     // another connection carries the session
	pause   atomic.Pointer[<-chan struct{}] // not nil: the reader is to wait until it is closed
	spoke   spoke
	dispatch.Answers
}

// transit is what a connection has on its way in and out, and where it waits: not while it is quiet
// between the two. Conn.mu guards it.
type transit struct {
	request   *http.Request // the upgrade request, until the handshake is over
	ahead     []byte        // a pong that may go before the handshake's answer
	timer     *time.Timer   // the handshake's deadline, later the flush's; nil between
	closedAt  time.Time     // when closing was set
	closeCode uint16        // of the WebSocket close frame
	ended     chan struct{} // see Waiting; nil if nobody waits
	bucket    *bucket       // of messages; nil without a limit

	lane *scheduler.Lane // of the session that was adopted; constant
}

// transitLocked returns what there is of that, made if there is nothing.
func (c *Conn) transitLocked() *transit {
	if c.transit == nil {
		c.transit = new(transit)
	}
	return c.transit
}

// aheadLocked returns what may go before the handshake's answer.
func (c *Conn) aheadLocked() []byte {
	if c.transit == nil {
		return nil
	}
	return c.transit.ahead
}

// setTimerLocked has f called after d, in the place of what the connection's timer did so far; nil
// stops that.
func (c *Conn) setTimerLocked(d time.Duration, f func()) {
	if c.transit != nil && c.transit.timer != nil {
		c.transit.timer.Stop()
		c.transit.timer = nil
	}
	if f != nil && !c.wasCut {
		c.transitLocked().timer = time.AfterFunc(d, f)
	}
}

// forwarded is the connection of a client whose address a proxy tells.
type forwarded struct {
	transport.Conn
	remote net.Addr
}

// RemoteAddr returns the client's address.
func (f forwarded) RemoteAddr() net.Addr { return f.remote }

// serve makes a connection of nc, which has its place p from enter, and reads it until it ends. It
// returns at once. remote is the client's address if that is not nc's, else nil. deflates says that
// WebSocket messages may be compressed.
func (g *Gate) serve(nc net.Conn, p place, req *http.Request, remote net.Addr, websocket, deflates bool) {
	c := &Conn{gate: g, sock: transport.Portable(nc), websocket: websocket, deflates: deflates, held: true}
	if remote != nil {
		c.sock = forwarded{c.sock, remote}
	}
	c.mu.Lock() // who finds it in the gate waits until it is whole
	if err := g.add(c, &p); err != nil {
		c.mu.Unlock()
		g.counters.Refused.add(refusalOf(err))
		g.cfg.Log.Warn("connection refused", "remote", c.RemoteAddr(), "err", err)
		_ = nc.Close()
		g.leave(&p)
		return
	}
	g.counters.Accepted.Add(1)
	g.cfg.InitLane(&c.lane)
	c.sess = g.cfg.NewSession(c)
	c.transitLocked().request = req
	c.setTimerLocked(g.cfg.HandshakeTimeout, c.late)
	c.mu.Unlock()
	c.sock.Start(c)
}

// late ends a connection that did not finish its handshake in time.
func (c *Conn) late() {
	if p := phase(c.phase.Load()); p != working && p != leaving { // what leaves has a time of its own to do so
		c.gate.counters.Refused.add(refusedLate)
		c.gate.cfg.Log.Info("connection ended: no handshake in time", "remote", c.peer(), "after", c.gate.cfg.HandshakeTimeout)
		if r := c.res.Load(); r != nil && r.front == c { // nobody will come back who was never there
			c.mu.Lock()
			if r.carrier == c {
				_ = c.shutKept(r, nil, session.CloseReason{Kind: session.CloseHandshake, Reason: "not finished in time"})
			} else { // it has come back elsewhere
				c.mu.Unlock()
			}
		}
		c.because(session.CloseHandshake, "not finished in time")
		c.cut()
	}
}

// Session returns the connection's session.
func (c *Conn) Session() *session.Session { return c.sess }

// Lane returns the order of the session's calls.
func (c *Conn) Lane() *scheduler.Lane {
	if c.adopted {
		return c.transit.lane // which stays as it was made
	}
	return &c.lane
}

// Waiting tells that the reader is about to wait, so that others do not wait for it. It returns a
// channel that is closed when the session ends.
func (c *Conn) Waiting() <-chan struct{} {
	c.reader().sock.Waiting()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.transitLocked()
	if t.ended == nil {
		t.ended = make(chan struct{})
		if c.told {
			close(t.ended)
		}
	}
	return t.ended
}

// Groups returns the node's register of groups.
func (c *Conn) Groups() *groups.Registry { return c.gate.cfg.Groups }

// Outlet returns the gate, which takes one push for many of its clients.
func (c *Conn) Outlet() session.Outlet { return c.gate }

// RemoteAddr returns the client's address. Behind a trusted proxy it is the one that the proxy
// tells.
func (c *Conn) RemoteAddr() net.Addr {
	if r := c.res.Load(); r != nil {
		r.front.mu.Lock()
		defer r.front.mu.Unlock()
		if r.roamed != nil && r.roamed.remote != nil {
			return r.roamed.remote
		}
	}
	return c.peer()
}

// peer returns the address of this connection's client.
func (c *Conn) peer() net.Addr {
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
	if r := c.res.Load(); r != nil {
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
