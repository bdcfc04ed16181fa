package keeper

import (
	"fmt"
	"slices"
	"strings"
)

// State is how far a node is in its life.
type State uint8

// The states of a node. Only a node that is Working gets new sessions. The zero value is Working,
// which a node of the 0.5 series always is.
const (
	Working  State = iota // takes sessions
	Starting              // is in the list, but gets no sessions yet
	Draining              // keeps its sessions and gets no new ones
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Working:
		return "working"
	case Starting:
		return "starting"
	case Draining:
		return "draining"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Member is one process of a node, as the list has it. A Keeper stores all of its fields as they
// are. A Member that was handed over is not changed any more, its Services included; any goroutine
// may read it.
type Member struct {
	Label    string   // the application's own word for the node
	Addr     string   // host:port at which other nodes reach it; its identity
	Services []string // names of the services that it runs; in views: sorted, without repetitions
	State    State    // Starting, Working or Draining
	Link     uint32   // newest version of the link between nodes that it speaks; 0: unary calls only
	NodeID   uint64   // part of its session ids; 0: not known, or none yet
	Fixed    bool     // the node's configuration sets NodeID, so it cannot be another
	Epoch    uint64   // tells the processes at one address apart, newer is greater; 0: the 0.5 series
	Joined   uint64   // step of the master's list that added it: tells processes without an epoch apart
}

// Legacy reports whether the member is a node of the 0.5 series: it takes no views and chooses its
// node id itself.
func (m Member) Legacy() bool { return m.Epoch == 0 }

// Has reports whether the member runs service. The Services must be sorted, as they are in views.
func (m Member) Has(service string) bool {
	_, ok := slices.BinarySearch(m.Services, service)
	return ok
}

// Equal reports whether m and o say the same. It ignores Joined, which belongs to the list.
func (m Member) Equal(o Member) bool {
	return m.Label == o.Label && m.Addr == o.Addr && m.State == o.State && m.Link == o.Link && m.NodeID == o.NodeID &&
		m.Fixed == o.Fixed && m.Epoch == o.Epoch && slices.Equal(m.Services, o.Services)
}

// Version orders views. Of two views from the same Master the one with the larger N is newer. The
// zero value orders nothing: such views count as they come.
type Version struct {
	Master uint64 // the list's own number; another one when the list begins anew
	N      uint64 // counts the changes
}

// View is the whole list of members at one Version. It is not changed any more once it was handed
// over.
type View struct {
	Version Version  // zero: views count as they come
	Settled bool     // a Keeper sets it; false: living members may be missing, because a master has just started
	Members []Member // sorted by address; a master is among them
}

// Member returns the member at addr.
func (v View) Member(addr string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, addr, func(m Member, a string) int {
		return strings.Compare(m.Addr, a)
	})
	if !ok {
		return Member{}, false
	}
	return v.Members[i], true
}
