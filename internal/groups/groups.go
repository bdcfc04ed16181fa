// Package groups knows the groups of a node, for its figures.
package groups

import (
	"sync/atomic"

	"github.com/lonng/nano/internal/tally"
	"github.com/lonng/nano/metrics"
)

// Registry holds the groups that have had a member on the node, as long as anybody has them. The
// zero value is empty. Safe for concurrent use.
type Registry struct {
	groups             tally.Living[Entry]
	broadcasts, pushes atomic.Uint64
}

// Homed is the network side of a session that tells its node's registry.
type Homed interface{ Groups() *Registry }

// Entry is what a registry knows of a group, which holds it. The fields are the group's to change.
type Entry struct {
	Name    string // constant
	Members atomic.Int64
	Closed  atomic.Bool

	broadcasts atomic.Uint64
	home       atomic.Pointer[Registry]
}

// Join enters a group in the registry of its first member's node.
func (e *Entry) Join(session any) {
	if e.home.Load() != nil {
		return
	}
	h, ok := session.(Homed)
	if !ok {
		return
	}
	if r := h.Groups(); r != nil && e.home.CompareAndSwap(nil, r) {
		r.groups.Add(e)
	}
}

// Broadcast counts one to n members.
func (e *Entry) Broadcast(n int) {
	e.broadcasts.Add(1)
	if r := e.home.Load(); r != nil {
		r.broadcasts.Add(1)
		r.pushes.Add(uint64(n))
	}
}

// Figures returns what is known of all.
func (r *Registry) Figures() metrics.Groups {
	f := metrics.Groups{Broadcasts: r.broadcasts.Load(), Pushes: r.pushes.Load()}
	largest := tally.NewTop(metrics.MaxListed, func(a, b *metrics.Group) bool { return a.Members > b.Members })
	for _, e := range r.groups.All() {
		if e.Closed.Load() {
			continue
		}
		n := int(e.Members.Load())
		f.Count++
		f.Members += n
		largest.Add(metrics.Group{Name: e.Name, Members: n, Broadcasts: e.broadcasts.Load()})
	}
	f.Largest = largest.All()
	return f
}
