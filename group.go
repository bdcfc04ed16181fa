package nano

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/session"
)

// SessionFilter chooses the members that a Multicast reaches. It may call the group's methods.
type SessionFilter func(*session.Session) bool

// Group is a set of sessions that are told things together: a room, a team, a table. A session leaves it by itself
// when it closes, after the OnClosed hooks. All methods may be called from any goroutine, and a broadcast holds up
// nobody who joins or leaves.
//
// A Group is a handle: copies are the same group, so a struct may embed it by value from *NewGroup(...). The zero
// Group has no members and takes none: its methods return ErrClosedGroup.
type Group struct{ m *members }

// members is the group itself.
type members struct {
	name string

	mu     sync.RWMutex
	closed bool
	list   []*session.Session           // in no order
	places map[*session.Session]place   // not by id: two nodes of a process may use the same ones
	uids   map[int64][]*session.Session // a user's sessions in the group, in the order in which they came
	shared bool                         // list is being read by a broadcast: copy before a change
}

// place is where a member stands.
type place struct {
	index int
	uid   int64 // under which uids has it
}

// NewGroup makes an empty group. The name is for the application's logs; names need not differ.
func NewGroup(n string) *Group {
	return &Group{&members{name: n, places: make(map[*session.Session]place), uids: make(map[int64][]*session.Session)}}
}

// Add makes a session a member. ErrClosedGroup, ErrSessionDuplication, or session.ErrClosed.
func (c *Group) Add(session *session.Session) error {
	if c.m == nil {
		return ErrClosedGroup
	}
	return c.m.add(session)
}

func (m *members) add(s *session.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosedGroup
	}
	if _, member := m.places[s]; member {
		return ErrSessionDuplication
	}
	// Observed under the lock: a Bind, the end or a Leave at this moment comes wholly before or wholly after.
	if !s.Observe(m) {
		return session.ErrClosed
	}
	m.ownLocked()
	m.list = append(m.list, s)
	m.places[s] = place{index: len(m.list) - 1}
	m.indexLocked(s)
	return nil
}

// ownLocked makes list safe to change while a broadcast reads the old one.
func (m *members) ownLocked() {
	if m.shared {
		m.list = slices.Clone(m.list)
		m.shared = false
	}
}

// indexLocked puts a member under the uid that it has now.
func (m *members) indexLocked(s *session.Session) {
	uid := s.UID()
	p, member := m.places[s]
	if !member || p.uid == uid {
		return
	}
	m.unindexLocked(s, p.uid)
	if uid != 0 {
		m.uids[uid] = append(m.uids[uid], s)
	}
	p.uid = uid
	m.places[s] = p
}

func (m *members) unindexLocked(s *session.Session, uid int64) {
	all := m.uids[uid]
	i := slices.Index(all, s)
	if i < 0 {
		return
	}
	if all = slices.Delete(all, i, i+1); len(all) == 0 {
		delete(m.uids, uid)
	} else {
		m.uids[uid] = all
	}
}

// SessionBound keeps the index by uid.
func (m *members) SessionBound(s *session.Session) {
	m.mu.Lock()
	m.indexLocked(s)
	m.mu.Unlock()
}

// SessionClosed takes a session out that has ended.
func (m *members) SessionClosed(s *session.Session) {
	m.mu.Lock()
	m.dropLocked(s)
	m.mu.Unlock()
}

// dropLocked removes a member; the last takes its place.
func (m *members) dropLocked(s *session.Session) {
	p, member := m.places[s]
	if !member {
		return
	}
	m.ownLocked()
	m.unindexLocked(s, p.uid)
	delete(m.places, s)
	last := len(m.list) - 1
	if moved := m.list[last]; moved != s {
		m.list[p.index] = moved
		q := m.places[moved]
		q.index = p.index
		m.places[moved] = q
	}
	m.list[last] = nil
	m.list = m.list[:last]
}

// Leave takes a session out; it is no error if it is no member. ErrClosedGroup.
func (c *Group) Leave(s *session.Session) error {
	if c.m == nil {
		return ErrClosedGroup
	}
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosedGroup
	}
	m.dropLocked(s)
	s.Unobserve(m)
	return nil
}

// LeaveAll takes everybody out. ErrClosedGroup.
func (c *Group) LeaveAll() error {
	if c.m == nil {
		return ErrClosedGroup
	}
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosedGroup
	}
	m.emptyLocked()
	return nil
}

func (m *members) emptyLocked() {
	for _, s := range m.list {
		s.Unobserve(m)
	}
	m.list, m.shared = nil, false
	clear(m.places)
	clear(m.uids)
}

// Close empties the group for good. ErrCloseClosedGroup.
func (c *Group) Close() error {
	if c.m == nil {
		return ErrCloseClosedGroup
	}
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrCloseClosedGroup
	}
	m.closed = true
	m.emptyLocked()
	return nil
}

// Count returns the number of members.
func (c *Group) Count() int {
	if c.m == nil {
		return 0
	}
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	return len(c.m.list)
}

// Name returns the name that NewGroup was given.
func (c *Group) Name() string {
	if c.m == nil {
		return ""
	}
	return c.m.name
}

// Contains tells whether a session of user uid is a member.
func (c *Group) Contains(uid int64) bool {
	_, err := c.Member(uid)
	return err == nil
}

// ContainsSession tells whether the session is a member.
func (c *Group) ContainsSession(s *session.Session) bool {
	if c.m == nil {
		return false
	}
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	_, member := c.m.places[s]
	return member
}

// Member returns the member that is user uid; of several, the one that joined first. ErrMemberNotFound.
func (c *Group) Member(uid int64) (*session.Session, error) {
	if c.m == nil {
		return nil, ErrMemberNotFound
	}
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	if uid == 0 { // sessions that are nobody's yet
		for _, s := range c.m.list {
			if s.UID() == 0 {
				return s, nil
			}
		}
		return nil, ErrMemberNotFound
	}
	all := c.m.uids[uid]
	if len(all) == 0 {
		return nil, ErrMemberNotFound
	}
	return all[0], nil
}

// Members returns the uid of each member, in no order; 0 for a session that is not bound.
func (c *Group) Members() []int64 {
	list := c.snapshot()
	uids := make([]int64, 0, len(list))
	for _, s := range list {
		uids = append(uids, s.UID())
	}
	return uids
}

// Sessions returns the members, in no order.
func (c *Group) Sessions() []*session.Session { return slices.Clone(c.snapshot()) }

// FindMember returns a member for which filter is true. ErrMemberNotFound.
func (c *Group) FindMember(filter func(ses *session.Session) bool) (*session.Session, error) {
	for _, s := range c.snapshot() {
		if filter(s) {
			return s, nil
		}
	}
	return nil, ErrMemberNotFound
}

// snapshot returns the members of this moment. The slice must not be changed: the next change of the group makes a
// new one, once, however many snapshots there are.
func (c *Group) snapshot() []*session.Session {
	if c.m == nil {
		return nil
	}
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shared = true
	return m.list[:len(m.list):len(m.list)]
}

func (c *Group) isClosed() bool {
	if c.m == nil {
		return true
	}
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	return c.m.closed
}

// Broadcast pushes v to all members. It is encoded once, and is the caller's again when Broadcast returns. It delivers to
// every member that can be reached, and joins the errors of the others: a member whose session has just ended is none.
// ErrClosedGroup.
func (c *Group) Broadcast(route string, v any) error {
	if c.isClosed() {
		return ErrClosedGroup
	}
	return multicast(route, v, c.snapshot())
}

// Multicast pushes v to the members that filter lets through, as Broadcast does to all. ErrClosedGroup.
func (c *Group) Multicast(route string, v any, filter SessionFilter) error {
	if c.isClosed() {
		return ErrClosedGroup
	}
	var to []*session.Session
	for _, s := range c.snapshot() {
		if filter(s) {
			to = append(to, s)
		}
	}
	return multicast(route, v, to)
}

// multicast gives each outlet its sessions at once: nearly always there is one.
func multicast(route string, v any, to []*session.Session) error {
	if len(to) == 0 {
		return nil
	}
	first := outletOf(to[0])
	n := 1
	for n < len(to) && outletOf(to[n]) == first {
		n++
	}
	if n == len(to) && first != nil {
		return first.Multicast(route, v, to)
	}
	groups := make(map[session.Outlet][]*session.Session)
	var errs []error
	for _, s := range to {
		if o := outletOf(s); o != nil {
			groups[o] = append(groups[o], s)
		} else if err := s.Push(route, v); err != nil && !errors.Is(err, cluster.ErrBrokenPipe) { // a mock, or its gate is gone
			errs = append(errs, fmt.Errorf("session %d: %w", s.ID(), err))
		}
	}
	for o, list := range groups {
		errs = append(errs, o.Multicast(route, v, list))
	}
	return errors.Join(errs...)
}

// outletOf returns where pushes to a session can be merged with others, nil if nowhere.
func outletOf(s *session.Session) session.Outlet {
	if e, ok := s.NetworkEntity().(session.Multicaster); ok {
		return e.Outlet()
	}
	return nil
}
