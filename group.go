package nano

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/internal/groups"
	"github.com/lonng/nano/session"
)

// SessionFilter chooses the members that a Multicast reaches. It may call the group's methods.
type SessionFilter func(*session.Session) bool

// Group is a set of sessions that receive the same messages: a room, a team, a table. A session
// leaves it by itself when it closes, after the OnClosed hooks. All methods are safe for concurrent
// use, and a broadcast does not block a join or a leave.
//
// A Group is a handle: copies are the same group, so a struct may embed it by value from
// *NewGroup(...). The zero Group is a closed one: its methods return ErrClosedGroup.
type Group struct{ m *members }

// members is the group itself.
type members struct {
	entry groups.Entry

	mu     sync.RWMutex
	closed bool
	list   []*session.Session           // in no order
	places map[*session.Session]place   // not by id: two nodes of a process may use the same ids
	uids   map[int64][]*session.Session // a user's sessions in the group, in the order in which they came
	shared bool                         // list is being read by a broadcast: copy before a change
	parted *parted                      // list by outlets, if a broadcast has found that out
}

// place is the position of a member.
type place struct {
	index int
	uid   int64 // the key under which uids has it
}

// NewGroup returns an empty group. The name is for the application's logs; two groups may have the
// same one.
func NewGroup(n string) *Group {
	m := &members{places: make(map[*session.Session]place), uids: make(map[int64][]*session.Session)}
	m.entry.Name = n
	return &Group{m}
}

// Add makes a session a member. It returns ErrSessionDuplication if the session is a member
// already, session.ErrClosed if it has ended, and ErrClosedGroup if the group is closed.
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
	// Under the lock: a Bind, the session's end or a Leave at this moment comes wholly before or
	// after.
	if !s.Observe(m) {
		return session.ErrClosed
	}
	m.ownLocked()
	m.list = append(m.list, s)
	m.places[s] = place{index: len(m.list) - 1}
	m.indexLocked(s)
	m.countLocked()
	m.entry.Join(s.NetworkEntity())
	return nil
}

// countLocked tells the figures how many members there are.
func (m *members) countLocked() { m.entry.Members.Store(int64(len(m.list))) }

// ownLocked makes list safe to change while a broadcast reads the old one.
func (m *members) ownLocked() {
	if m.shared {
		m.list = slices.Clone(m.list)
		m.shared, m.parted = false, nil
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

// SessionBound updates the index of users.
func (m *members) SessionBound(s *session.Session) {
	m.mu.Lock()
	m.indexLocked(s)
	m.mu.Unlock()
}

// SessionClosed removes a session that has ended.
func (m *members) SessionClosed(s *session.Session) {
	m.mu.Lock()
	m.dropLocked(s)
	m.mu.Unlock()
}

// dropLocked removes a member; the last one in the list takes its place.
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
	m.countLocked()
}

// Leave removes a session, and does nothing if it is not a member. It returns ErrClosedGroup if the
// group is closed.
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

// LeaveAll removes all members. It returns ErrClosedGroup if the group is closed.
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
	m.list, m.shared, m.parted = nil, false, nil
	clear(m.places)
	clear(m.uids)
	m.countLocked()
}

// Close removes all members, and the group takes no more. It returns ErrCloseClosedGroup if the
// group is closed already.
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
	m.entry.Closed.Store(true)
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
	return c.m.entry.Name
}

// Contains reports whether a session of user uid is a member.
func (c *Group) Contains(uid int64) bool {
	_, err := c.Member(uid)
	return err == nil
}

// ContainsSession reports whether the session is a member.
func (c *Group) ContainsSession(s *session.Session) bool {
	if c.m == nil {
		return false
	}
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	_, member := c.m.places[s]
	return member
}

// Member returns the session of user uid in the group: the one that joined first, if there are
// more. It returns ErrMemberNotFound if there is none.
func (c *Group) Member(uid int64) (*session.Session, error) {
	if c.m == nil {
		return nil, ErrMemberNotFound
	}
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	if uid == 0 { // sessions that are not bound
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

// Members returns the uid of each member, in no order. The uid of a session that is not bound is 0.
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

// FindMember returns a member for which filter is true, or ErrMemberNotFound. filter may call the
// group's methods.
func (c *Group) FindMember(filter func(ses *session.Session) bool) (*session.Session, error) {
	for _, s := range c.snapshot() {
		if filter(s) {
			return s, nil
		}
	}
	return nil, ErrMemberNotFound
}

// snapshot returns the members of this moment. Callers must not change the slice. The next change
// of the group copies the list once, however many snapshots there are.
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

// Broadcast pushes v to all members. It encodes v once for each gate that has members, and the
// caller may change v afterwards. It delivers to every reachable member and joins the errors of the
// others. A member whose session has just ended is no error. Broadcast returns ErrClosedGroup if
// the group is closed.
func (c *Group) Broadcast(route string, v any) error {
	if c.isClosed() {
		return ErrClosedGroup
	}
	to := c.snapshot()
	c.m.entry.Broadcast(len(to))
	return c.m.part(to).push(route, v)
}

// Multicast pushes v to the members for which filter is true, as Broadcast does to all. It returns
// ErrClosedGroup if the group is closed.
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
	c.m.entry.Broadcast(len(to))
	return partBy(to).push(route, v)
}

// parted is sessions by the outlets that they had. It does not change.
type parted struct {
	of     []*session.Session // all of them
	at     uint64             // session.OutletChanges before
	parts  []part
	single []*session.Session // have no outlet: mocks, and those whose gate is gone
}

// part is the sessions of one outlet.
type part struct {
	outlet   session.Outlet
	sessions []*session.Session
}

// part returns the members by their outlets. When neither they nor any outlet has changed, that is
// known from the broadcast before.
func (m *members) part(to []*session.Session) *parted {
	m.mu.RLock()
	p := m.parted
	m.mu.RUnlock()
	if p.holds(to) && p.at == session.OutletChanges() {
		return p
	}
	p = partBy(to)
	m.mu.Lock()
	if p.holds(m.list) { // else they have changed meanwhile, and who has left should not be kept
		m.parted = p
	}
	m.mu.Unlock()
	return p
}

// holds tells whether p is of this very list. A list that a broadcast has seen does not change.
func (p *parted) holds(list []*session.Session) bool {
	return p != nil && len(list) > 0 && len(p.of) == len(list) && &p.of[0] == &list[0]
}

// partBy looks for the outlet of each session. There is nearly always one for all.
func partBy(to []*session.Session) *parted {
	p := &parted{of: to, at: session.OutletChanges()}
	if len(to) == 0 {
		return p
	}
	first := outletOf(to[0])
	n := 1
	for n < len(to) && outletOf(to[n]) == first {
		n++
	}
	if n == len(to) && first != nil {
		p.parts = []part{{first, to}}
		return p
	}
	places := make(map[session.Outlet]int)
	for _, s := range to {
		o := outletOf(s)
		if o == nil {
			p.single = append(p.single, s)
			continue
		}
		i, known := places[o]
		if !known {
			i = len(p.parts)
			places[o] = i
			p.parts = append(p.parts, part{outlet: o})
		}
		p.parts[i].sessions = append(p.parts[i].sessions, s)
	}
	return p
}

// push hands each outlet all of its sessions at once.
func (p *parted) push(route string, v any) error {
	var errs []error
	for _, s := range p.single {
		if err := s.Push(route, v); err != nil && !errors.Is(err, cluster.ErrBrokenPipe) {
			errs = append(errs, fmt.Errorf("nano: session %d: %w", s.ID(), err))
		}
	}
	for _, part := range p.parts {
		if err := part.outlet.Multicast(route, v, part.sessions); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// outletOf returns the outlet that merges pushes to a session with others, or nil.
func outletOf(s *session.Session) session.Outlet {
	if e, ok := s.NetworkEntity().(session.Multicaster); ok {
		return e.Outlet()
	}
	return nil
}
