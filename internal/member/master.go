package member

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Missed is how many heartbeat intervals a member may be silent.
const Missed = 4

// DefaultQuarantine is how long a node id rests after its node was dropped, if Config does not say
// it.
const DefaultQuarantine = time.Hour

// DefaultMaxLoss is which share of its members a master believes to be dead at once, if Config does
// not say it.
const DefaultMaxLoss = 0.5

// Config configures a Master.
type Config struct {
	Interval   time.Duration // between two heartbeats of a member
	Quarantine time.Duration // how long the node id of a node that is gone is not leased again; 0: DefaultQuarantine
	MaxLoss    float64       // share of the other members that may be lost at once, see Tick; 0: DefaultMaxLoss, 1: all
}

// Master keeps the list. It is not safe for concurrent use. Times that are passed to it must not go
// back.
//
// Tick has to be called several times an interval. When there was no event at all for longer than
// an interval, the master itself had stopped (a paused process, a suspended machine): the time that
// it slept through counts against nobody.
type Master struct {
	cfg     Config
	epoch   uint64
	now     time.Time // of the last event
	settles time.Time // when every living node must have been heard
	settled bool
	holding bool // too many are silent at once: nobody is dropped

	self    *record
	list    []*record // in order of their coming, self first
	byAddr  map[string]*record
	leases  *leases
	version uint64
	steps   []Call           // the last changes, what is told to members
	ghosts  map[string]ghost // legacy members that were dropped, by address
	view    *View            // nil: to be made
	left    []Member         // during one event
	serial  uint64           // of tells
}

// record is a member, and how it stands with what it has to be told.
type record struct {
	Member
	last time.Time // when it was heard
	news
}

// keepSteps is how many changes are kept for members to whom a call is under way. Who misses more
// fetches.
const keepSteps = 256

// Effects is what the caller has to do after an event, without holding up the next one.
type Effects struct {
	Changed bool     // the list did: give View to the Peers of the master's own node
	Held    int      // so many members are silent at once that none of them is dropped; said once, when that begins
	Freed   bool     // that is over
	Left    []Member // members that are gone, each process once: for the application's callback; and give up calls to them
	Tells   []Tell   // calls to make; those to different members at once
}

// Admission is the answer to a registration.
type Admission struct {
	NodeID  uint64   // for its session ids; 0 for a legacy node
	Members []Member // all others; for a legacy node what it is to see of them
	View    View     // the list with the new member in it; a legacy node has no use for it
}

// Answer is the answer to a heartbeat.
type Answer struct {
	NodeID   uint64  // for session ids made from now on; seldom another than before
	Version  Version // of the list
	Fetch    bool    // the sender's list is another: it needs View
	Rejoined bool    // the master did not know it, so other nodes may have taken it for dead and closed its sessions
}

// NewMaster returns a master whose list holds self alone. self needs an address and an epoch.
func NewMaster(self Member, cfg Config, now time.Time) (*Master, error) {
	self = clean(self)
	switch {
	case self.Addr == "":
		return nil, ErrEmpty
	case self.Epoch == 0:
		return nil, ErrEpoch
	case cfg.Interval <= 0:
		return nil, fmt.Errorf("%w: it is %v", ErrInterval, cfg.Interval)
	case self.NodeID > MaxNodeID:
		return nil, fmt.Errorf("%w: %d", ErrNodeID, self.NodeID)
	}
	if cfg.Quarantine <= 0 {
		cfg.Quarantine = DefaultQuarantine
	}
	if cfg.MaxLoss <= 0 {
		cfg.MaxLoss = DefaultMaxLoss
	}
	m := &Master{
		cfg:     cfg,
		epoch:   self.Epoch,
		now:     now,
		settles: now.Add(Missed * cfg.Interval),
		byAddr:  make(map[string]*record),
		leases:  newLeases(cfg.Quarantine, self.Epoch),
		ghosts:  make(map[string]ghost),
	}
	if self.NodeID == 0 {
		id, err := m.leases.lease(self.Addr, self.Epoch, now)
		if err != nil {
			return nil, err
		}
		self.NodeID = id
	}
	m.self = m.add(self)
	return m, nil
}

// Self returns the master's own member.
func (m *Master) Self() Member { return m.self.Member }

// Member returns the member at addr.
func (m *Master) Member(addr string) (Member, bool) {
	r := m.byAddr[addr]
	if r == nil {
		return Member{}, false
	}
	return r.Member, true
}

// View returns the list.
func (m *Master) View() View {
	if m.view == nil {
		v := View{Version: m.Version(), Settled: m.settled, Members: make([]Member, len(m.list))}
		for i, r := range m.list {
			v.Members[i] = r.Member
		}
		slices.SortFunc(v.Members, func(a, b Member) int { return cmp.Compare(a.Addr, b.Addr) })
		m.view = &v
	}
	return *m.view
}

// Version returns the version of the list.
func (m *Master) Version() Version { return Version{Master: m.epoch, N: m.version} }

// Register takes in a node that has started, or that tries again because it got no answer. A
// process that had its address before is removed first. A node that comes with a NodeID keeps it,
// if no other member has it.
func (m *Master) Register(info Member, now time.Time) (Admission, Effects, error) {
	info, err := m.check(info)
	if err != nil {
		return Admission{}, Effects{}, err
	}
	m.pass(now)
	old := m.byAddr[info.Addr]
	if old != nil && !info.Legacy() && info.Epoch < old.Epoch {
		return Admission{}, Effects{}, fmt.Errorf("%w: %s", ErrOld, info.Addr)
	}
	if info.NodeID != 0 && info.Fixed {
		if holder, taken := m.leases.holder(info.NodeID, info.Addr); taken {
			return Admission{}, Effects{}, fmt.Errorf("%w: %s has %d", ErrNodeIDTaken, holder, info.NodeID)
		}
	}
	before := m.version
	r := old
	if old != nil && old.Epoch == info.Epoch && !info.Legacy() {
		r.last, r.resting = m.now, false
		m.change(r, info)
	} else if r, err = m.replace(old, info); err != nil {
		return Admission{}, Effects{}, err
	}
	delete(m.ghosts, info.Addr)
	answer := Admission{NodeID: r.NodeID, View: m.View()}
	if r.Legacy() {
		answer.Members = r.begin(m.forLegacy())
	} else {
		r.fetched(m.version)
		answer.Members = make([]Member, 0, len(m.list))
		for _, other := range m.list {
			if other != r {
				answer.Members = append(answer.Members, other.Member)
			}
		}
	}
	return answer, m.finish(before), nil
}

// Heartbeat is a member's sign of life, and what it has to say of itself. One that is not in the
// list is taken in: it was silent for too long, or the master has just started. have is the version
// of the list that the member has, from Peers.Have; zero for a legacy node.
//
// On ErrOld another process has the sender's address, and on ErrNodeIDTaken its configured node id:
// it gets no place in the list.
func (m *Master) Heartbeat(info Member, have Version, now time.Time) (Answer, Effects, error) {
	info, err := m.check(info)
	if err != nil {
		return Answer{}, Effects{}, err
	}
	m.pass(now)
	before := m.version
	r := m.byAddr[info.Addr]
	if r != nil && info.Epoch < r.Epoch {
		return Answer{}, Effects{}, fmt.Errorf("%w: %s", ErrOld, info.Addr)
	}
	rejoined := r == nil || r.Epoch != info.Epoch
	if rejoined {
		if err = m.evict(info); err != nil {
			return Answer{}, Effects{}, err
		}
		if r, err = m.replace(r, info); err != nil {
			return Answer{}, Effects{}, err
		}
		if r.Legacy() {
			r.resume(m.ghosts[r.Addr])
			delete(m.ghosts, r.Addr)
		}
	} else {
		r.last = m.now
		m.change(r, info)
	}
	r.resting = false
	if !r.Legacy() {
		r.fetched(m.version)
	}
	answer := Answer{NodeID: r.NodeID, Version: m.Version(), Rejoined: rejoined}
	answer.Fetch = !r.Legacy() && have != answer.Version
	return answer, m.finish(before), nil
}

// Unregister removes a member that leaves. An address that is not in the list is no error, and
// neither is an epoch other than the list's: that process was replaced or refused.
func (m *Master) Unregister(addr string, epoch uint64, now time.Time) (Effects, error) {
	switch addr {
	case "":
		return Effects{}, ErrEmpty
	case m.self.Addr:
		return Effects{}, fmt.Errorf("%w: %s", ErrAddress, addr)
	}
	m.pass(now)
	before := m.version
	delete(m.ghosts, addr)
	if r := m.byAddr[addr]; r != nil && epoch == r.Epoch {
		m.remove(r)
	}
	return m.finish(before), nil
}

// Update changes what the list says of the master's own node. Address, epoch and node id stay.
func (m *Master) Update(self Member, now time.Time) Effects {
	m.pass(now)
	before := m.version
	self.Addr, self.Epoch = m.self.Addr, m.self.Epoch
	m.change(m.self, clean(self))
	return m.finish(before)
}

// Tick drops the members that have been silent for more than Missed intervals, unless that are two
// or more, and a larger share than Config.MaxLoss. Then it is more likely that the master itself
// cannot be reached, and the members have each other still: nobody is dropped until enough are
// back, and then the others get their full time to come back, too.
func (m *Master) Tick(now time.Time) Effects {
	m.pass(now)
	before := m.version
	dead, lost := m.silent()
	others := len(m.list) - 1
	tooMany := lost > 1 && float64(lost) > m.cfg.MaxLoss*float64(others)
	var held int
	var freed bool
	switch {
	case m.holding && tooMany:
	case m.holding:
		m.holding, freed = false, true
		for _, r := range m.list {
			r.last = m.now
		}
	case len(dead) > 0 && tooMany:
		m.holding, held = true, lost
	default:
		m.drop(dead)
	}
	for addr, g := range m.ghosts {
		if m.now.Sub(g.at) > m.cfg.Quarantine {
			delete(m.ghosts, addr)
		}
	}
	e := m.finish(before)
	e.Held, e.Freed = held, freed
	return e
}

// silent returns the members whose time is over, and counts those that may have been lost together
// with them: members beat one interval apart at most, and a little is for delays.
func (m *Master) silent() (dead []*record, lost int) {
	for _, r := range m.list {
		if r == m.self {
			continue
		}
		silence := m.now.Sub(r.last)
		if silence > Missed*m.cfg.Interval {
			dead = append(dead, r)
		}
		if silence > Missed*m.cfg.Interval-m.cfg.Interval*3/2 {
			lost++
		}
	}
	return dead, lost
}

func (m *Master) drop(dead []*record) {
	for _, r := range dead {
		if r.Legacy() {
			m.ghosts[r.Addr] = r.ghost(m.now)
		}
		m.remove(r)
	}
}

// pass lets time go on.
func (m *Master) pass(now time.Time) {
	gap := now.Sub(m.now)
	if gap < 0 {
		return
	}
	if gap > m.cfg.Interval { // slept
		m.settles = m.settles.Add(gap)
		for _, r := range m.list {
			r.last = r.last.Add(gap)
		}
	}
	m.now = now
	if !m.settled && !now.Before(m.settles) {
		m.settled = true
		m.view = nil // whoever has an unsettled one asks with each heartbeat
	}
}

// check returns info as lists have it, or what is wrong with it.
func (m *Master) check(info Member) (Member, error) {
	info = clean(info)
	switch {
	case info.Addr == "":
		return info, ErrEmpty
	case info.Addr == m.self.Addr:
		return info, fmt.Errorf("%w: %s", ErrAddress, info.Addr)
	case info.NodeID > MaxNodeID:
		return info, fmt.Errorf("%w: %d", ErrNodeID, info.NodeID)
	}
	return info, nil
}

// evict takes the node id that a living node has by configuration from a member that has it by a
// lease: it was leased before the node was heard. The member gets another with its next heartbeat.
func (m *Master) evict(info Member) error {
	if info.NodeID == 0 || !info.Fixed {
		return nil
	}
	addr, taken := m.leases.holder(info.NodeID, info.Addr)
	if !taken {
		return nil
	}
	holder := m.byAddr[addr]
	if holder.Fixed {
		return fmt.Errorf("%w: %s has %d", ErrNodeIDTaken, addr, info.NodeID)
	}
	id, err := m.leases.lease(addr, holder.Epoch, m.now)
	if err != nil {
		return err
	}
	m.leases.release(info.NodeID, addr, holder.Epoch, m.now)
	m.leases.grant(id, addr)
	changed := holder.Member
	changed.NodeID = id
	m.set(holder, changed)
	return nil
}

// replace adds info, after old, which has its address, if there is one, was removed. Nothing has
// happened on an error.
func (m *Master) replace(old *record, info Member) (*record, error) {
	if !info.Legacy() {
		_, taken := m.leases.holder(info.NodeID, info.Addr)
		if info.NodeID == 0 || taken {
			id, err := m.leases.lease(info.Addr, info.Epoch, m.now)
			if err != nil {
				return nil, err
			}
			info.NodeID = id
		}
	}
	if old != nil {
		m.remove(old)
	}
	return m.add(info), nil
}

func (m *Master) add(info Member) *record {
	m.leases.grant(info.NodeID, info.Addr)
	info.Joined = m.version + 1
	m.step(Call{Member: info})
	r := &record{Member: info, last: m.now}
	m.list = append(m.list, r)
	m.byAddr[info.Addr] = r
	return r
}

func (m *Master) remove(r *record) {
	m.leases.release(r.NodeID, r.Addr, r.Epoch, m.now)
	m.list = slices.DeleteFunc(m.list, func(o *record) bool { return o == r })
	delete(m.byAddr, r.Addr)
	m.left = append(m.left, r.Member)
	m.step(Call{Del: true, Member: r.Member})
}

// change sets what the process of r says of itself. Its node id is the list's business.
func (m *Master) change(r *record, info Member) {
	info.NodeID, info.Fixed, info.Joined = r.NodeID, r.Fixed, r.Joined
	m.set(r, info)
}

func (m *Master) set(r *record, info Member) {
	if !r.Equal(info) {
		r.Member = info
		m.step(Call{Member: info})
	}
}

// step counts a change.
func (m *Master) step(c Call) {
	m.version++
	m.view = nil
	c.Version = m.Version()
	if len(m.steps) == keepSteps {
		m.steps = slices.Clone(m.steps[1:])
	}
	m.steps = append(m.steps, c)
}

// finish returns what the event has to bring about.
func (m *Master) finish(before uint64) Effects {
	e := Effects{Changed: m.version != before, Left: m.left, Tells: m.tells()}
	m.left = nil
	return e
}
