package member

import (
	"slices"
	"time"
)

// Tell is what one member has to be told. The caller makes its calls one after the other until one
// fails, each with a deadline, and then says how it went with Master.Told. Until then there is no
// other Tell for the member: what comes to it stays in order, and one that hangs holds one call.
type Tell struct {
	To    Member
	Seq   uint64 // for Told
	Calls []Call // not empty
}

// Call is one NewMember or DelMember.
type Call struct {
	Del     bool    // DelMember
	Member  Member  // who came, or has changed, or is gone
	Version Version // of the list after it; zero in calls to legacy nodes
}

// Told says how the calls of a Tell went: ok if all of them were answered. What failed is not
// repeated before the member has given a sign of life.
func (m *Master) Told(to string, seq uint64, ok bool, now time.Time) Effects {
	m.pass(now)
	r := m.byAddr[to]
	if r == nil || r.flight == nil || r.flight.Seq != seq {
		return Effects{}
	}
	r.landed(ok)
	return m.finish(m.version)
}

// tells returns what can be told now.
func (m *Master) tells() []Tell {
	var all []Tell
	var legacy []seen
	for _, r := range m.list {
		if r == m.self || r.flight != nil || r.resting {
			continue
		}
		var calls []Call
		if r.Legacy() {
			if legacy == nil {
				legacy = m.forLegacy()
			}
			calls = r.diff(legacy)
		} else {
			calls = m.since(r.sent)
		}
		if len(calls) == 0 {
			continue
		}
		m.serial++
		r.flight = &Tell{To: r.Member, Seq: m.serial, Calls: calls}
		all = append(all, *r.flight)
	}
	return all
}

// since returns the steps after n, as far as they are kept.
func (m *Master) since(n uint64) []Call {
	i := len(m.steps)
	for i > 0 && m.steps[i-1].Version.N > n {
		i--
	}
	return slices.Clip(m.steps[i:])
}

// seen is a member as legacy nodes are to see it. They cannot be told that it takes no new
// sessions, so it runs nothing for them then, but for what no other member would run: they do not
// follow their sticky routes for a service that nobody has.
type seen struct {
	Member
}

func (s seen) same(o seen) bool {
	return s.Joined == o.Joined && s.Label == o.Label && slices.Equal(s.Services, o.Services)
}

func (m *Master) forLegacy() []seen {
	running := make(map[string]bool)
	for _, r := range m.list {
		if r.State == Working {
			for _, s := range r.Services {
				running[s] = true
			}
		}
	}
	all := make([]seen, len(m.list))
	for i, r := range m.list {
		all[i] = seen{r.Member}
		if r.State != Working {
			all[i].Services = slices.DeleteFunc(slices.Clone(r.Services), func(s string) bool { return running[s] })
		}
	}
	return all
}

// news is what a member was told.
type news struct {
	flight  *Tell // under way
	resting bool  // the last one failed, and it was not heard since

	// Of members that take views: the last step that was sent to them, or that a View they fetch
	// holds.
	sent uint64

	// Of legacy members.
	addr   string          // its own
	told   map[string]seen // what it has confirmed, by address; nil of members that take views
	flying map[string]seen // what flight tells it
	unsure map[string]bool // addresses of which it may have been told, or not
	blank  bool            // it has a list from elsewhere
}

// fetched notes that the member gets the list up to step n another way.
func (n *news) fetched(step uint64) { n.sent = max(n.sent, step) }

// begin notes what a legacy member that registers gets as answer, and returns it.
func (r *record) begin(all []seen) []Member {
	r.news = news{addr: r.Addr, told: make(map[string]seen, len(all)), unsure: make(map[string]bool)}
	list := make([]Member, 0, len(all))
	for _, s := range all {
		if s.Addr != r.Addr {
			list = append(list, s.Member)
			r.told[s.Addr] = s
		}
	}
	return list
}

// ghost is what a legacy member knew when it was dropped: it may only have been silent.
type ghost struct {
	news
	at time.Time
}

func (r *record) ghost(now time.Time) ghost {
	if r.flight != nil {
		r.landed(false)
	}
	return ghost{r.news, now}
}

// resume makes up what a legacy member knows that was taken in from its heartbeat.
func (r *record) resume(g ghost) {
	r.news = g.news
	if r.told == nil {
		r.news = news{addr: r.Addr, told: make(map[string]seen), unsure: make(map[string]bool), blank: true}
	}
	r.resting = false
}

// diff returns the calls after which a legacy member knows all.
func (n *news) diff(all []seen) []Call {
	n.flying = make(map[string]seen)
	var calls []Call
	for _, addr := range n.gone(all) {
		calls = append(calls, Call{Del: true, Member: Member{Addr: addr}})
	}
	for _, s := range all {
		if s.Addr == n.addr {
			continue
		}
		old, told := n.told[s.Addr]
		if told && !n.unsure[s.Addr] && old.same(s) {
			continue
		}
		if told || n.unsure[s.Addr] || n.blank {
			calls = append(calls, Call{Del: true, Member: Member{Addr: s.Addr}})
		}
		calls = append(calls, Call{Member: s.Member})
		n.flying[s.Addr] = s
	}
	return calls
}

// landed notes how the calls under way have gone.
func (n *news) landed(ok bool) {
	for _, c := range n.flight.Calls {
		addr := c.Member.Addr
		switch {
		case n.told == nil: // takes views
			if ok {
				n.fetched(c.Version.N)
			}
		case !ok: // some may have been carried out, and any may be yet
			n.unsure[addr] = true
		case c.Del:
			delete(n.told, addr)
			delete(n.unsure, addr)
		default:
			n.told[addr] = n.flying[addr]
			delete(n.unsure, addr)
		}
	}
	n.flight = nil
	n.resting = !ok
}

// gone returns the addresses of which the member may know, but which are in the list no more.
func (n *news) gone(all []seen) []string {
	var addrs []string
	has := func(addr string) bool {
		return slices.ContainsFunc(all, func(s seen) bool { return s.Addr == addr })
	}
	for addr := range n.told {
		if !has(addr) {
			addrs = append(addrs, addr)
		}
	}
	for addr := range n.unsure {
		if _, told := n.told[addr]; !told && !has(addr) {
			addrs = append(addrs, addr)
		}
	}
	slices.Sort(addrs)
	return addrs
}
