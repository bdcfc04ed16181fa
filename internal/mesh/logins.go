package mesh

import (
	"errors"
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/session"
)

// logins are the users of all gates: who signs in here is told to every node, and what other gates
// tell is kept in the directory, which decides about second logins. What can be done for a user
// stands in online.go. The methods may be called concurrently.
type logins struct {
	*node
	peers     *peers
	sessions  *gateSessions
	arrivals  *arrivals
	directory *directory
}

// Bind makes a session of this gate the user's, and kicks whom the policy wants gone. It is for the
// gate.
func (l *logins) Bind(s *session.Session, uid int64) error {
	if err := l.directory.admit(uid, sessionKey{}, false); err != nil { // those of this gate are the register's
		return err
	}
	old, err := l.users.Bind(s, uid, l.directory.since(uid, uint64(time.Now().UnixNano()), l.sinceHere(uid)))
	if errors.Is(err, session.ErrClosed) {
		// Its connection has ended, but handlers of what came before that still run. OnClosed comes
		// after them and is to see the user, as it does in v0.5; nobody else is told.
		return nil
	}
	if err != nil {
		return err
	}
	l.tell(s, uid, false)
	if g := l.sessions.find(s); g != nil {
		g.tellUser(uid)
	}
	for _, o := range old {
		l.tell(o, uid, true)         // its end does not: the register has it as nobody's
		_ = o.Kick(users.KickReason) // it may have closed meanwhile, which is as well
	}
	return nil
}

// Unbind takes the user from a session of this gate. It is for the gate.
func (l *logins) Unbind(s *session.Session, uid int64) {
	l.users.Unbind(s, uid)
	l.tell(s, uid, true)
	if g := l.sessions.find(s); g != nil && l.users.UID(s) == 0 { // else it is another user by now, which was told
		g.tellUser(0)
	}
}

// admit tells whether a client of another gate may become the user.
func (l *logins) admit(uid int64, at sessionKey) error {
	return l.directory.admit(uid, at, len(l.users.Of(uid)) > 0)
}

// sinceHere returns the times at which the user's sessions of this gate were bound.
func (l *logins) sinceHere(uid int64) (all []uint64) {
	for _, s := range l.users.Of(uid) {
		all = append(all, l.users.Since(s))
	}
	return all
}

// tell tells all nodes that a client of this gate is a user, or is not any more.
func (l *logins) tell(s *session.Session, uid int64, off bool) {
	if !l.cfg.clustered() {
		return
	}
	f := link.Frame{Kind: link.Bound, Session: s.ID(), UID: uid, ID: l.users.Since(s)}
	if off {
		f.Flags, f.ID = flagOff, 0
	}
	for _, p := range l.peers.all() {
		if p.link != nil {
			_ = p.send(&f) // a node that cannot be reached is told everything when its link is up again
		}
	}
	if !off && l.users.UID(s) != uid { // it ended meanwhile: who told that may have been first
		l.tell(s, uid, true)
	}
}

// tellAll tells a node all users of this gate.
func (l *logins) tellAll(p *peer) {
	for _, uid := range l.users.UIDs() {
		for _, s := range l.users.Of(uid) {
			_ = p.send(&link.Frame{Kind: link.Bound, Session: s.ID(), UID: uid, ID: l.users.Since(s)})
			if l.users.UID(s) != uid { // not any more, and who told that may have been first
				_ = p.send(&link.Frame{Kind: link.Bound, Flags: flagOff, Session: s.ID(), UID: uid})
			}
		}
	}
}

// tellEverybody tells all nodes all users of this gate: the list had lost this node, and so they
// may have.
func (l *logins) tellEverybody() {
	for _, p := range l.peers.all() {
		l.tellAll(p)
	}
}

// handleBound notes what a gate tells, and kicks the sessions here that lose to the one there.
func (l *logins) handleBound(at sessionKey, f *link.Frame) {
	if f.Flags&flagOff != 0 {
		l.directory.leave(f.UID, at)
		return
	}
	other := login{at, f.ID}
	l.directory.enter(f.UID, other)
	if p := l.peers.to(process{at.gate, at.epoch}); p != nil {
		p.hasUsers.Store(true)
	}
	for _, s := range l.users.Of(f.UID) {
		if l.directory.loses(l.users.Since(s), l.addr, other) {
			_ = s.Kick(users.KickReason)
		}
	}
}

// handleBind binds a session of this gate on behalf of a backend, on the node's scheduler. Who
// kicks the user until then kicks this session, too.
func (l *logins) handleBind(s *session.Session, uid int64) {
	bind := l.directory.expect(uid)
	l.sched.PushTaskTo(laneOf(s), func() {
		defer func() {
			if reason, kicked := l.directory.met(bind); kicked {
				_ = s.Kick(reason) // one that has closed meanwhile is as well
			}
		}()
		l.bindFor(s, uid)
	})
}

func (l *logins) bindFor(s *session.Session, uid int64) {
	if uid == 0 {
		s.Clear()
		if was := l.users.UID(s); was != 0 && s.UID() == 0 {
			l.Unbind(s, was) // see below
		}
		return
	}
	err := s.Bind(uid)
	if err == nil && s.UID() == uid && l.users.UID(s) != uid {
		err = l.Bind(s, uid) // a handler of this node bound it, on its way here
	}
	if errors.Is(err, session.ErrUIDTaken) {
		_ = s.Kick("already signed in") // the backend was told that it worked: this session lost a race
	} else if err != nil && !errors.Is(err, session.ErrClosed) {
		l.log.Warn("a backend's Bind failed", "session", s.ID(), "uid", uid, "err", err)
	}
}
