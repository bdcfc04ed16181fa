//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lonng/nano/cluster/keeper"
)

// Engine keeps the list of the nodes in the place of a master.
type Engine struct {
	// Heartbeat is that of the nodes.
	Heartbeat time.Duration
	// Start starts it, for nodes with these names.
	Start func(nodes []string) (*Running, error)
	// Keeper returns the Keeper of a node, in its own process. reach is what [Running] has for it.
	Keeper func(reach string) (keeper.Keeper, error)
}

// Running is an engine that was started.
type Running struct {
	Reach  map[string]string // how each node reaches it
	Faults []Fault
	End    func()
}

// Fault is something that happens to the engine, or between it and nodes. Cause returns when it is
// over; it calls last to say what happens, and to let it last.
type Fault struct {
	Name  string
	Cause func(rng *rand.Rand, last func(d time.Duration, format string, a ...any)) error
}

// startEngine starts the engine that keeps the list.
func (p *play) startEngine() error {
	running, err := p.engine.Start(p.names)
	if err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	p.reach, p.endEngine = running.Reach, running.End
	for _, f := range running.Faults {
		p.more = append(p.more, fault{f.Name, func(p *play, rng *rand.Rand) error { return f.Cause(rng, p.during) }})
	}
	return nil
}
