package mesh

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/session"
)

// directory knows which users are connected to which other gates. Every gate tells every node of its own; so each
// node has the whole, a moment late.
type directory struct {
	mu    sync.RWMutex
	users map[int64]map[remoteKey]uint64 // since when, unix nanoseconds on the gate's clock

	binding map[int64][]*awaitedBind // Binds by backends that wait for the scheduler, by user
}

// awaitedBind is a Bind by a backend that waits for the scheduler.
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

// kickAwaited has those be kicked whose Bind to the user has not run yet, and tells whether there are any.
func (d *directory) kickAwaited(uid int64, reason string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.binding[uid] {
		b.kicked, b.reason = true, reason
	}
	return len(d.binding[uid]) > 0
}

// elsewhere tells whether another session has the user.
func (d *directory) elsewhere(uid int64, but remoteKey) bool {
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
func (d *directory) of(uid int64) []remoteKey {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]remoteKey, 0, len(d.users[uid]))
	for key := range d.users[uid] {
		all = append(all, key)
	}
	return all
}

// add puts the users into a set.
func (d *directory) add(set map[int64]struct{}) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for uid := range d.users {
		set[uid] = struct{}{}
	}
}

// take notes what a gate tells, and has the bind policy decide between two logins of one user.
func (d *directory) take(n *Mesh, from *origin, f *link.Frame) {
	key := remoteKey{from.addr, from.epoch, f.Session}
	d.mu.Lock()
	if f.Flags&flagOff != 0 {
		delete(d.users[f.UID], key)
		if len(d.users[f.UID]) == 0 {
			delete(d.users, f.UID)
		}
		d.mu.Unlock()
		return
	}
	if d.users[f.UID] == nil {
		d.users[f.UID] = make(map[remoteKey]uint64, 1)
	}
	d.users[f.UID][key] = f.ID
	d.mu.Unlock()

	for _, s := range n.users.Of(f.UID) {
		since := n.users.Since(s)
		older := since < f.ID || since == f.ID && n.addr < from.addr
		if n.cfg.BindPolicy == session.BindKickOld && older || n.cfg.BindPolicy == session.BindRefuseNew && !older {
			_ = s.Kick(users.KickReason)
		}
	}
}

// drop forgets a gate.
func (d *directory) drop(addr string, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for uid, at := range d.users {
		for key := range at {
			if key.gate == addr && key.epoch == epoch {
				delete(at, key)
			}
		}
		if len(at) == 0 {
			delete(d.users, uid)
		}
	}
}

// tellBound tells all nodes that a client of this gate is a user, or is not any more.
func (n *Mesh) tellBound(s *session.Session, uid int64, off bool) {
	if !n.cfg.clustered() {
		return
	}
	f := link.Frame{Kind: link.Bound, Session: s.ID(), UID: uid, ID: n.users.Since(s)}
	if off {
		f.Flags, f.ID = flagOff, 0
	}
	for _, p := range *n.peers.Load() {
		if p.link != nil {
			_ = p.send(&f) // a node that cannot be reached is told everything when its link is up again
		}
	}
	if !off && n.users.UID(s) != uid { // it ended meanwhile: who told that may have been first
		n.tellBound(s, uid, true)
	}
}

// tellChanged tells the nodes that know a session whose it is now.
func (n *Mesh) tellChanged(s *session.Session, uid int64) {
	if u, ok := n.upstreams.Load(s); ok {
		u.(*upstream).tellUser(uid)
	}
}

// tellAllBound tells a node all users of this gate.
func (n *Mesh) tellAllBound(p *peer) {
	for _, uid := range n.users.UIDs() {
		for _, s := range n.users.Of(uid) {
			_ = p.send(&link.Frame{Kind: link.Bound, Session: s.ID(), UID: uid, ID: n.users.Since(s)})
			if n.users.UID(s) != uid { // not any more, and who told that may have been first
				_ = p.send(&link.Frame{Kind: link.Bound, Flags: flagOff, Session: s.ID(), UID: uid})
			}
		}
	}
}

// Online tells whether a user is connected to any gate of the cluster, as far as this node knows: news of other
// gates take a moment.
func (n *Mesh) Online(uid int64) bool {
	return len(n.users.Of(uid)) > 0 || n.directory.elsewhere(uid, remoteKey{})
}

// OnlineUIDs returns the users who are connected to any gate, in no order.
func (n *Mesh) OnlineUIDs() []int64 {
	set := make(map[int64]struct{})
	for _, uid := range n.users.UIDs() {
		set[uid] = struct{}{}
	}
	n.directory.add(set)
	uids := make([]int64, 0, len(set))
	for uid := range set {
		uids = append(uids, uid)
	}
	return uids
}

// ErrOffline is returned for a user who has no session anywhere.
var ErrOffline = fault.New(fault.NotFound, "cluster: the user is not online")

// PushTo pushes to all sessions of a user, whichever gates they are at. ErrOffline if there are none.
func (n *Mesh) PushTo(uid int64, route string, v any) error {
	return n.each(uid, v, func(s *session.Session, data []byte) error { return s.Push(route, data) },
		func(p *peer, id int64, data []byte) error {
			if err := checkPush(route, data); err != nil {
				return err
			}
			return p.send(&link.Frame{Kind: link.Push, Session: id, Route: []byte(route), Data: data})
		})
}

func (n *Mesh) each(uid int64, v any, here func(*session.Session, []byte) error, there func(*peer, int64, []byte) error) error {
	data, err := n.serialize(v)
	if err != nil {
		return err
	}
	local, away := n.users.Of(uid), n.directory.of(uid)
	var errs []error
	for _, s := range local {
		errs = append(errs, here(s, data))
	}
	for _, key := range away {
		if p := n.peer(key.gate); p != nil && p.epoch == key.epoch {
			errs = append(errs, there(p, key.id, data))
		}
	}
	if len(errs) == 0 {
		return ErrOffline
	}
	return errors.Join(errs...)
}

// bindTime is the time of a Bind, by which the policy tells older from newer. It is later than that of any other login of
// the user that is known here, whatever the clock of its gate says.
func (n *Mesh) bindTime(uid int64) uint64 {
	now := uint64(time.Now().UnixNano())
	for _, s := range n.users.Of(uid) {
		now = max(now, n.users.Since(s)+1)
	}
	n.directory.mu.RLock()
	defer n.directory.mu.RUnlock()
	for _, since := range n.directory.users[uid] {
		now = max(now, since+1)
	}
	return now
}
