// Package users is a node's register of sessions: by id, and by the user they are bound to.
package users

import (
	"slices"
	"sync"

	"github.com/lonng/nano/session"
)

// KickReason is the reason that a session is kicked with when another one replaces it.
const KickReason = "signed in elsewhere"

// binding is the user that the register knows a live session as. The session itself says so a
// moment later, and may end in between.
type binding struct {
	uid   int64
	since uint64 // when it was bound, by the clock of who binds
}

// Register holds the live sessions. Its methods are safe for concurrent use. A session is only
// removed as itself, so the end of an old session does not touch a newer one of the same user.
type Register struct {
	policy session.BindPolicy

	mu    sync.RWMutex
	byID  map[int64]*session.Session
	bound map[*session.Session]binding // those that are bound
	byUID map[int64][]*session.Session
}

// New returns an empty register.
func New(p session.BindPolicy) *Register {
	return &Register{
		policy: p,
		byID:   make(map[int64]*session.Session),
		bound:  make(map[*session.Session]binding),
		byUID:  make(map[int64][]*session.Session),
	}
}

// Add enters a session that was opened.
func (r *Register) Add(s *session.Session) {
	r.mu.Lock()
	r.byID[s.ID()] = s
	r.mu.Unlock()
}

// Bind binds s to user uid at the time since, and returns the sessions that the policy wants
// kicked. It is the work of a session.Binder.
func (r *Register) Bind(s *session.Session, uid int64, since uint64) (kick []*session.Session, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[s.ID()] != s {
		return nil, session.ErrClosed
	}
	was := r.bound[s].uid
	if was == uid {
		return nil, nil
	}
	others := r.byUID[uid]
	if len(others) > 0 {
		switch r.policy {
		case session.BindRefuseNew:
			return nil, session.ErrUIDTaken
		case session.BindKickOld:
			kick, others = others, nil
			for _, old := range kick {
				delete(r.bound, old)
			}
		}
	}
	r.dropLocked(s, was)
	r.bound[s] = binding{uid: uid, since: since}
	r.byUID[uid] = append(slices.Clip(others), s)
	return kick, nil
}

// Unbind removes user uid from s, if s is bound to it.
func (r *Register) Unbind(s *session.Session, uid int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, ok := r.bound[s]; ok && b.uid == uid {
		delete(r.bound, s)
		r.dropLocked(s, uid)
	}
}

// Remove removes a session that has ended, and returns the user that it was bound to, or 0.
func (r *Register) Remove(s *session.Session) (uid int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[s.ID()] == s {
		delete(r.byID, s.ID())
	}
	uid = r.bound[s].uid
	delete(r.bound, s)
	r.dropLocked(s, uid)
	return uid
}

// Since returns when a session was bound, or 0 if it is not.
func (r *Register) Since(s *session.Session) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bound[s].since
}

// UID returns the user that a live session is bound to, or 0.
func (r *Register) UID(s *session.Session) int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bound[s].uid
}

// Sessions appends the live sessions among ids to to.
func (r *Register) Sessions(ids []int64, to []*session.Session) []*session.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, id := range ids {
		if s := r.byID[id]; s != nil {
			to = append(to, s)
		}
	}
	return to
}

func (r *Register) dropLocked(s *session.Session, uid int64) {
	all := r.byUID[uid]
	i := slices.Index(all, s)
	switch {
	case i < 0:
	case len(all) == 1:
		delete(r.byUID, uid)
	default: // a new slice: readers hold the old one
		r.byUID[uid] = append(slices.Clone(all[:i]), all[i+1:]...)
	}
}

// Session returns the live session with that id, or nil.
func (r *Register) Session(id int64) *session.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// Of returns the sessions that user uid has now. The caller may keep the slice and must not change
// it.
func (r *Register) Of(uid int64) []*session.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byUID[uid]
}

// UIDs returns the users that have a session now.
func (r *Register) UIDs() []int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	uids := make([]int64, 0, len(r.byUID))
	for uid := range r.byUID {
		uids = append(uids, uid)
	}
	return uids
}

// Len returns the number of live sessions.
func (r *Register) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byID)
}

// All returns the live sessions, in no order.
func (r *Register) All() []*session.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*session.Session, 0, len(r.byID))
	for _, s := range r.byID {
		all = append(all, s)
	}
	return all
}

// Users returns the number of users with a live session.
func (r *Register) Users() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byUID)
}
