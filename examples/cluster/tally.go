package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Report is what a node says of itself.
type Report struct {
	Addr  string   `json:"addr"`
	Role  string   `json:"role"` // master, gate or chat
	Name  string   `json:"name"`
	Page  string   `json:"page,omitempty"`  // of a gate
	Users int      `json:"users"`           // of a gate: clients; of a backend: people in its rooms
	Rooms []Sized  `json:"rooms,omitempty"` // of a backend
	Sees  []string `json:"sees"`            // the other nodes that it knows
	PID   int      `json:"pid"`             // of its process
	At    int64    `json:"at"`              // when it said so, in milliseconds since 1970
}

// Sized is a room, and how many are in it.
type Sized struct {
	Name  string `json:"name"`
	Users int    `json:"users"`
}

// Overview is the whole cluster, as its master knows it.
type Overview struct {
	Nodes   []Counted `json:"nodes"`
	Changed bool      `json:"changed"` // since the one before: worth telling clients at once
}

// Counted is a node's last report.
type Counted struct {
	Report
	Silent bool  `json:"silent,omitempty"` // nothing was heard for a while
	Ago    int64 `json:"ago"`              // how long ago it was heard, in milliseconds
}

// later returns the overview as it is so much later, if nothing was heard meanwhile: everything in
// it is older.
func (o Overview) later(by time.Duration) Overview {
	o.Nodes = slices.Clone(o.Nodes)
	for i := range o.Nodes {
		n := &o.Nodes[i]
		n.Ago += by.Milliseconds()
		n.Silent = n.Silent || n.Ago > silentAfter.Milliseconds()
	}
	return o
}

// Empty is a message without content.
type Empty struct{}

// silentAfter is how long a node may say nothing before the page shows it as silent. The cluster
// itself is more patient: it takes a node for dead after four heartbeats.
const silentAfter = 2500 * time.Millisecond

// announceEvery is how often, at most, the gates are told of changes.
const announceEvery = 100 * time.Millisecond

// Tally is the master's component: it counts users per gate, and rooms per backend. Nodes report to
// it by a Notify, ask it by a Call, and it tells all gates of changes. Clients have no business
// here (component.WithNodesOnly). Everything runs on the master's scheduler.
type Tally struct {
	component.Base

	announce func(Overview) // tells all gates
	nodes    map[string]*counted
	members  []string // as last seen
	changed  bool
	told     time.Time
}

type counted struct {
	report Report
	heard  time.Time
	silent bool
}

func newTally() *Tally { return &Tally{nodes: make(map[string]*counted)} }

// Report takes a node's report.
func (t *Tally) Report(_ *session.Session, r *Report) error { //nolint:unparam // the form of a handler
	t.count(r, time.Now())
	t.look(time.Now())
	return nil
}

// Overview returns what is known of all nodes.
func (t *Tally) Overview(context.Context, *session.Session, *Empty) (*Overview, error) { //nolint:unparam // the form of a handler
	o := t.overview(time.Now())
	return &o, nil
}

func (t *Tally) count(r *Report, now time.Time) {
	n := t.nodes[r.Addr]
	if n == nil {
		n = &counted{}
		t.nodes[r.Addr] = n
	}
	slices.Sort(r.Sees)
	t.changed = t.changed || n.heard.IsZero() || n.silent || !same(&n.report, r)
	n.report, n.heard, n.silent = *r, now, false
}

func same(a, b *Report) bool {
	return a.Users == b.Users && a.Name == b.Name && a.Page == b.Page && a.PID == b.PID && slices.Equal(a.Rooms, b.Rooms) && slices.Equal(a.Sees, b.Sees)
}

// see takes the list of the other nodes. Where etcd keeps it, nobody else tells who has left.
func (t *Tally) see(members []string) {
	for _, addr := range t.members {
		if !slices.Contains(members, addr) {
			t.left(addr)
		}
	}
	t.members = members
}

// left is told by the member list that a node is gone.
func (t *Tally) left(addr string) {
	delete(t.nodes, addr)
	t.changed = true
	t.look(time.Now())
}

// look marks those who have fallen silent, and tells the gates what has changed.
func (t *Tally) look(now time.Time) {
	for _, n := range t.nodes {
		if !n.silent && now.Sub(n.heard) > silentAfter {
			n.silent, t.changed = true, true
		}
	}
	if t.changed && now.Sub(t.told) >= announceEvery {
		t.told = now
		t.tell(true, now)
	}
}

// tell tells the gates how everybody is.
func (t *Tally) tell(changed bool, now time.Time) {
	o := t.overview(now)
	o.Changed = changed
	t.changed = t.changed && !changed
	t.announce(o)
}

func (t *Tally) overview(now time.Time) Overview {
	o := Overview{Nodes: make([]Counted, 0, len(t.nodes))}
	for n := range maps.Values(t.nodes) {
		o.Nodes = append(o.Nodes, Counted{Report: n.report, Silent: n.silent, Ago: now.Sub(n.heard).Milliseconds()})
	}
	slices.SortFunc(o.Nodes, func(a, b Counted) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Addr, b.Addr))
	})
	return o
}
