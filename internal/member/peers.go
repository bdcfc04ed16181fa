package member

import (
	"fmt"
	"slices"
	"time"
)

// DefaultLinkGrace is how long a link may be down before its peer counts as unreachable, if
// PeersConfig does not say it.
const DefaultLinkGrace = time.Second

// PeersConfig configures Peers.
type PeersConfig struct {
	Self      string        // the node's own address: it is no peer of itself
	Interval  time.Duration // the cluster's heartbeat interval
	LinkGrace time.Duration // how long a link may be down before sticky routes over it are given up; 0: DefaultLinkGrace
	// LeavesFrom is the version of the link from which on nodes say on it that they leave. For an
	// older one that is draining, the list's word is enough.
	LeavesFrom uint32
}

// Reach says how the link to a peer is.
type Reach uint8

// How a link is.
const (
	Up        Reach = iota // or not tried yet
	Down                   // lost a moment ago; it may come back before anybody notices
	Far                    // down for longer than the grace
	Abandoned              // down for as long as a silent member lives, though the list still has it
)

// String returns the name.
func (r Reach) String() string {
	if int(r) < len(reachNames) {
		return reachNames[r]
	}
	return fmt.Sprintf("Reach(%d)", uint8(r))
}

var reachNames = [...]string{"up", "down", "far", "abandoned"}

// Peer is another member, as this node sees it. It is immutable.
type Peer struct {
	Member
	Reach    Reach
	Unlisted bool // the list does not have it any more, but its link says that it lives
}

// Kind says what an Effect is.
type Kind uint8

// The kinds of effects.
const (
	Added       Kind = iota + 1 // a process came: open a link to it
	Removed                     // a process is gone: close its link, unbind sticky routes to it, fail its requests, close its sessions
	Changed                     // what is said of the same process: Old tells what it was
	Unreachable                 // its link is down for too long: unbind sticky routes to it, and fail its requests
	Forsaken                    // its link is down for as long as a silent member lives: close its sessions, keep dialing
	Reachable                   // after Unreachable: the link is back
	Fetch                       // changes were missed: get the list from the master; Peer is not set
	Unlisted                    // the list has lost it while its link is up: it keeps its sessions, and gets no new ones
)

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) && k > 0 {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

var kindNames = [...]string{"", "added", "removed", "changed", "unreachable", "forsaken", "reachable", "fetch", "unlisted"}

// Effect is something the caller has to do. Effects are in the order in which they are to be
// carried out: when a node was started again, the removal of the old process stands before the
// addition of the new one.
type Effect struct {
	Kind Kind
	Peer Member
	Old  Member // of Changed
}

// Peers is what a node knows of the others. It is not safe for concurrent use; its Table is.
//
// Of each process, that is of each address with an epoch, Added and Removed come by turns, Added
// first. A process that was dropped while it was silent, and comes back, is added again.
//
// A process whose link is up lives, whatever the list says: a master that reaches nobody drops
// everybody. Such a one is Unlisted, until the list has it again, another takes its address, or its
// link ends or is down for as long as a silent member lives. One that says itself that it leaves is
// removed with the word of the list.
type Peers struct {
	cfg   PeersConfig
	have  Version
	whole bool // have is of a settled view, or of none but what came after one
	peers map[string]*peer
	table *Table // nil: to be made
}

type peer struct {
	Peer
	since time.Time // when the link was lost, unless Reach is Up
	met   bool      // the link was up once
	left  bool      // it has said that it leaves
	by    uint64    // the master that said so; 0: one without versions
}

// NewPeers returns a node's knowledge before it has joined: nobody.
func NewPeers(cfg PeersConfig) *Peers {
	if cfg.LinkGrace <= 0 {
		cfg.LinkGrace = DefaultLinkGrace
	}
	return &Peers{cfg: cfg, peers: make(map[string]*peer)}
}

// Have returns what the node says in its heartbeats about the list that it has: zero as long as it
// has none, or one that may lack members.
func (p *Peers) Have() Version {
	if !p.whole {
		return Version{}
	}
	return p.have
}

// LegacyView is the list of a master of the 0.5 series as a View. Such a master keeps what a node
// said when it registered, and passes it on for ever: that the node was starting is not news, and
// all count as working.
func LegacyView(members []Member) View {
	all := slices.Clone(members)
	for i := range all {
		all[i].State = Working
	}
	return View{Settled: true, Members: all}
}

// View takes a whole list: from the answer to a registration, or fetched, or from a Keeper. One
// that is older than what is known is ignored. A list of a legacy master has no Version and counts
// as settled.
func (p *Peers) View(v View) []Effect {
	legacy := v.Version == Version{}
	if !legacy && v.Version.Master == p.have.Master && v.Version.N < p.have.N {
		return nil
	}
	p.have, p.whole = v.Version, v.Settled
	present := make(map[string]bool, len(v.Members))
	for _, m := range v.Members {
		present[m.Addr] = true
	}
	var effects []Effect
	for _, addr := range p.addrs() {
		// A master that has just started may not have heard of all; what it had in its list, it
		// did.
		known := v.Settled || legacy || p.peers[addr].by == v.Version.Master
		if known && !present[addr] {
			effects = append(effects, p.unlist(addr)...)
		}
	}
	for _, m := range v.Members {
		effects = append(effects, p.set(clean(m), v.Version.Master)...)
	}
	return effects
}

// NewMember takes the call of that name: a member came or has changed. at is the version that the
// call bears; zero if it bears none, as those of a legacy master, whose word on the member's state
// is not believed, see LegacyView. An address or an epoch that makes no sense is an error, and
// nothing has happened.
func (p *Peers) NewMember(m Member, at Version) ([]Effect, error) {
	m = clean(m)
	if m.Addr == "" {
		return nil, ErrEmpty
	}
	if effects, apply := p.follow(at); !apply {
		return effects, nil
	}
	if at == (Version{}) {
		if old := p.peers[m.Addr]; old != nil && m.Epoch < old.Epoch {
			return nil, nil // a late call
		}
		m.State = Working
	}
	return p.set(m, at.Master), nil
}

// DelMember takes the call of that name: the process with that epoch at addr is gone. If a newer
// one is known there, the call is late and ignored. Epoch 0 in a call without a version, as those
// of a legacy master, means whoever is there.
func (p *Peers) DelMember(addr string, epoch uint64, at Version) ([]Effect, error) {
	if addr == "" {
		return nil, ErrEmpty
	}
	if effects, apply := p.follow(at); !apply {
		return effects, nil
	}
	old := p.peers[addr]
	if old == nil || (epoch < old.Epoch && (epoch != 0 || at != Version{})) {
		return nil, nil
	}
	return p.unlist(addr), nil
}

// follow tells whether a call that bears version at comes next, and notes that it came.
func (p *Peers) follow(at Version) ([]Effect, bool) {
	switch {
	case at == Version{}:
		p.whole = false // if there is a master with versions, it did not say this: ask it with the next heartbeat
		return nil, true
	case at.Master == p.have.Master && at.N <= p.have.N:
		return nil, false
	case at.Master == p.have.Master && at.N == p.have.N+1:
		p.have = at
		return nil, true
	}
	p.whole = false
	return []Effect{{Kind: Fetch}}, false
}

// LinkLost handles a link to the process with that epoch at addr that is down or could not be
// opened. A second call changes nothing. Tick returns what has to be done.
func (p *Peers) LinkLost(addr string, epoch uint64, now time.Time) {
	if q := p.peers[addr]; q != nil && q.Epoch == epoch && q.Reach == Up {
		q.Reach, q.since = Down, now
		p.table = nil
	}
}

// LinkUp handles a link to the process with that epoch at addr that is open.
func (p *Peers) LinkUp(addr string, epoch uint64) []Effect {
	q := p.peers[addr]
	if q == nil || q.Epoch != epoch {
		return nil
	}
	q.met = true
	if q.Reach == Up {
		return nil
	}
	was := q.Reach
	q.Reach = Up
	p.table = nil
	if was == Down {
		return nil
	}
	return []Effect{{Kind: Reachable, Peer: q.Member}}
}

// LinkEnded handles that the process with that epoch at addr has ended its own link to this node in
// good order.
func (p *Peers) LinkEnded(addr string, epoch uint64) []Effect {
	if q := p.peers[addr]; q != nil && q.Epoch == epoch && q.Unlisted {
		return []Effect{p.remove(addr)}
	}
	return nil
}

// LinkLeaves handles that the process with that epoch at addr has said on its link that it leaves
// the list.
func (p *Peers) LinkLeaves(addr string, epoch uint64) []Effect {
	q := p.peers[addr]
	if q == nil || q.Epoch != epoch {
		return nil
	}
	if q.left = true; q.Unlisted { // the list was quicker
		return []Effect{p.remove(addr)}
	}
	return nil
}

// Waiting reports whether a link is down that Tick has still to handle.
func (p *Peers) Waiting() bool {
	for _, q := range p.peers {
		if q.Reach == Down || q.Reach == Far {
			return true
		}
	}
	return false
}

// Tick handles what is due. Call it several times within the grace of a link, as long as Waiting is
// true.
func (p *Peers) Tick(now time.Time) []Effect {
	var effects []Effect
	for _, addr := range p.addrs() {
		q := p.peers[addr]
		if q.Reach == Up {
			continue
		}
		down := now.Sub(q.since)
		if q.Reach == Down && down >= p.cfg.LinkGrace {
			q.Reach = Far
			p.table = nil
			effects = append(effects, Effect{Kind: Unreachable, Peer: q.Member})
		}
		if q.Reach == Far && down > max(Missed*p.cfg.Interval, p.cfg.LinkGrace) {
			if q.Unlisted {
				effects = append(effects, p.remove(addr))
				continue
			}
			q.Reach = Abandoned
			p.table = nil
			effects = append(effects, Effect{Kind: Forsaken, Peer: q.Member})
		}
	}
	return effects
}

// Table returns what the node knows now.
func (p *Peers) Table() *Table {
	if p.table == nil {
		p.table = newTable(p.addrs(), p.peers)
	}
	return p.table
}

func (p *Peers) addrs() []string {
	addrs := make([]string, 0, len(p.peers))
	for addr := range p.peers {
		addrs = append(addrs, addr)
	}
	slices.Sort(addrs)
	return addrs
}

// unlist removes a member that the list does not have any more, unless its link is up.
func (p *Peers) unlist(addr string) []Effect {
	q := p.peers[addr]
	left := q.left || q.State == Draining && q.Link < p.cfg.LeavesFrom
	switch {
	case !q.met || q.Reach != Up || left || q.Legacy():
		if q.Unlisted {
			return nil // Tick ends it
		}
		return []Effect{p.remove(addr)}
	case q.Unlisted:
		return nil
	}
	q.Unlisted = true
	p.table = nil
	return []Effect{{Kind: Unlisted, Peer: q.Member}}
}

func (p *Peers) remove(addr string) Effect {
	q := p.peers[addr]
	delete(p.peers, addr)
	p.table = nil
	return Effect{Kind: Removed, Peer: q.Member}
}

// set notes what master by says of a member.
func (p *Peers) set(m Member, by uint64) []Effect {
	if m.Addr == "" || m.Addr == p.cfg.Self {
		return nil
	}
	q := p.peers[m.Addr]
	switch {
	case q == nil:
		p.table = nil
		p.peers[m.Addr] = &peer{Peer: Peer{Member: m}, by: by}
		return []Effect{{Kind: Added, Peer: m}}
	case q.Epoch != m.Epoch || m.Legacy() && q.by == by && q.Joined != m.Joined:
		gone := p.remove(m.Addr)
		p.peers[m.Addr] = &peer{Peer: Peer{Member: m}, by: by}
		return []Effect{gone, {Kind: Added, Peer: m}}
	case q.Equal(m):
		if q.Unlisted {
			q.Unlisted, p.table = false, nil
		}
		q.by, q.Joined = by, m.Joined
		return nil
	}
	old := q.Member
	q.Member, q.by, q.Unlisted = m, by, false
	p.table = nil
	return []Effect{{Kind: Changed, Peer: m, Old: old}}
}
