package gate

import (
	"net"
	"sync/atomic"

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

// served reports whether the connection has a session: its handshake was answered, and it does not
// end.
func (p phase) served() bool { return p == shaken || p == working }

// maxOut is the largest body that a packet's length field can say, for what goes out.
const maxOut = 1<<24 - 1

// home is what the session of a connection asks about the node.
type home struct{ gate *Gate }

// Groups returns the node's register of groups.
func (h home) Groups() *groups.Registry { return h.gate.cfg.Groups }

// Outlet returns the gate, which takes one push for many of its clients.
func (h home) Outlet() session.Outlet { return h.gate }

// BindUID enters a session's user into the node's register.
func (h home) BindUID(s *session.Session, uid int64) error { return h.gate.cfg.Bind(s, uid) }

// UnbindUID removes a session's user from the register.
func (h home) UnbindUID(s *session.Session, uid int64) { h.gate.cfg.Unbind(s, uid) }

// ValueChanged tells the node that a value of the session has changed.
func (h home) ValueChanged(s *session.Session, key string) {
	if f := h.gate.cfg.ValueChanged; f != nil {
		f(s, key)
	}
}

// Reaches reports whether the node at addr can serve the session for a service.
func (h home) Reaches(service, addr string) bool {
	return h.gate.cfg.Reaches == nil || h.gate.cfg.Reaches(service, addr)
}

// Conn is the connection of one client and the network side of its session. Its methods are safe
// for concurrent use.
type Conn struct {
	// res is set before the handshake is answered, if the session that the connection carries can
	// be resumed.
	res atomic.Pointer[resumable]
	output

	phase atomic.Uint32

	// output.mu guards how far the end has come.
	flushed  bool // all output is written and the sending side closed
	readDone bool // the reader has ended
	ending   bool // the end of the session is told, or was
	told     bool // the end of the session was told
	parted   bool // nothing of the session waits for the connection any more
	removed  bool // the gate has forgotten the connection
	abort    bool // the kernel is to drop what it holds

	counted bool // among the connections of its address; constant
	shaking bool // counted among the handshakes that are under way; admission.mu guards it
	deaf    bool // what comes is dropped: it was malformed once; the reader's alone
	entered bool // it holds resumable.serving; the reader's alone
	adopted bool // it never had a socket: its session has come from another gate; constant

	sess *session.Session
	lane scheduler.Lane // the order of the session's calls

	in *input // the reader's

	busy    atomic.Bool                     // the reader waits for a scheduler
	retired atomic.Bool                     // another connection carries the session
	pause   atomic.Pointer[<-chan struct{}] // not nil: the reader is to wait until it is closed
	spoke   spoke
	dispatch.Answers
}

// newConn returns a connection of which nobody knows yet.
func newConn(g *Gate, sock transport.Conn) *Conn {
	return &Conn{output: output{home: home{g}, sock: sock}}
}

// forwarded is the connection of a client whose address a proxy tells.
type forwarded struct {
	transport.Conn
	remote net.Addr
}

// RemoteAddr returns the client's address.
func (f forwarded) RemoteAddr() net.Addr { return f.remote }

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
	by := c.res.Load().readBy(c)
	by.busy.Store(true) // what the client sends lies unread: it is not silent
	by.sock.Waiting()
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

// owner returns the session's entity, for a connection that carries it.
func (c *Conn) owner() *Conn {
	if r := c.res.Load(); r != nil {
		return r.front
	}
	return c
}

// outlives reports whether the session may go on without this connection: its client can come back,
// as soon as it may have a token. Whether it has finished the handshake does not matter: the ack
// may have been lost.
func (c *Conn) outlives() bool {
	r := c.res.Load()
	return r != nil && (r.front != c || phase(c.phase.Load()) >= shaken)
}

// Resumable reports whether the client of the connection's session may come back.
func (c *Conn) Resumable() bool { return c.res.Load() != nil }

// Describe returns what is known of the client now. The connection is the session's entity.
func (c *Conn) Describe() ClientInfo {
	info := ClientInfo{Addr: c.RemoteAddr(), WebSocket: c.websocket}
	at := c
	c.mu.Lock()
	if r := c.res.Load(); r != nil {
		info.Resumable, info.Suspended, info.Kept = true, r.carrier == nil, r.Out.Bytes()
		if at = r.carrier; at == nil {
			c.mu.Unlock()
			return info
		}
	}
	c.mu.Unlock()
	at.mu.Lock()
	info.WebSocket, info.Queued = at.websocket, at.queuedBytesLocked()
	at.mu.Unlock()
	info.Traffic, info.Known = at.sock.Traffic()
	return info
}
