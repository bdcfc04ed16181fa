package rapidtest

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

// The gate where the client comes.

// visited takes a handshake with a token.
func (c *play) visited(i int, v *visit) {
	g := &c.gates[i]
	switch {
	case g.leaving != nil:
		g.waits = append(g.waits, v)
	case g.arrival != nil:
		g.arrival.visits = append(g.arrival.visits, v)
		g.arrival.search.Wait(c.until())
	case g.session != nil:
		c.welcome(i, v)
	default:
		a := &arrival{visits: []*visit{v}, asked: -1, dropped: make(map[int]bool)}
		g.arrival = a
		var step resume.Step
		a.search, step = resume.NewSearch(placeOf(i), v.token, c.until())
		c.step(i, step)
	}
}

// until is until when a handshake that begins now waits.
func (c *play) until() time.Time { return c.now.Add(9 * time.Second) }

// step does what a search wants done.
func (c *play) step(i int, s resume.Step) {
	g := &c.gates[i]
	a := g.arrival
	a.step = s
	c.now = c.now.Add(s.Wait)
	switch s.Kind {
	case resume.Ask:
		to := c.numberOf(s.At)
		if c.dead(to) {
			c.step(i, a.search.Asked(resume.Silent, resume.Place{}, ""))
			return
		}
		a.asked = to
		c.send(i, to, message{kind: "claim", token: a.visits[0].token, got: a.visits[0].got})
	case resume.Look, resume.Adopt:
		ask := message{kind: "ask", at: s.At, free: s.Free, kindOf: s.Kind, gone: a.search.Gone()}
		a.owes, a.words = make(map[int]bool), map[int]word{i: c.asks(i, i, ask)}
		for n := range nodes {
			if n != i && !c.dead(n) && (s.Free || placeOf(n) != s.At) {
				a.owes[n] = true
				c.send(i, n, ask)
			}
		}
		c.counted(i)
	case resume.Here:
		to, gone := g.moves.Find(1, c.now)
		switch {
		case gone:
			c.step(i, a.search.Asked(resume.Gone, to, ""))
		case g.session != nil:
			c.finish(i, "")
		default:
			c.step(i, a.search.Missing(resume.Unknown))
		}
	default:
		c.finish(i, s.Why)
	}
}

// answered takes the answer to a claim.
func (c *play) answered(i int, m message) {
	a := c.gates[i].arrival
	a.asked = -1
	if m.said == resume.Given {
		c.arrive(i, m)
	}
	c.step(i, a.search.Asked(m.said, m.at, m.why))
}

// found takes the word of a node that may know the session.
func (c *play) found(i, from int, w word) {
	a := c.gates[i].arrival
	a.words[from] = w
	delete(a.owes, from)
	c.counted(i)
}

// counted goes on when all nodes have answered.
func (c *play) counted(i int) {
	a := c.gates[i].arrival
	if len(a.owes) > 0 {
		return
	}
	var f resume.Found
	m := message{state: resume.Lost(a.visits[0].token, c.now)}
	m.loss = resume.Loss{Turn: m.state.Issued, Anew: true}
	for n, w := range a.words {
		f.Alive = f.Alive || w.alive
		if w.at != (resume.Place{}) && w.at != placeOf(i) {
			f.At = w.at
		}
		if w.knows {
			f.Nodes++
			if n != i {
				m.known = append(m.known, n)
			}
		}
	}
	if a.step.Kind == resume.Look {
		c.step(i, a.search.Looked(f, c.now))
		return
	}
	if f.Taken() {
		c.arrive(i, m)
	}
	c.step(i, a.search.Adopted(f, c.now))
}

// arrive makes a session of what has come.
func (c *play) arrive(i int, m message) {
	g := &c.gates[i]
	if g.session != nil {
		c.Fatalf("gate %d has the session already", i)
	}
	g.session, g.loss, g.known, g.remote = new(resume.Session), m.loss, make(map[int]bool), resume.Place{}
	if err := g.session.Restore(m.state, c.now.Add(1000*time.Hour)); err != nil {
		c.Fatal(err)
	}
	g.moves.Forget(1)
	for _, n := range m.known {
		if n == i {
			continue
		}
		g.known[n] = true
		behind := g.lags.TooLate(1, n) || g.arrival.dropped[n] // what it sends is dropped until it knows, or was
		if behind {
			g.loss.Tell(g.arrival.visits[0].token, m.state)
		}
		c.send(i, n, message{kind: "open", gap: m.behind[n] || behind})
	}
}

// finish ends a search: what has waited for the session is handed over, and who waits for it is
// answered.
func (c *play) finish(i int, why resume.Reason) {
	g := &c.gates[i]
	a := g.arrival
	g.arrival = nil
	for _, m := range a.held {
		c.push(i, m)
	}
	for n, v := range a.visits {
		switch {
		case why == "" || n > 0 && v.token != a.visits[0].token:
			c.visited(i, v)
		case v == c.pending && why != resume.Later:
			c.Fatalf("at gate %d the client hears %q", i, why)
		case v == c.pending: // it comes again
			c.pending = nil
		}
	}
}

// welcome lets a client in.
func (c *play) welcome(i int, v *visit) {
	g := &c.gates[i]
	if !g.session.Holds(v.token) {
		if v == c.pending {
			c.Fatalf("gate %d does not know the client's token", i)
		}
		return
	}
	gap, got := g.loss.Concerns(v.token), v.got
	if gap && g.loss.Anew {
		got = 0
	}
	if why, err := g.session.Resume(v.token, got, c.now); why != "" || err != nil {
		c.Fatalf("at gate %d: %q %v", i, why, err)
	}
	c.disconnect(i)
	t := resume.Token{Session: 1, Gate: placeOf(i).Addr, Epoch: 1}
	g.session.Issue(&t)
	g.live = v
	if v != c.pending { // the client has left that connection, and never sees the answer
		return
	}
	yes, n := true, g.session.Received()
	a := &resume.Answer{Token: "t", Window: 60, Resumed: &yes, Received: &n, Gap: gap}
	if gap && g.loss.Anew {
		a.Received = nil
		c.upMissing = c.sent
	}
	for b := range c.backs {
		if gap {
			c.missing[b] = c.backs[b].pushed
		}
	}
	if resumed, _, err := c.client.Welcome(a); !resumed || err != nil {
		c.Fatalf("the client: %v %v", resumed, err)
	}
	g.session.Confirm()
	c.token, c.at, c.pending = t, i, nil
	for p := range g.session.Out.All() {
		each(p, func(p []byte) { g.down = append(g.down, p) })
	}
	for p := range c.client.Out.All() {
		each(p, c.up)
	}
}

// up is a message of the client at its gate.
func (c *play) up(p []byte) {
	g := &c.gates[c.at]
	g.session.Receive(len(p))
	b := p[codec.HeadLength:]
	if to := int(b[0]); !g.known[to] {
		g.known[to] = true
		c.send(c.at, to, message{kind: "open"})
	}
	c.send(c.at, int(b[0]), message{kind: "up", n: int(b[1])<<8 + int(b[2])})
}

// The client.

// come has the client come to a gate, whatever became of its last connection.
func (c *play) come(i int) {
	c.at = -1 // the gate does not know
	c.pending = &visit{c.token, c.client.Received()}
	c.visited(i, c.pending)
}

func (c *play) read() {
	g := &c.gates[c.at]
	p := g.down[0][codec.HeadLength:]
	c.client.Receive(len(g.down[0]))
	g.down = g.down[1:]
	from, n := int(p[0]), int(p[1])<<8+int(p[2])
	if n <= c.last[from] {
		c.Fatalf("the client got push %d of backend %d after %d", n, from, c.last[from])
	}
	if n > c.last[from]+1 {
		c.hole[from] = n - 1
	}
	c.last[from] = n
}

// crash kills a gate, with all that is on its links.
func (c *play) crash(i int) {
	c.gates[i] = gateNode{dead: true}
	c.now = c.now.Add(time.Minute) // until that is known
	for j := range nodes {
		c.links[i][j], c.links[j][i] = nil, nil
	}
	if c.at == i {
		c.at = -1
	}
	if c.pending != nil && !c.waited() {
		c.pending = nil
	}
	for j := range c.gates {
		g := &c.gates[j]
		if g.leaving != nil {
			g.leaving.Told(placeOf(i), true)
			c.leave(j)
		}
		switch a := g.arrival; {
		case a == nil:
		case a.asked == i:
			a.asked = -1
			c.step(j, a.search.Asked(resume.Silent, resume.Place{}, ""))
		case a.owes[i]:
			delete(a.owes, i)
			c.counted(j)
		}
	}
}

// waited reports whether a gate has the client's handshake.
func (c *play) waited() bool {
	return slices.ContainsFunc(c.gates[:], func(g gateNode) bool {
		return slices.Contains(g.waits, c.pending) || g.arrival != nil && slices.Contains(g.arrival.visits, c.pending)
	})
}

func newPlay(rt *rapid.T) *play {
	c := &play{T: rt, now: time.Unix(1_800_000_000, 0)}
	g := &c.gates[0]
	g.session, g.known, g.live = new(resume.Session), make(map[int]bool), new(visit)
	for b := gates; b < nodes; b++ {
		c.backs[b].gate, g.known[b] = placeOf(0), true
	}
	g.session.Init(resume.NewKey())
	c.token = resume.Token{Session: 1, Gate: placeOf(0).Addr, Epoch: 1}
	g.session.Issue(&c.token)
	g.session.Confirm()
	if _, _, err := c.client.Welcome(&resume.Answer{Token: "t", Window: 60}); err != nil {
		rt.Fatal(err)
	}
	return c
}

// busy returns the links that carry something.
func (c *play) busy() (links [][2]int) {
	for i := range nodes {
		for j := range nodes {
			if len(c.links[i][j]) > 0 {
				links = append(links, [2]int{i, j})
			}
		}
	}
	return links
}

// events are what may happen next.
func (c *play) events(crashes bool) map[string]func(*rapid.T) {
	aBackend := rapid.IntRange(gates, nodes-1)
	living := func(t *rapid.T) int {
		i := rapid.IntRange(0, gates-1).Draw(t, "gate")
		if c.dead(i) {
			t.Skip("it is dead")
		}
		return i
	}
	deliver := func(t *rapid.T) {
		links := c.busy()
		if len(links) == 0 {
			t.Skip("nothing is on its way")
		}
		l := rapid.SampledFrom(links).Draw(t, "link")
		c.deliver(l[0], l[1])
	}
	events := map[string]func(*rapid.T){
		"deliver": deliver, "deliver more": deliver, "deliver still more": deliver,
		"push": func(t *rapid.T) {
			i := aBackend.Draw(t, "backend")
			b := &c.backs[i]
			b.pushed++
			c.send(i, c.numberOf(b.gate), message{kind: "push", from: i, n: b.pushed})
		},
		"say": func(t *rapid.T) {
			to := aBackend.Draw(t, "backend")
			c.sent[to]++
			p := packetOf(to, c.sent[to])
			c.client.Out.Copy(p)
			if c.at >= 0 {
				c.up(p)
			}
		},
		"read": func(t *rapid.T) {
			if c.at < 0 || len(c.gates[c.at].down) == 0 {
				t.Skip("nothing to read")
			}
			c.read()
		},
		"come": func(t *rapid.T) { c.come(living(t)) },
		"": func(t *rapid.T) {
			has := 0
			for i := range c.gates {
				if g := &c.gates[i]; g.session != nil && g.leaving == nil {
					has++
				}
			}
			if has > 1 {
				t.Fatalf("%d gates have the session", has)
			}
		},
	}
	if crashes {
		events["crash"] = func(t *rapid.T) {
			i, alive := living(t), 0
			for j := range c.gates {
				if !c.dead(j) {
					alive++
				}
			}
			if alive == 1 || rapid.IntRange(0, 5).Draw(t, "luck") > 0 {
				t.Skip("no crash")
			}
			c.crash(i)
		}
		events["go without the slow"] = func(t *rapid.T) {
			i := living(t)
			g := &c.gates[i]
			if g.leaving == nil || rapid.IntRange(0, 2).Draw(t, "luck") > 0 {
				t.Skip("no session is late")
			}
			g.leaving.Expire()
			c.leave(i)
		}
	}
	return events
}

// settle has the client come once more, and everything arrive.
func (c *play) settle() {
	for round := 0; c.at < 0 || c.pending != nil || len(c.busy()) > 0; round++ {
		if round > 100 {
			c.Fatal("the client does not find its session")
		}
		for links := c.busy(); len(links) > 0; links = c.busy() {
			c.deliver(links[0][0], links[0][1])
		}
		if c.at < 0 {
			c.come(slices.IndexFunc(c.gates[:], func(g gateNode) bool { return !g.dead }))
		}
	}
	for len(c.gates[c.at].down) > 0 {
		c.read()
	}
	for b := gates; b < nodes; b++ {
		back := c.backs[b]
		if back.gate != placeOf(c.at) {
			c.Fatalf("backend %d has the session at %v, and it is at gate %d", b, back.gate, c.at)
		}
		if c.hole[b] > c.missing[b] {
			c.Fatalf("push %d of backend %d is missing, and nobody has heard of it", c.hole[b], b)
		}
		if max(c.last[b], c.missing[b]) != back.pushed {
			c.Fatalf("the client has %d of %d pushes of backend %d", c.last[b], back.pushed, b)
		}
		if max(back.got, c.upMissing[b]) != c.sent[b] && !c.upLate[b] {
			c.Fatalf("backend %d has %d of %d messages", b, back.got, c.sent[b])
		}
	}
}

// Whichever gates a client comes to, with however many connections, nothing is lost, doubled or out
// of order.
func TestGates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newPlay(rt)
		rt.Repeat(c.events(false))
		c.settle()
		if c.hole != [nodes]int{} || c.missing != [nodes]int{} || c.upMissing != [nodes]int{} {
			rt.Fatal("a gap, and no gate has crashed")
		}
	})
}

// A session goes without the word of a backend, and comes back to the first gate before that has
// said that it knows. What the backend sends there is new, and the gate takes it for something that
// is too late: the backend hears of a gap.
func TestSessionComesBackBeforeANodeKnows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newPlay(rt)
		c.come(1)
		c.deliver(1, 0) // the claim
		c.gates[0].leaving.Expire()
		c.leave(0)
		c.deliver(0, 1) // the session
		c.come(0)
		c.deliver(0, 1) // the claim
		c.deliver(1, 3) // the session has come to gate 1
		c.deliver(1, 3) // and goes to gate 0
		c.backs[3].pushed++
		c.send(3, 0, message{kind: "push", from: 3, n: 1})
		if rapid.Bool().Draw(rt, "the word comes before the session") {
			c.deliver(3, 0)
			c.deliver(0, 3)
			c.deliver(3, 0)
		}
		c.settle()
		if c.last[3] != 0 || c.missing[3] != 1 {
			rt.Fatalf("the client has push %d of 1, and the backend has heard of a gap up to %d", c.last[3], c.missing[3])
		}
	})
}

// Gates crash at every step: what is lost was told as a gap, what arrives arrives once and in
// order, and the session is found in the end, by all who know it.
func TestGatesCrash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newPlay(rt)
		rt.Repeat(c.events(true))
		c.settle()
	})
}
