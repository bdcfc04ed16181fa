package mesh

import (
	"slices"
	"sync"

	"github.com/lonng/nano/session"
)

// directory knows which users are at which other gates, and decides between two logins of one user
// by the bind policy. Every gate tells every node of its own; so each node has the whole, a moment
// late. It does nothing itself: logins carries out what it says. What is decided between two
// sessions of one node, under the lock that makes it one step, is users.Register's. The methods may
// be called concurrently.
type directory struct {
	policy session.BindPolicy

	mu      sync.RWMutex
	users   map[int64]map[sessionKey]uint64 // since when, see login
	binding map[int64][]*awaitedBind        // Binds by backends that wait for the scheduler, by user
}

// login is a session at a gate that has become a user's.
type login struct {
	at    sessionKey
	since uint64 // unix nanoseconds on the gate's clock, but later than each login that the gate had heard of
}

func newDirectory(policy session.BindPolicy) *directory {
	return &directory{
		policy: policy,
		users:  make(map[int64]map[sessionKey]uint64), binding: make(map[int64][]*awaitedBind),
	}
}

// admit tells whether a session may become the user: it may not be refused because of another one
// that has the user, at another gate or, with here set, at this one. but is the session itself, if
// it is at another gate.
func (d *directory) admit(uid int64, but sessionKey, here bool) error {
	if d.policy == session.BindRefuseNew && (here || d.elsewhere(uid, but)) {
		return session.ErrUIDTaken
	}
	return nil
}

// since is when a login here began, if that is now: later than any other of the user that is known,
// whatever the clock of its gate says.
func (d *directory) since(uid int64, now uint64, here []uint64) uint64 {
	for _, at := range here {
		now = max(now, at+1)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, at := range d.users[uid] {
		now = max(now, at+1)
	}
	return now
}

// loses tells whether a session at this gate that has been the user's since then is kicked because
// of another login. Both gates decide by the same two times, so one of the two sessions stays.
func (d *directory) loses(since uint64, gate string, to login) bool {
	older := since < to.since || since == to.since && gate < to.at.gate
	return d.policy == session.BindKickOld && older || d.policy == session.BindRefuseNew && !older
}

// enter notes a login at another gate.
func (d *directory) enter(uid int64, l login) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users[uid] == nil {
		d.users[uid] = make(map[sessionKey]uint64, 1)
	}
	d.users[uid][l.at] = l.since
}

// leave notes that a session at another gate is not the user's any more.
func (d *directory) leave(uid int64, at sessionKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.users[uid], at)
	if len(d.users[uid]) == 0 {
		delete(d.users, uid)
	}
}

// move notes that a user's session goes from one gate to another.
func (d *directory) move(uid, id int64, from, to process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := sessionKey{from.addr, from.epoch, id}
	since, ok := d.users[uid][old]
	if !ok {
		return
	}
	delete(d.users[uid], old)
	d.users[uid][sessionKey{to.addr, to.epoch, id}] = since
}

// dropGate forgets the users at one process of a gate.
func (d *directory) dropGate(gate process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for uid, at := range d.users {
		for key := range at {
			if key.of(gate) {
				delete(at, key)
			}
		}
		if len(at) == 0 {
			delete(d.users, uid)
		}
	}
}

// elsewhere tells whether another session than that, at another gate, has the user.
func (d *directory) elsewhere(uid int64, but sessionKey) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for key := range d.users[uid] {
		if key != but {
			return true
		}
	}
	return false
}

// of returns the sessions of a user at other gates.
func (d *directory) of(uid int64) []sessionKey {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]sessionKey, 0, len(d.users[uid]))
	for key := range d.users[uid] {
		all = append(all, key)
	}
	return all
}

// find returns where a session of a user is by now that was at a gate.
func (d *directory) find(uid int64, was sessionKey) (key sessionKey, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if _, ok = d.users[uid][was]; ok {
		return was, true
	}
	for key = range d.users[uid] {
		if key.id == was.id {
			return key, true
		}
	}
	return sessionKey{}, false
}

// add puts the users at other gates into a set.
func (d *directory) add(set map[int64]struct{}) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for uid := range d.users {
		set[uid] = struct{}{}
	}
}

// awaitedBind is a Bind by a backend that waits for the gate's scheduler.
type awaitedBind struct {
	uid    int64
	kicked bool   // the user was kicked since
	reason string // of the kick
}

// expect notes a Bind by a backend, until it has met with the scheduler.
func (d *directory) expect(uid int64) *awaitedBind {
	b := &awaitedBind{uid: uid}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.binding[uid] = append(d.binding[uid], b)
	return b
}

// met notes that a Bind has run, and tells whether the user was kicked in between.
func (d *directory) met(b *awaitedBind) (reason string, kicked bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := slices.DeleteFunc(d.binding[b.uid], func(o *awaitedBind) bool { return o == b })
	if d.binding[b.uid] = left; len(left) == 0 {
		delete(d.binding, b.uid)
	}
	return b.reason, b.kicked
}

// kickAwaited has those be kicked whose Bind to the user has not run yet, and tells whether there
// are any.
func (d *directory) kickAwaited(uid int64, reason string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.binding[uid] {
		b.kicked, b.reason = true, reason
	}
	return len(d.binding[uid]) > 0
}
