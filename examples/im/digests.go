package main

import (
	"context"
	"sync"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/fleet"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/session"
)

// Times of what nodes tell each other of their clients.
const (
	digestEvery = time.Second
	gateSilent  = 5 * time.Second // after which nobody is connected at a gate
)

// connection is one that has come or gone.
type connection struct {
	Gate     string     `json:"gate"`
	User     store.User `json:"user"`
	Platform string     `json:"platform"`
	Since    int64      `json:"since"`
	Here     bool       `json:"here"`
}

// digest is a short form of who is connected at a gate, by which others see whether they have
// missed something.
type digest struct {
	Gate  string `json:"gate"`
	Count int    `json:"count"`
	Sum   uint64 `json:"sum"`
}

// people are all who are connected at a gate.
type people struct {
	Gate   string          `json:"gate"`
	People []online.Person `json:"people"`
}

// ask asks a gate for all who are connected there.
type ask struct {
	Addr string `json:"addr"`
}

// digests keep the registry of a node equal to those of the others. A gate tells every change at
// once, and a digest now and then; a node whose registry does not fit asks for everything.
type digests struct {
	node *node

	mu    sync.Mutex
	gates map[string]*seen
}

// seen is what a node has of a gate.
type seen struct {
	heard time.Time
	wrong int // digests in a row that did not fit: one may be on its way past a change
}

func newDigests(n *node) *digests { return &digests{node: n, gates: make(map[string]*seen)} }

// register registers what nodes tell each other.
func (d *digests) register(cs *component.Components) {
	forNodes(cs, "node.hello", func(h *fleet.Hello) { d.node.fleet.Heard(h) })
	forNodes(cs, "node.connection", d.connection)
	forNodes(cs, "node.digest", d.digest)
	forNodes(cs, "node.people", d.people)
	forNodes(cs, "node.ask", func(a *ask) {
		self := d.node.conf.listen
		_ = d.node.app.NotifyNode(a.Addr, "node.people", &people{self, d.node.online.At(self)}) // it asks again
	})
}

// forNodes adds a handler that only other nodes may call.
func forNodes[T any](cs *component.Components, route string, f func(*T)) {
	component.HandleNotify(cs, route, func(_ context.Context, _ *session.Session, v *T) error {
		f(v)
		return nil
	}, component.WithNodesOnly())
}

// change tells all nodes of a connection here.
func (d *digests) change(u store.User, platform string, since int64, here bool) {
	_ = d.node.app.NotifyAll("node.connection", &connection{d.node.conf.listen, u, platform, since, here}) // the digest finds who was not told
}

func (d *digests) connection(c *connection) {
	if c.Gate == d.node.conf.listen {
		return
	}
	d.hear(c.Gate)
	d.node.online.Set(c.Gate, c.User.ID, c.User.Name, c.Platform, c.Here)
	if c.Here && d.node.gate != nil {
		d.node.gate.CameElsewhere(c.User.ID, c.Platform, c.Since)
	}
}

// hear notes that a gate is there.
func (d *digests) hear(gate string) *seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.gates[gate]
	if s == nil {
		s = &seen{}
		d.gates[gate] = s
	}
	s.heard = time.Now()
	return s
}

// sumOf returns the digest of a gate, as this node has it.
func (d *digests) sumOf(gate string) digest {
	sum := d.node.online.Digest(gate)
	return digest{Gate: gate, Count: sum.Count, Sum: sum.Sum}
}

// tell tells all nodes the digest of this one, if it is a gate, and forgets gates that have fallen
// silent.
func (d *digests) tell() {
	if d.node.gate != nil {
		g := d.sumOf(d.node.conf.listen)
		_ = d.node.app.NotifyAll("node.digest", &g) // the next one comes soon
	}
	d.mu.Lock()
	var silent []string
	for gate, s := range d.gates {
		if time.Since(s.heard) > gateSilent {
			silent = append(silent, gate)
			delete(d.gates, gate)
		}
	}
	d.mu.Unlock()
	for _, gate := range silent {
		d.node.online.Gate(gate, nil)
	}
}

func (d *digests) digest(g *digest) {
	if g.Gate == d.node.conf.listen {
		return
	}
	s := d.hear(g.Gate)
	fits := d.sumOf(g.Gate) == *g
	d.mu.Lock()
	if fits {
		s.wrong = 0
	} else {
		s.wrong++
	}
	wrong := s.wrong
	d.mu.Unlock()
	if wrong > 1 {
		_ = d.node.app.NotifyNode(g.Gate, "node.ask", &ask{d.node.conf.listen}) // the next digest asks again
	}
}

func (d *digests) people(p *people) {
	if p.Gate != d.node.conf.listen {
		d.hear(p.Gate)
		d.node.online.Gate(p.Gate, p.People)
	}
}
