package mesh

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/groups"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Session returns the session.
func (r *remoteSession) Session() *session.Session { return r.sess }

// Lane returns the order of the session's calls.
func (r *remoteSession) Lane() *scheduler.Lane {
	if r.from != nil {
		return r.from
	}
	return &r.lane
}

// Waiting returns a channel that is closed when the session ends.
func (r *remoteSession) Waiting() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil {
		r.over = make(chan struct{})
		if r.ended {
			close(r.over)
		}
	}
	return r.over
}

// toGate is the way to the client.
func (r *remoteSession) toGate(at *whereabouts) (*peer, error) {
	if r.sess.Closed() {
		return nil, gate.ErrBrokenPipe
	}
	p := r.all.peers.at(at.gate.addr)
	if p == nil || p != at.way {
		return nil, fmt.Errorf("%w: its gate %s is gone", gate.ErrBrokenPipe, at.gate.addr)
	}
	return p, nil
}

// send sends a frame to the gate that has the client now. While it is queued, the session goes to
// no other gate: what was sent to the one before is all before the word that it has gone.
func (r *remoteSession) send(f *link.Frame) error {
	for {
		at := r.at.Load()
		f.Session = r.sess.ID()
		if at.home { // or is there already: what was called before it came answers yet
			if !r.all.arrivals.hold(r.all.addr, f) {
				r.all.arrivals.inbound.deliver(r.all.addr, f)
			}
			return nil
		}
		if at.way == nil && !r.sess.Closed() {
			if kept, err := r.keep(at, f); kept || err != nil {
				return err
			}
			continue
		}
		p, err := r.toGate(at)
		if err != nil {
			return err
		}
		p.moves.RLock()
		if r.at.Load() == at {
			err = p.send(f)
			p.moves.RUnlock()
			return err
		}
		p.moves.RUnlock()
	}
}

// Push sends v to the client by way of its gate.
func (r *remoteSession) Push(route string, v any) error {
	data, err := r.all.serialize(v)
	if err != nil {
		return err
	}
	f, err := r.all.pushFrame(link.Push, route, v, data)
	if err != nil {
		return err
	}
	return r.send(f)
}

// RPC sends a notify of the session to whichever node serves the route.
func (r *remoteSession) RPC(route string, v any) error {
	data, err := r.all.serialize(v)
	if err != nil {
		return err
	}
	return r.all.table.Notify(r, route, data)
}

// Sent says that other nodes have sent the session's messages here.
func (r *remoteSession) Sent() {}

// Response answers the request whose handler runs.
func (r *remoteSession) Response(v any) error { return r.ResponseMid(r.LastMid(), v) }

// ResponseMid answers request mid.
func (r *remoteSession) ResponseMid(mid uint64, v any) error {
	if mid == 0 {
		return gate.ErrSessionOnNotify
	}
	data, err := r.all.serialize(v)
	if err != nil {
		return err
	}
	if err := checkPush("", data); err != nil {
		return err
	}
	if err := r.send(&link.Frame{Kind: link.Response, ID: mid, Data: data}); err != nil {
		return err
	}
	r.NoteAnswer(mid)
	r.all.table.Answered(r, mid)
	return nil
}

// FailMid answers request mid as if its handler had returned err.
func (r *remoteSession) FailMid(mid uint64, err error) error {
	if mid == 0 {
		return gate.ErrSessionOnNotify
	}
	switch at := r.at.Load(); {
	case r.sess.Closed():
		return gate.ErrBrokenPipe
	case at.way != nil:
		if _, err := r.toGate(at); err != nil {
			return err
		}
	}
	r.all.table.Fail(r, mid, "", err)
	return nil
}

// Fail answers request mid with an error, which the gate gives to clients that accept it.
func (r *remoteSession) Fail(mid uint64, payload []byte) {
	if !r.TakeAnswer(mid) {
		return
	}
	if err := r.send(&link.Frame{Kind: link.Response, Flags: flagError, ID: mid, Data: payload}); err != nil {
		r.all.log.Debug("error response not sent", "session", r.key().id, "gate", r.key().gate, "mid", mid, "err", err)
	}
}

// Close has the gate close the client's connection, after what was pushed before.
func (r *remoteSession) Close() error { return r.send(&link.Frame{Kind: link.Close}) }

// Kick has the gate kick the client.
func (r *remoteSession) Kick(reason string) error {
	return r.send(&link.Frame{Kind: link.Kick, Text: []byte(reason)})
}

// RemoteAddr returns the client's address as its gate told it; the gate's own where that is of the
// 0.5 series.
func (r *remoteSession) RemoteAddr() net.Addr {
	a := r.addr.Load()
	if a == nil {
		return nodeAddr(r.key().gate)
	}
	if ap, err := netip.ParseAddrPort(*a); err == nil {
		return net.TCPAddrFromAddrPort(ap)
	}
	return nodeAddr(*a)
}

// Reaches tells which other nodes can serve the session.
func (r *remoteSession) Reaches(service, addr string) bool {
	return r.all.router.Reaches(service, addr)
}

// Groups returns the node's register of groups.
func (r *remoteSession) Groups() *groups.Registry { return r.all.cfg.Groups }

// Outlet returns the link to the gate, which takes a push for many of its clients in one frame.
func (r *remoteSession) Outlet() session.Outlet {
	p, err := r.toGate(r.at.Load())
	if err != nil {
		return nil
	}
	return p
}

// ValueChanged has other nodes hear of a value, once the session has come to this node's gate.
// While it is at another gate, values that handlers set stay on this node.
func (r *remoteSession) ValueChanged(s *session.Session, key string) {
	if r.at.Load().conn != nil {
		r.all.logins.sessions.ValueChanged(s, key)
	}
}

// BindUID tells the gate, which keeps the register, unless that is where it comes from.
func (r *remoteSession) BindUID(_ *session.Session, uid int64) error {
	r.mu.Lock()
	same := r.uid == uid
	r.mu.Unlock()
	if same {
		return nil
	}
	if err := r.all.logins.admit(uid, r.key()); err != nil {
		return err
	}
	r.mu.Lock()
	was, asked := r.uid, r.asked
	r.uid, r.asked = uid, true
	r.mu.Unlock() // send waits while the session goes to another gate, and that takes the lock
	err := r.send(&link.Frame{Kind: link.Bind, UID: uid})
	if err != nil {
		r.mu.Lock()
		r.uid, r.asked = was, asked
		r.mu.Unlock()
	}
	return err
}

// UnbindUID tells the gate that the session is nobody's.
func (r *remoteSession) UnbindUID(_ *session.Session, uid int64) {
	r.mu.Lock()
	bound := r.uid == uid
	if bound {
		r.uid, r.asked, r.values = 0, true, nil
	}
	r.mu.Unlock() // as BindUID does
	if bound {
		_ = r.send(&link.Frame{Kind: link.Bind}) // with the gate gone there is nothing to unbind
	}
}

// Spent tells the gate that messages of the session have left the queue.
func (r *remoteSession) Spent(cost int) {
	if n := r.taken.add(cost, sessionWindow/4); n > 0 {
		_ = r.send(&link.Frame{Kind: link.Credit, ID: n}) // with its gate gone nobody waits
	}
}
