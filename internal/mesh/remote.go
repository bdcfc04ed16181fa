package mesh

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// remoteKey names a client that is connected elsewhere: two gates may use the same session ids.
type remoteKey struct {
	gate  string
	epoch uint64
	id    int64
}

// remotes are the sessions of other nodes' clients that this node has heard of.
type remotes struct {
	mu     sync.RWMutex
	all    map[remoteKey]*remote
	closed bool
	wanted map[remoteKey]chan struct{} // closed when its gate has introduced it
}

// remote is a session whose client is connected to another node: the session's network side here. Its methods may
// be called concurrently.
type remote struct {
	mesh *Mesh
	key  remoteKey
	way  *peer // to its gate; another one knows nothing of it
	sess *session.Session
	lane *scheduler.Lane
	over chan struct{} // closed when the session has ended

	mu     sync.Mutex
	uid    int64               // as the gate knows it, or has been asked to
	asked  bool                // the gate has not answered that
	late   int                 // changes that wait for their turn, see take
	values packed              // as the gate has forwarded them
	told   map[uint64]struct{} // ways (peer.turn) to backends that were told of the session from here
	ended  bool

	turn     atomic.Pointer[func()] // makes the changes that wait, nil if none does
	addr     atomic.Pointer[net.Addr]
	spent    atomic.Int64 // see Spent
	mid      atomic.Uint64
	answered atomic.Uint64
}

// remote returns a session of a client behind a gate, nil if it is not known.
func (n *Mesh) remote(key remoteKey) *remote {
	n.remotes.mu.RLock()
	defer n.remotes.mu.RUnlock()
	return n.remotes.all[key]
}

// remoteFor returns the session of a client behind the gate that way leads to, made if it is new.
func (n *Mesh) remoteFor(key remoteKey, way *peer) (r *remote, fresh bool) {
	if r = n.remote(key); r != nil {
		return r, false
	}
	n.remotes.mu.Lock()
	defer n.remotes.mu.Unlock()
	if r = n.remotes.all[key]; r != nil || n.remotes.closed {
		return r, false
	}
	r = &remote{mesh: n, key: key, way: way, lane: n.NewLane(), over: make(chan struct{})}
	r.sess = session.NewWithID(r, key.id)
	r.sess.SetLifetime(n.life)
	n.remotes.all[key] = r
	n.sched.PushTaskTo(r.lane, func() { n.life.Open(r.sess) })
	return r, true
}

// want returns a channel that is closed when the gate of a session has introduced it; nil if the session is known.
func (rs *remotes) want(key remoteKey) <-chan struct{} {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.all[key] != nil {
		return nil
	}
	c := rs.wanted[key]
	if c == nil {
		c = make(chan struct{})
		if rs.wanted == nil {
			rs.wanted = make(map[remoteKey]chan struct{})
		}
		rs.wanted[key] = c
	}
	return c
}

// arrived lets those go on that wait for a session.
func (rs *remotes) arrived(key remoteKey) {
	rs.mu.RLock()
	none := len(rs.wanted) == 0
	rs.mu.RUnlock()
	if none {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if c := rs.wanted[key]; c != nil {
		close(c)
		delete(rs.wanted, key)
	}
}

// closeRemote ends a session whose client is gone.
func (n *Mesh) closeRemote(key remoteKey, why session.CloseReason) {
	n.remotes.mu.Lock()
	r := n.remotes.all[key]
	delete(n.remotes.all, key)
	n.remotes.mu.Unlock()
	if r != nil {
		r.end(why)
	}
}

// closeGate ends all sessions behind one process of a gate, or, with all set, behind every gate.
func (n *Mesh) closeGate(addr string, epoch uint64, all bool) {
	var gone []*remote
	n.remotes.mu.Lock()
	n.remotes.closed = n.remotes.closed || all
	for key, r := range n.remotes.all {
		if all || key.gate == addr && key.epoch == epoch {
			delete(n.remotes.all, key)
			gone = append(gone, r)
		}
	}
	n.remotes.mu.Unlock()
	why := session.CloseReason{Kind: session.CloseNetwork, Reason: "the gate is gone"}
	if all {
		why = session.CloseReason{Kind: session.CloseShutdown}
	}
	for _, r := range gone {
		r.end(why)
	}
}

// end ends the session, after the messages that came before.
func (r *remote) end(why session.CloseReason) {
	r.sess.SetCloseReason(why)
	r.mu.Lock()
	for _, p := range *r.mesh.peers.Load() {
		if _, ok := r.told[p.turn]; ok {
			p.sessions.Add(-1)
		}
	}
	r.told, r.ended = nil, true
	r.mu.Unlock()
	close(r.over)
	r.mesh.sched.EndLane(r.lane, func() { r.mesh.life.Close(r.sess) })
}

// Session returns the session.
func (r *remote) Session() *session.Session { return r.sess }

// Lane returns the order of the session's calls.
func (r *remote) Lane() *scheduler.Lane { return r.lane }

// Ended is closed when the session ends.
func (r *remote) Ended() <-chan struct{} { return r.over }

// gate is the way to the client.
func (r *remote) gate() (*peer, error) {
	if r.sess.Closed() {
		return nil, gate.ErrBrokenPipe
	}
	p := r.mesh.peer(r.key.gate)
	if p == nil || p != r.way {
		return nil, fmt.Errorf("%w: its gate %s is gone", gate.ErrBrokenPipe, r.key.gate)
	}
	return p, nil
}

func (r *remote) send(f *link.Frame) error {
	p, err := r.gate()
	if err != nil {
		return err
	}
	f.Session = r.key.id
	return p.send(f)
}

// checkPush tells whether a gate will be able to send this: the error belongs to who pushes.
func checkPush(route string, data []byte) error {
	if len(route) > codec.MaxRoute {
		return fmt.Errorf("push %.40q...: %w", route, codec.ErrRouteTooLong)
	}
	if len(data) > maxMessage/2 {
		return fmt.Errorf("a payload of %d bytes: %w", len(data), codec.ErrPacketTooLarge)
	}
	return nil
}

// Push sends v to the client by way of its gate.
func (r *remote) Push(route string, v any) error {
	data, err := r.mesh.serialize(v)
	if err != nil {
		return err
	}
	if err := checkPush(route, data); err != nil {
		return err
	}
	return r.send(&link.Frame{Kind: link.Push, Route: []byte(route), Data: data})
}

// RPC sends a notify of the session to whichever node serves the route.
func (r *remote) RPC(route string, v any) error {
	data, err := r.mesh.serialize(v)
	if err != nil {
		return err
	}
	return r.mesh.table.Notify(r, route, data)
}

// Sent says that other nodes have sent the session's messages here.
func (r *remote) Sent() {}

// Enter says which message the next handler works on.
func (r *remote) Enter(mid uint64) {
	r.mid.Store(mid)
	r.answered.Store(0)
}

// Answered returns the request that was answered while its handler runs, and Return goes back to a handler that has
// let others run.
func (r *remote) Answered() uint64 { return r.answered.Load() }

// Return undoes what Enter has done since Answered was asked.
func (r *remote) Return(mid, answered uint64) {
	r.mid.Store(mid)
	r.answered.Store(answered)
}

// LastMid returns the id of the request whose handler runs.
func (r *remote) LastMid() uint64 { return r.mid.Load() }

// Response answers the request whose handler runs.
func (r *remote) Response(v any) error { return r.ResponseMid(r.mid.Load(), v) }

// ResponseMid answers request mid.
func (r *remote) ResponseMid(mid uint64, v any) error {
	if mid == 0 {
		return gate.ErrSessionOnNotify
	}
	data, err := r.mesh.serialize(v)
	if err != nil {
		return err
	}
	if err := checkPush("", data); err != nil {
		return err
	}
	if err := r.send(&link.Frame{Kind: link.Response, ID: mid, Data: data}); err != nil {
		return err
	}
	if mid == r.mid.Load() {
		r.answered.Store(mid)
	}
	r.mesh.table.Answered(r, mid)
	return nil
}

// FailMid answers request mid as if its handler had returned err.
func (r *remote) FailMid(mid uint64, err error) error {
	if mid == 0 {
		return gate.ErrSessionOnNotify
	}
	if _, err := r.gate(); err != nil {
		return err
	}
	r.mesh.table.Fail(r, mid, "", err)
	return nil
}

// Fail answers request mid with an error, which the gate gives to clients that accept it.
func (r *remote) Fail(mid uint64, payload any) {
	if mid == 0 || r.answered.Load() == mid {
		return
	}
	if mid == r.mid.Load() && r.answered.Swap(mid) == mid { // its handler may return an error just now, too
		return
	}
	data, err := r.mesh.serialize(payload)
	if err != nil {
		data, err = json.Marshal(payload)
	}
	if err == nil {
		err = r.send(&link.Frame{Kind: link.Response, Flags: flagError, ID: mid, Data: data})
	}
	if err != nil {
		r.mesh.log.Debug("error response not sent", "session", r.key.id, "gate", r.key.gate, "mid", mid, "err", err)
	}
}

// Close has the gate close the client's connection, after what was pushed before.
func (r *remote) Close() error { return r.send(&link.Frame{Kind: link.Close}) }

// Kick has the gate kick the client.
func (r *remote) Kick(reason string) error {
	return r.send(&link.Frame{Kind: link.Kick, Text: []byte(reason)})
}

// RemoteAddr returns the client's address as its gate told it; the gate's own where that is of the 0.5 series.
func (r *remote) RemoteAddr() net.Addr {
	if a := r.addr.Load(); a != nil {
		return *a
	}
	return nodeAddr(r.key.gate)
}

// nodeAddr is a node's address as a net.Addr.
type nodeAddr string

func (nodeAddr) Network() string  { return "tcp" }
func (a nodeAddr) String() string { return string(a) }

// Reaches tells which other nodes can serve the session.
func (r *remote) Reaches(service, addr string) bool { return r.mesh.Reaches(service, addr) }

// Outlet returns the link to the gate, which takes a push for many of its clients in one frame.
func (r *remote) Outlet() session.Outlet {
	p, err := r.gate()
	if err != nil {
		return nil
	}
	return p
}

// BindUID tells the gate, which keeps the register, unless that is where it comes from.
func (r *remote) BindUID(_ *session.Session, uid int64) error {
	r.mu.Lock()
	same := r.uid == uid
	r.mu.Unlock()
	if same {
		return nil
	}
	if r.mesh.cfg.BindPolicy == session.BindRefuseNew && (r.mesh.directory.elsewhere(uid, r.key) || len(r.mesh.users.Of(uid)) > 0) {
		return session.ErrUIDTaken
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.send(&link.Frame{Kind: link.Bind, UID: uid}); err != nil {
		return err
	}
	r.uid, r.asked = uid, true
	return nil
}

// UnbindUID tells the gate that the session is nobody's.
func (r *remote) UnbindUID(_ *session.Session, uid int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uid == uid {
		_ = r.send(&link.Frame{Kind: link.Bind}) // with the gate gone there is nothing to unbind
		r.uid, r.asked, r.values = 0, true, nil
	}
}

// introduce tells another backend what this one knows of the session, before the first message that goes there from
// here. The gate tells it the same a moment later, and from then on what changes.
func (r *remote) introduce(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.told[p.turn]; known {
		return
	}
	f := &link.Frame{Kind: link.SessionOpened, Flags: flagVouch, Session: r.key.id, UID: r.sess.UID(), Route: []byte(r.key.gate), Data: r.values.encode()}
	if a := r.addr.Load(); a != nil {
		f.Text = []byte((*a).String())
	}
	if p.send(f) == nil && !r.ended { // else the node refuses the message, or does not get it
		r.noteLocked(p)
	}
}

// noteLocked counts p among those that were told, and forgets those that are gone.
func (r *remote) noteLocked(p *peer) {
	told := make(map[uint64]struct{}, len(r.told)+1)
	for _, q := range *r.mesh.peers.Load() {
		if _, ok := r.told[q.turn]; ok {
			told[q.turn] = struct{}{}
		}
	}
	told[p.turn] = struct{}{}
	r.told = told
	p.sessions.Add(1)
}

// untold notes that p does not know the session.
func (r *remote) untold(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.told[p.turn]; ok {
		delete(r.told, p.turn)
		p.sessions.Add(-1)
	}
}

// take takes over what the gate says of the session: at once, as the messages that follow know it, filters and components
// with a scheduler of their own among them. Only another user, or none after one, waits for its turn on the node's
// scheduler, or on that of the first message after it: what the first user has sent before runs as theirs.
func (r *remote) take(f *link.Frame) {
	if len(f.Text) > 0 {
		var a net.Addr = nodeAddr(f.Text)
		if ap, err := netip.ParseAddrPort(string(f.Text)); err == nil {
			a = net.TCPAddrFromAddrPort(ap)
		}
		r.addr.Store(&a)
	}
	uid := f.UID
	r.mu.Lock()
	values := r.changesLocked(f)
	// A gate that introduces the session has not seen yet what it was asked, and will answer that.
	stale := r.asked && f.Kind != link.SessionChanged && uid != r.uid || f.Flags&flagValues != 0
	if !stale {
		r.uid, r.asked = uid, false
	}
	was, bound := r.sess.UID(), false
	change := func() {
		if !stale && uid == 0 {
			r.sess.Adopt(0)
		}
		r.setValues(values)
		bound = !stale && uid > 0 && r.sess.Adopt(uid)
	}
	tell := func() {
		if bound && r.sess.UID() == uid {
			r.mesh.life.Bound(r.sess)
		}
	}
	if r.late == 0 && (stale || was == 0 || was == uid) {
		r.mu.Unlock()
		if change(); bound {
			r.mesh.sched.PushTaskTo(r.lane, tell)
		}
		return
	}
	before := r.turn.Load()
	turn := sync.OnceFunc(func() {
		if before != nil {
			(*before)()
		}
		r.mu.Lock()
		stale = stale || r.asked // a handler has bound it meanwhile
		r.mu.Unlock()
		change()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.late--; r.late == 0 {
			r.turn.Store(nil)
		}
	})
	r.late++
	r.turn.Store(&turn)
	r.mu.Unlock()
	r.mesh.sched.PushTaskTo(r.lane, func() {
		turn()
		tell()
	})
}

// settle has the changes that wait made before the call of a message.
func (r *remote) settle(route []byte) {
	if turn := r.turn.Load(); turn != nil {
		r.mesh.table.Before(r, route, *turn)
	}
}

// serialize makes a payload of v with the node's serializer; bytes are one already.
func (n *Mesh) serialize(v any) (b []byte, err error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("serializer panicked on a %T: %v", v, p)
		}
	}()
	if b, err = n.serializer.Marshal(v); err != nil {
		return nil, fmt.Errorf("serialize %T: %w", v, err)
	}
	return b, nil
}

// unavailable is the error for who asked a node that is gone.
func unavailable(addr string) *component.Error {
	return component.Errorf(component.CodeUnavailable, "node %s is gone", addr)
}
