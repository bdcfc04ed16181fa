package session

import (
	"reflect"
	"sync/atomic"
	"time"
)

// What stands in this file is for the node and for registers of sessions like nano.Group, not
// for applications.

// NewWithID is [New] with an id that the caller chooses. A node uses it with ids of its own, and
// for sessions of other nodes.
func NewWithID(entity NetworkEntity, id int64) *Session {
	return &Session{id: id, entity: entity, since: uint32(time.Now().Unix())} // enough until 2106
}

// SetLifetime sets whose OnBound handlers [Session.Bind] calls. The default, also for nil, is
// [Lifetime]. Whoever makes the session calls it, before any other goroutine has the session.
func (s *Session) SetLifetime(l *Lifetimes) { s.life = l }

// Adopt sets the user of the session to uid; 0 means no user, and drops all values too. A node
// that is not the client's gate calls it when the gate has bound or cleared the session: Adopt
// neither asks nor tells the network entity. It reports whether the user has changed. Then it
// has told the observers, and the caller runs the OnBound handlers ([Lifetimes.Bound]). A closed
// session stays as it is.
func (s *Session) Adopt(uid int64) (changed bool) {
	changed = s.adopt(uid)
	if changed {
		s.tellBound()
	}
	return changed
}

// Rehome has another network entity carry the session from now on. A node calls it when the
// session's client has come to another gate, or from there to this one. What is under way with the
// entity before has to find its way by itself.
func (s *Session) Rehome(entity NetworkEntity) {
	s.more().moved.Store(&entity)
	OutletChanged()
}

// outlets counts the changes of outlets, those of all sessions together.
var outlets atomic.Uint64

// OutletChanged says that the [Outlet] of a session is another one now. Who carries sessions and
// implements [Multicaster] calls it after each such change, because groups remember which outlet
// their members have. It may be called from any goroutine.
func OutletChanged() { outlets.Add(1) }

// OutletChanges returns how often OutletChanged was called: what was known of outlets at one value
// holds until there is another.
func OutletChanges() uint64 { return outlets.Load() }

// SetGap says whether messages were lost when the session's client came back. A node calls it
// before [Lifetimes.Resume].
func (s *Session) SetGap(gap bool) {
	if gap || s.extra.Load() != nil {
		s.more().gap.Store(gap)
	}
}

// Observer hears what happens to a session that it holds, as a group does. It must be a pointer
// or otherwise comparable. Its methods may be called from any goroutine; the session holds no
// lock meanwhile.
type Observer interface {
	// SessionBound is called after the uid of s has changed. The calls for two changes at once may
	// come in either order: s.UID() is the present one.
	SessionBound(s *Session)
	// SessionClosed is called once, after the OnClosed handlers. The session forgets the observer
	// then.
	SessionClosed(s *Session)
}

// Observe adds an observer; adding it twice has no effect. It reports false, and does not add o,
// if the session has closed, or if o is nil or not comparable.
func (s *Session) Observe(o Observer) bool {
	if o == nil || !reflect.ValueOf(o).Comparable() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() >= phaseClosing {
		return false
	}
	x := s.more()
	if x.observers == nil {
		x.observers = new(observers)
	}
	x.observers.add(o)
	return true
}

// Unobserve removes an observer. It does not wait for a call to o that is under way.
func (s *Session) Unobserve(o Observer) {
	if o == nil || !reflect.ValueOf(o).Comparable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.extra.Load(); x != nil && x.observers != nil {
		x.observers.remove(o)
	}
}

// Observers returns those who observe the session now, in the order in which they came.
func (s *Session) Observers() []Observer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.extra.Load(); x != nil {
		return x.observers.all()
	}
	return nil
}

// Routes returns which node serves the session for each service, as its [Router] has it: nil if
// none was chosen. It makes no Router.
func (s *Session) Routes() map[string]string {
	x := s.extra.Load()
	if x == nil {
		return nil
	}
	r := x.router.Load()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.routes) == 0 {
		return nil
	}
	all := make(map[string]string, len(r.routes))
	for _, b := range r.routes {
		all[b.service] = b.address
	}
	return all
}
