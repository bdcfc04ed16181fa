package mesh

import (
	"errors"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// NewSession makes the session of a connection.
func (n *Mesh) NewSession(e session.NetworkEntity) *session.Session {
	s := session.NewWithID(e, (*n.ids.Load()).SessionID())
	s.SetLifetime(n.life)
	n.conns.Increment()
	n.users.Add(s)
	return s
}

// SessionOpened has the hooks run on the scheduler, before the session's first message.
func (n *Mesh) SessionOpened(s *session.Session) {
	n.sched.PushTaskTo(laneOf(s), func() { n.life.Open(s) })
}

// SessionClosed has the hooks run on the scheduler, after the messages that came before the end.
func (n *Mesh) SessionClosed(s *session.Session) {
	if uid := n.users.Remove(s); uid != 0 {
		n.tellBound(s, uid, true)
	}
	n.endUpstream(s)
	n.conns.Decrement()
	n.sched.EndLane(laneOf(s), func() { n.life.Close(s) })
}

// NewLane makes the order of a session's calls.
func (n *Mesh) NewLane() *scheduler.Lane {
	return n.sched.NewLane(n.cfg.SessionCalls)
}

// laneOf returns the order of a session's calls.
func laneOf(s *session.Session) *scheduler.Lane {
	if e, ok := s.NetworkEntity().(dispatch.Laned); ok {
		return e.Lane()
	}
	return nil
}

// closedFrame says that a session has ended, and why.
func closedFrame(s *session.Session) *link.Frame {
	why := s.CloseReason()
	return &link.Frame{Kind: link.SessionClosed, Session: s.ID(), ID: uint64(why.Kind), Text: []byte(why.Reason)}
}

// endUpstream tells the nodes that know a session that it has ended.
func (n *Mesh) endUpstream(s *session.Session) {
	u, ok := n.upstreams.LoadAndDelete(s)
	if !ok {
		return
	}
	told := u.(*upstream).end()
	for _, p := range *n.peers.Load() {
		if _, ok := told[p]; !ok && p.link == nil { // may have it from another backend, and cannot ask to be told
			_ = p.send(closedFrame(s))
		}
	}
}

// Bind registers a user, and kicks whom the policy wants gone.
func (n *Mesh) Bind(s *session.Session, uid int64) error {
	if n.cfg.BindPolicy == session.BindRefuseNew && n.directory.elsewhere(uid, remoteKey{}) {
		return session.ErrUIDTaken
	}
	old, err := n.users.Bind(s, uid, n.bindTime(uid))
	if errors.Is(err, session.ErrClosed) {
		// Its connection has ended, but handlers of what came before that still run. OnClosed comes after them and is
		// to see the user, as it does in v0.5; nobody else is told.
		return nil
	}
	if err != nil {
		return err
	}
	n.tellBound(s, uid, false)
	n.tellChanged(s, uid)
	for _, o := range old {
		_ = o.Kick(users.KickReason) // it may have closed meanwhile, which is as well
	}
	return nil
}

// Unbind takes a user from a session.
func (n *Mesh) Unbind(s *session.Session, uid int64) {
	n.users.Unbind(s, uid)
	n.tellBound(s, uid, true)
	if n.users.UID(s) == 0 { // else it is another user by now, which was told
		n.tellChanged(s, 0)
	}
}

// GateOf returns the service address of the gate that a session's client is connected to. It is "" for a client of this node,
// and for a session without a client, such as that of a call between nodes.
func GateOf(s *session.Session) string {
	if r, ok := s.NetworkEntity().(*remote); ok {
		return r.key.gate
	}
	return ""
}
