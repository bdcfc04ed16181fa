package member

import (
	"errors"
	"fmt"
	"slices"
)

// What is wrong with an event. The errors returned wrap these.
var (
	ErrEmpty       = errors.New("member: no address")                                 // of the member that a call is about
	ErrEpoch       = errors.New("member: a master needs an epoch")                    // 0 says that a node is of the 0.5 series
	ErrInterval    = errors.New("member: the interval must be positive")              // of a Config
	ErrAddress     = errors.New("member: the address is the master's")                // claimed by another node
	ErrOld         = errors.New("member: a newer process has the address")            // the caller's process was replaced
	ErrNodeID      = errors.New("member: the node id is too large")                   // above MaxNodeID
	ErrNodeIDTaken = errors.New("member: a living node has the node id")              // and it was asked for by configuration
	ErrNoNodeID    = errors.New("member: all node ids are leased or wait to be free") // try again later
)

// MaxNodeID is the largest node id: session ids have 16 bits for it. Package service has the same limit.
const MaxNodeID = 1<<16 - 1

// State is how far a node is in its life.
type State uint8

// The states. The zero value is Working, which a node that says nothing of it is.
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

// Member is one process of a node, as the list has it. A Member that went into or came out of this package is
// not changed any more, its Services included; it may be read from any goroutine.
type Member struct {
	Label    string   // the application's own word for the node
	Addr     string   // host:port at which other nodes reach it; its identity
	Services []string // names of what it runs; in lists: sorted, none twice
	State    State
	Link     uint32 // newest version of the link between nodes that it speaks; 0: unary calls only
	NodeID   uint64 // part of its session ids; 0: not known, or none yet
	Fixed    bool   // NodeID comes from its configuration and cannot be another
	Epoch    uint64 // tells the processes at one address apart, newer is greater; 0: a node of the 0.5 series
	Joined   uint64 // the step of the master's list that added it: tells processes without an epoch apart; 0: not known
}

// Legacy tells whether the member is a node of the 0.5 series: it takes no views, and its node id is its own
// business.
func (m Member) Legacy() bool { return m.Epoch == 0 }

// Has tells whether the member runs service.
func (m Member) Has(service string) bool {
	_, ok := slices.BinarySearch(m.Services, service)
	return ok
}

// Equal tells whether m and o say the same. When they joined is the list's business.
func (m Member) Equal(o Member) bool {
	return m.Label == o.Label && m.Addr == o.Addr && m.State == o.State && m.Link == o.Link && m.NodeID == o.NodeID &&
		m.Fixed == o.Fixed && m.Epoch == o.Epoch && slices.Equal(m.Services, o.Services)
}

// clean returns m as lists have it: services sorted, without empty and repeated ones, in a slice of its own.
func (m Member) clean() Member {
	services := slices.Clone(m.Services)
	slices.Sort(services)
	services = slices.Compact(services)
	if len(services) > 0 && services[0] == "" {
		services = services[1:]
	}
	m.Services = slices.Clip(services)
	if m.State > Draining {
		m.State = Working // a word that a later version may know
	}
	if m.Legacy() {
		m.State, m.Link, m.NodeID = Working, 0, 0
	}
	if m.NodeID == 0 {
		m.Fixed = false
	}
	return m
}

// Version names a state of the list. It is comparable; the zero value is no list at all.
type Version struct {
	Master uint64 // epoch of the process that keeps the list; of another engine: its own
	N      uint64 // counts the changes
}

// View is the whole list at one version. It is immutable.
type View struct {
	Version Version  // zero: from a master of the 0.5 series
	Settled bool     // false: living members may be missing, because the master has just started
	Members []Member // by address, the master among them
}

// Member returns the member at addr.
func (v View) Member(addr string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, addr, func(m Member, a string) int { return compare(m.Addr, a) })
	if !ok {
		return Member{}, false
	}
	return v.Members[i], true
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
