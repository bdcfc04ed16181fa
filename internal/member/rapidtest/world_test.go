package rapidtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/lonng/nano/internal/member"
)

const (
	interval = time.Second
	step     = interval / 8
)

// world is a cluster: what really is, beside what its members believe.
type world struct {
	*rapid.T
	now    time.Duration
	epochs uint64
	lossy  bool // calls may be lost
	gentle bool // nobody who lives may be removed
	master *member.Master
	asleep bool // the master's process is stopped
	bosses int  // masters there have been
	peers  *believer
	nodes  map[string]*process
	mail   []letter
}

// process is a living process of a node.
type process struct {
	info    member.Member
	joined  bool
	asleep  bool
	refused bool
	next    time.Duration // when it calls the master again
	inbox   []member.Call // what came while it was asleep
	peers   *believer     // nil of a legacy node
	list    []member.Member
}

// letter is a Tell under way.
type letter struct {
	tell   member.Tell
	to     *process
	from   *member.Master
	due    time.Duration
	result int // how many calls arrive; the answer to the last one is lost if that many is not all
	ok     bool
}

// believer checks that the effects of Peers make sense, whatever happens.
type believer struct {
	*member.Peers
	known map[string]member.Member
	far   map[string]bool
	dead  map[string]bool
}

func (w *world) clock() time.Time { return time.Unix(1_800_000_000, 0).Add(w.now) }

func (w *world) believer(self string) *believer {
	return &believer{
		Peers: member.NewPeers(member.PeersConfig{Self: self, Interval: interval}),
		known: map[string]member.Member{},
		far:   map[string]bool{},
		dead:  map[string]bool{},
	}
}

// epoch returns one for a new process: newer than all, or, from a machine whose clock is behind,
// older.
func (w *world) epoch() uint64 {
	w.epochs++
	if rapid.IntRange(0, 9).Draw(w.T, "clock") == 9 {
		return 1_000 - w.epochs
	}
	return 1_000 + w.epochs
}

// lucky tells whether a call gets through.
func (w *world) lucky(what string) bool {
	return !w.lossy || rapid.IntRange(0, 9).Draw(w.T, what) < 8
}

func (w *world) startMaster() {
	w.bosses++
	self := member.Member{Addr: "master", Epoch: w.epoch(), Services: []string{"users"}}
	m, err := member.NewMaster(self, member.Config{Interval: interval, MaxLoss: 1}, w.clock()) // all of them may die here
	if err != nil {
		w.Fatal(err)
	}
	w.master, w.asleep = m, false
	w.peers = w.believer("master")
	w.peers.take(w, w.peers.View(m.View()))
}

// killMaster ends the master, and the calls that it is making.
func (w *world) killMaster() {
	for i := range w.mail {
		w.mail[i].due = w.now
		if !w.lucky("last call") {
			w.mail[i].result = 0
		}
	}
	w.master = nil
	w.deliver()
}

func (w *world) start(addr string, legacy bool, fixed uint64) {
	p := &process{info: member.Member{Addr: addr, Services: []string{"chat", addr}}, next: w.now}
	if !legacy {
		p.info.Epoch = w.epoch()
		p.info.NodeID, p.info.Fixed = fixed, fixed != 0
		p.peers = w.believer(addr)
	}
	w.nodes[addr] = p
	w.call(p)
}

// reachable tells whether the master answers.
func (w *world) reachable() bool { return w.master != nil && !w.asleep }

// call is the call to the master that is due: a registration until there was one, then heartbeats.
func (w *world) call(p *process) {
	if p.joined {
		p.next = w.now + interval
		w.beat(p)
	} else {
		p.next = w.now + interval/2
		w.register(p)
	}
}

func (w *world) register(p *process) {
	if !w.reachable() || !w.lucky("register") {
		return
	}
	before := w.master.View()
	a, e, err := w.master.Register(p.info, w.clock())
	if err != nil {
		w.refuse(p, err)
		return
	}
	w.carryOut(before, e)
	if !w.lucky("registered") {
		return
	}
	p.joined, p.refused, p.next = true, false, w.now+interval
	if p.peers == nil {
		p.list = slices.Clone(a.Members)
		return
	}
	p.info.NodeID = a.NodeID
	p.peers.take(w, p.peers.View(a.View))
}

func (w *world) beat(p *process) {
	if !w.reachable() || !w.lucky("beat") {
		return
	}
	var have member.Version
	if p.peers != nil {
		have = p.peers.Have()
	}
	before := w.master.View()
	a, e, err := w.master.Heartbeat(p.info, have, w.clock())
	if err != nil {
		w.refuse(p, err)
		return
	}
	w.carryOut(before, e)
	if p.peers == nil || !w.lucky("answer") {
		return
	}
	p.info.NodeID = a.NodeID
	if a.Fetch && w.lucky("fetch") {
		p.peers.take(w, p.peers.View(w.master.View()))
	}
}

func (w *world) refuse(p *process, err error) {
	if !errors.Is(err, member.ErrOld) && !errors.Is(err, member.ErrNodeIDTaken) {
		w.Fatalf("%s: %v", p.info.Addr, err)
	}
	p.refused, p.joined, p.next = true, false, w.now+interval/2
}

// carryOut does what the master wants done, and checks that it says what has happened.
func (w *world) carryOut(before member.View, e member.Effects) {
	after := w.master.View()
	if e.Changed != (before.Version != after.Version) {
		w.Fatalf("changed is %v, the list went from %v to %v", e.Changed, before.Version, after.Version)
	}
	for _, m := range before.Members {
		now, ok := after.Member(m.Addr)
		if same := ok && now.Epoch == m.Epoch; !same && !slices.ContainsFunc(e.Left, m.Equal) {
			w.Fatalf("%s#%d is gone, but nobody is told so: %v", m.Addr, m.Epoch, e.Left)
		}
	}
	for _, m := range e.Left {
		was, ok := before.Member(m.Addr)
		now, still := after.Member(m.Addr)
		if !ok || was.Epoch != m.Epoch || (still && now.Epoch == m.Epoch && m.Epoch != 0) {
			w.Fatalf("%s#%d is said to be gone", m.Addr, m.Epoch)
		}
		w.mail = slices.DeleteFunc(w.mail, func(l letter) bool { return l.tell.To.Addr == m.Addr })
	}
	ids := map[uint64]string{}
	for _, m := range after.Members {
		if other, taken := ids[m.NodeID]; taken && m.NodeID != 0 {
			w.Fatalf("%s and %s have the node id %d", m.Addr, other, m.NodeID)
		}
		if (m.NodeID == 0) != m.Legacy() {
			w.Fatalf("%s has the node id %d", m.Addr, m.NodeID)
		}
		ids[m.NodeID] = m.Addr
	}
	if e.Changed {
		w.peers.take(w, w.peers.View(after))
	}
	for _, t := range e.Tells {
		l := letter{tell: t, to: w.nodes[t.To.Addr], from: w.master, due: w.now, result: len(t.Calls), ok: true}
		if l.to == nil || l.to.info.Epoch != t.To.Epoch {
			l.to = nil // it died, and the master does not know yet
		}
		if w.lossy {
			l.due += time.Duration(rapid.IntRange(0, 12).Draw(w.T, "delay")) * step
			if !w.lucky("tell") {
				l.result, l.ok = rapid.IntRange(0, len(t.Calls)).Draw(w.T, "arrive"), false
			}
		}
		for _, other := range w.mail {
			if other.from == w.master && other.tell.To.Addr == t.To.Addr {
				w.Fatalf("%s is told two things at once", t.To.Addr)
			}
		}
		w.mail = append(w.mail, l)
	}
}

// deliver carries out the calls that are due.
func (w *world) deliver() {
	for {
		i := slices.IndexFunc(w.mail, func(l letter) bool { return l.due <= w.now })
		if i < 0 {
			return
		}
		l := w.mail[i]
		w.mail = slices.Delete(w.mail, i, i+1)
		switch {
		case l.to == nil || w.nodes[l.tell.To.Addr] != l.to:
			l.ok = false
		case l.to.asleep:
			l.to.inbox = append(l.to.inbox, l.tell.Calls[:l.result]...)
			l.ok = false
		default:
			l.to.hear(w, l.tell.Calls[:l.result])
		}
		if l.from == w.master && !w.asleep {
			before := w.master.View()
			w.carryOut(before, w.master.Told(l.tell.To.Addr, l.tell.Seq, l.ok, w.clock()))
		} else if l.from == w.master {
			l.due, l.to = w.now+step, nil // it hears of it when it wakes
			w.mail = append(w.mail, l)
		}
	}
}

func (p *process) hear(w *world, calls []member.Call) {
	for _, c := range calls {
		if p.peers == nil {
			// What nodes of the 0.5 series do: they append without looking.
			if c.Del {
				p.list = slices.DeleteFunc(p.list, func(m member.Member) bool { return m.Addr == c.Member.Addr })
			} else {
				p.list = append(p.list, c.Member)
			}
			continue
		}
		var effects []member.Effect
		var err error
		if c.Del {
			effects, err = p.peers.DelMember(c.Member.Addr, c.Member.Epoch, c.Version)
		} else {
			effects, err = p.peers.NewMember(c.Member, c.Version)
		}
		if err != nil {
			w.Fatal(err)
		}
		p.peers.take(w, effects)
		fetch := slices.ContainsFunc(effects, func(e member.Effect) bool { return e.Kind == member.Fetch })
		if fetch && w.reachable() && w.lucky("fetch") {
			p.peers.take(w, p.peers.View(w.master.View()))
		}
	}
}

// pass lets one step of time pass.
func (w *world) pass() {
	w.now += step
	if w.reachable() {
		before := w.master.View()
		w.carryOut(before, w.master.Tick(w.clock()))
	}
	w.deliver()
	for _, addr := range slices.Sorted(maps.Keys(w.nodes)) {
		p := w.nodes[addr]
		if p.asleep {
			continue
		}
		if p.next <= w.now {
			w.call(p)
		}
		if p.peers != nil {
			p.peers.take(w, p.peers.Tick(w.clock()))
		}
	}
	w.deliver()
}

// take checks effects against what was known.
func (b *believer) take(w *world, effects []member.Effect) {
	for _, e := range effects {
		old, known := b.known[e.Peer.Addr]
		same := known && old.Epoch == e.Peer.Epoch
		bad := false
		switch e.Kind {
		case member.Added:
			bad = known
			b.known[e.Peer.Addr] = e.Peer
		case member.Removed:
			bad = !same
			if p := w.nodes[e.Peer.Addr]; w.gentle && p != nil && p.info.Epoch == e.Peer.Epoch && !p.info.Legacy() {
				w.Fatalf("%s#%d lives and is removed", p.info.Addr, p.info.Epoch)
			}
			delete(b.known, e.Peer.Addr)
			delete(b.far, e.Peer.Addr)
			delete(b.dead, e.Peer.Addr)
		case member.Changed:
			bad = !same || !old.Equal(e.Old) || old.Equal(e.Peer)
			b.known[e.Peer.Addr] = e.Peer
		case member.Unreachable:
			bad = !same || b.far[e.Peer.Addr]
			b.far[e.Peer.Addr] = true
		case member.Forsaken:
			bad = !same || !b.far[e.Peer.Addr] || b.dead[e.Peer.Addr]
			b.dead[e.Peer.Addr] = true
		case member.Reachable:
			bad = !same || !b.far[e.Peer.Addr]
			delete(b.far, e.Peer.Addr)
			delete(b.dead, e.Peer.Addr)
		}
		if bad {
			w.Fatalf("%v of %+v, after %+v", e.Kind, e.Peer, old)
		}
	}
	table := b.Table()
	listed := 0
	for addr := range b.known {
		p, ok := table.Peer(addr)
		if !ok {
			w.Fatalf("the table lacks %s, effects say %v", addr, b.known)
		}
		if !p.Unlisted {
			listed++
		}
		if !p.Equal(b.known[p.Addr]) {
			w.Fatalf("the table has %+v, effects say %+v", p.Member, b.known[p.Addr])
		}
		if (p.Reach >= member.Far) != b.far[p.Addr] {
			w.Fatalf("%s is %v, effects say %v", p.Addr, p.Reach, b.far[p.Addr])
		}
		if p.Unlisted && p.Reach == member.Abandoned {
			w.Fatalf("%s is neither in the list nor has it a link, and is kept", p.Addr)
		}
	}
	if len(table.All()) != listed {
		w.Fatalf("the table has %v, effects say %v", table.All(), b.known)
	}
	for _, s := range table.Services() {
		addrs := map[string]bool{}
		for _, p := range table.Running(s) {
			if addrs[p.Addr] {
				w.Fatalf("%s is listed twice for %s", p.Addr, s)
			}
			addrs[p.Addr] = true
		}
		for _, p := range table.Open(s) {
			if p.State != member.Working || p.Reach >= member.Far || !addrs[p.Addr] {
				w.Fatalf("%+v is to get new sessions", p)
			}
		}
	}
}

// word is a member as all have to see it.
func word(m member.Member) string {
	return fmt.Sprintf("%s#%d %d %v %v", m.Addr, m.Epoch, m.NodeID, m.State, slices.Sorted(slices.Values(m.Services)))
}
