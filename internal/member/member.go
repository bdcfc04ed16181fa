package member

import (
	"errors"
	"slices"

	"github.com/lonng/nano/cluster/keeper"
)

// What is wrong with an event. The errors returned wrap these.
var (
	ErrEmpty       = errors.New("member: no address")                                 // of the member that a call is about
	ErrEpoch       = errors.New("member: a master needs an epoch")                    // 0 says that a node is of the 0.5 series
	ErrInterval    = errors.New("member: the interval must be positive")              // of a Config
	ErrAddress     = errors.New("member: the address is the master's")                // claimed by another node
	ErrOld         = errors.New("member: a newer process has the address")            // the caller's process was replaced
	ErrNodeID      = errors.New("member: the node id is too large")                   // above MaxNodeID
	ErrNodeIDTaken = keeper.ErrNodeIDTaken                                            // and it was asked for by configuration
	ErrNoNodeID    = errors.New("member: all node ids are leased or wait to be free") // try again later
)

// MaxNodeID is the largest node id: session ids have 16 bits for it. Package service has the same
// limit.
const MaxNodeID = 1<<16 - 1

// The list's values, as programs know them.
type (
	// Member is one process of a node.
	Member = keeper.Member
	// State is how far a node is in its life.
	State = keeper.State
	// Version orders views.
	Version = keeper.Version
	// View is the whole list at one version.
	View = keeper.View
)

// The states of a node.
const (
	Working  = keeper.Working
	Starting = keeper.Starting
	Draining = keeper.Draining
)

// clean returns m as lists have it: services sorted, without empty and repeated ones, in a slice of
// its own.
func clean(m Member) Member {
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
