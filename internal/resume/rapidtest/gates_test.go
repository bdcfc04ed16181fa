package rapidtest

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

// The model of the handover: gates and backends with links in order between them, one session, and
// its client, who comes to any gate at any time, with connections that the gates do not know to be
// over. A gate may crash at every step, with all that is on its links.

const gates, nodes = 3, 5 // the others are backends

// message is one on a link.
type message struct {
	kind   string // push, up, open, moved, knows, claim, answer, ask, found
	from   int    // of a push: whose it is
	n      int    // its number, or that of the client's message
	at     resume.Place
	token  resume.Token
	got    uint64
	said   resume.Claimed
	why    resume.Reason
	state  resume.State
	loss   resume.Loss
	known  []int
	behind map[int]bool    // of these, those without which it went
	gap    bool            // of open: the node is one
	kindOf resume.StepKind // of ask: Look or Adopt
	gone   []resume.Place
	free   bool
	word   word
}

// word is what a node says that may know the session.
type word struct {
	knows, alive bool
	at           resume.Place
}

// visit is a handshake of the client with its token at a gate, which waits for an answer.
type visit struct {
	token resume.Token
	got   uint64
}

// arrival is a search of a gate for the session.
type arrival struct {
	search *resume.Search
	step   resume.Step
	asked  int          // the gate that has its claim; -1: none
	owes   map[int]bool // the nodes that have not answered
	words  map[int]word
	visits []*visit // the first has begun it
	held   []message

	dropped map[int]bool // nodes of which something was too late since then
}

type gateNode struct {
	dead    bool
	session *resume.Session
	loss    resume.Loss
	known   map[int]bool // who knows the session that is here
	moves   resume.Moves
	remote  resume.Place // where the session is that was here; zero: it never was, or is here
	live    *visit       // whose connection carries the session
	down    [][]byte     // on that connection

	leaving *resume.Handover // not nil: the session is on its way
	goes    message          // to whom
	queue   []message        // claims, and
	waits   []*visit         // handshakes that wait for that
	lags    resume.Lags[int] // nodes that have not said that they know

	arrival *arrival
}

type backend struct {
	gate   resume.Place // where it has the session
	left   map[int]bool // gates where it was, which have not said yet where it goes
	pushed int
	got    int // the last message of the client
}

type play struct {
	*rapid.T
	now   time.Time
	gates [gates]gateNode
	backs [nodes]backend
	links [nodes][nodes][]message

	client    resume.Client
	token     resume.Token
	pending   *visit // the client's handshake that has no answer
	at        int    // gate with the client's connection; -1: none
	sent      [nodes]int
	last      [nodes]int  // pushes of each backend that the client has got
	missing   [nodes]int  // pushes of each up to that one may be missing: the client, or that backend, has heard of a gap since
	hole      [nodes]int  // the last push of each that has not come before later ones
	upMissing [nodes]int  // the same of the client's messages
	upLate    [nodes]bool // a session has gone without it: it may get old messages behind new ones
}

func placeOf(i int) resume.Place { return resume.Place{Addr: fmt.Sprint("node:", i), Epoch: 1} }

func (c *play) numberOf(p resume.Place) int {
	for i := range nodes {
		if placeOf(i) == p {
			return i
		}
	}
	c.Fatalf("no node %v", p)
	return 0
}

func (c *play) dead(i int) bool { return i < gates && c.gates[i].dead }

func (c *play) send(from, to int, m message) {
	if !c.dead(from) && !c.dead(to) {
		c.links[from][to] = append(c.links[from][to], m)
	}
}

func packetOf(from, n int) []byte {
	return codec.AppendPacket(nil, codec.Data, []byte{byte(from), byte(n >> 8), byte(n)})
}

// each calls fn for each of some whole packets.
func each(packets []byte, fn func(p []byte)) {
	for len(packets) > 0 {
		n := resume.Length(packets)
		fn(packets[:n])
		packets = packets[n:]
	}
}

// The gate that has the session.

// claimed answers a gate that wants the session.
func (c *play) claimed(i, by int, m message) {
	g := &c.gates[i]
	answer := message{kind: "answer", said: resume.No, why: resume.Unknown}
	to, gone := g.moves.Find(1, c.now)
	switch {
	case g.arrival != nil:
		answer.said = resume.Busy
	case g.leaving != nil:
		m.from = by
		g.queue = append(g.queue, m)
		return
	case gone:
		answer.said, answer.at = resume.Gone, to
	case g.session == nil:
		answer.said = resume.Nowhere
	case g.session.Holds(m.token):
		c.release(i, by, m)
		return
	}
	c.send(i, by, answer)
}

// release begins to give the session away.
func (c *play) release(i, by int, m message) {
	g := &c.gates[i]
	got := m.got
	if g.loss.Concerns(m.token) && g.loss.Anew {
		got = 0
	}
	if why, err := g.session.Resume(m.token, got, c.now); why != "" || err != nil {
		c.Fatalf("gate %d does not give the session: %q %v", i, why, err)
	}
	c.disconnect(i)
	var told []resume.Place
	for n := range g.known {
		if !c.dead(n) {
			told = append(told, placeOf(n))
		}
	}
	g.leaving, g.goes = resume.NewHandover(told), message{from: by, token: m.token}
	for _, p := range told {
		g.lags.Tell(1, c.numberOf(p))
		c.send(i, c.numberOf(p), message{kind: "moved", at: placeOf(by)})
	}
	c.leave(i)
}

// disconnect ends the connection that carries the session at a gate.
func (c *play) disconnect(i int) {
	c.gates[i].live, c.gates[i].down = nil, nil
	if c.at == i {
		c.at = -1
	}
}

// leave gives the session away when that is due.
func (c *play) leave(i int) {
	g := &c.gates[i]
	if g.leaving == nil || !g.leaving.Ready() {
		return
	}
	behind := make(map[int]bool)
	for _, p := range g.leaving.Late() {
		n := c.numberOf(p)
		g.lags.Leave(1, n)
		c.upLate[n], behind[n] = true, true
		g.loss.Tell(g.goes.token, g.session.State())
	}
	to := g.goes.from
	a := message{kind: "answer", said: resume.Given, state: g.session.State(), loss: g.loss, known: []int{i}, behind: behind}
	for n := range g.known {
		if n != to {
			a.known = append(a.known, n)
		}
	}
	c.send(i, to, a)
	g.moves.Add(1, placeOf(to), c.now, c.now.Add(time.Hour))
	g.session, g.leaving, g.loss, g.known, g.remote = nil, nil, resume.Loss{}, nil, placeOf(to)
	queue, waits := g.queue, g.waits
	g.queue, g.waits = nil, nil
	for _, m := range queue {
		c.claimed(i, m.from, m)
	}
	for _, v := range waits {
		c.visited(i, v)
	}
}

// heard takes a node's word that it knows where the session has gone.
func (c *play) heard(i, from int) {
	g := &c.gates[i]
	g.lags.Knows(1, from)
	if g.leaving != nil {
		g.leaving.Told(placeOf(from), true)
		c.leave(i)
	}
}

// push is a push of a backend at a gate.
func (c *play) push(to int, m message) {
	g := &c.gates[to]
	switch {
	case g.lags.TooLate(1, m.from): // the client has heard of a gap, and the backend will
		if g.arrival != nil { // or they hear of another one: it may be new
			g.arrival.dropped[m.from] = true
		}
	case g.arrival != nil:
		g.arrival.held = append(g.arrival.held, m)
	case g.session != nil:
		p := packetOf(m.from, m.n)
		g.session.Out.Copy(p)
		if g.live != nil {
			g.down = append(g.down, p)
		}
	default:
		if at, gone := g.moves.Find(1, c.now); gone {
			c.send(to, c.numberOf(at), m)
		}
	}
}

// What nodes know.

// asks answers a gate that looks for the session, or takes it.
func (c *play) asks(i, by int, m message) word {
	at := &c.backs[i].gate
	if i < gates {
		at = &c.gates[i].remote
	}
	to := placeOf(by)
	switch g := &c.gates[i%gates]; {
	case i < gates && i != by && g.session != nil:
		return word{at: placeOf(i)}
	case i < gates && i != by && g.arrival != nil && placeOf(i).Before(to):
		return word{alive: true}
	case *at == to:
		return word{knows: true}
	case *at != m.at && !slices.Contains(m.gone, *at):
		if i < gates {
			gone, ok := c.gates[i].moves.Find(1, c.now)
			if !ok || gone == to || gone == m.at || slices.Contains(m.gone, gone) {
				return word{}
			}
			return word{at: gone}
		}
		return word{at: *at}
	case !(m.free && *at == m.at) && !c.dead(c.numberOf(*at)):
		return word{alive: true}
	case m.kindOf == resume.Look:
		return word{knows: true}
	}
	*at = to
	if i < gates && i != by {
		c.gates[i].moves.Add(1, to, c.now, c.now.Add(time.Hour))
	}
	if i >= gates {
		c.missing[i] = c.backs[i].pushed // its application hears of the gap
	}
	return word{knows: true}
}

// moved takes a gate's word that its session goes elsewhere.
func (c *play) moved(i, from int, to resume.Place) {
	if i >= gates {
		b := &c.backs[i]
		if b.gate == placeOf(from) && !b.left[from] { // the second: else it is old
			b.gate = to
		}
		delete(b.left, from)
	} else if g := &c.gates[i]; g.remote == placeOf(from) {
		if g.remote = to; to != placeOf(i) && g.session == nil {
			g.moves.Add(1, to, c.now, c.now.Add(time.Hour))
		}
	}
	c.send(i, from, message{kind: "knows"})
}

// opened takes the word of a gate that it has the session.
func (c *play) opened(i, from int, gap bool) {
	if i < gates {
		if g := &c.gates[i]; g.session == nil {
			g.remote = placeOf(from)
		}
		return
	}
	b := &c.backs[i]
	if b.left[from] {
		return // it is old
	}
	if gap || b.gate != placeOf(from) { // the second: it has not heard where the session goes
		c.missing[i] = b.pushed // its application hears of the gap
	}
	if b.gate != placeOf(from) {
		if b.left == nil {
			b.left = make(map[int]bool)
		}
		b.left[c.numberOf(b.gate)] = true
	}
	b.gate = placeOf(from)
}

// deliver hands over the first message of a link.
func (c *play) deliver(from, to int) {
	m := c.links[from][to][0]
	c.links[from][to] = c.links[from][to][1:]
	switch m.kind {
	case "push":
		c.push(to, m)
	case "up":
		b := &c.backs[to]
		if !c.upLate[to] && (m.n <= b.got || m.n > max(b.got, c.upMissing[to])+1) {
			c.Fatalf("backend %d got %d after %d", to, m.n, b.got)
		}
		b.got = max(b.got, m.n)
	case "open":
		c.opened(to, from, m.gap)
	case "moved":
		c.moved(to, from, m.at)
	case "knows":
		c.heard(to, from)
	case "claim":
		c.claimed(to, from, m)
	case "answer":
		c.answered(to, m)
	case "ask":
		c.send(to, from, message{kind: "found", word: c.asks(to, from, m)})
	case "found":
		c.found(to, from, m.word)
	}
}
