package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// The defaults of [Drain].
const (
	DefaultDrainTimeout = 30 * time.Second
	DefaultDrainSpread  = 3 * time.Second
)

// Drain says how a node is drained. The zero value has the defaults. The option WithDrain of
// package nano says what it is for.
type Drain struct {
	// Signals are those on which Run drains the node before it shuts it down. Nil means SIGTERM.
	// Another signal during the drain ends it.
	Signals []os.Signal
	// Timeout is how long Run drains. 0 means 30 s. The context of App.Drain has its own time.
	Timeout time.Duration
	// Spread is the time over which the clients are asked to leave, evenly, so that the nodes which
	// take them are not flooded. 0 means 3 s.
	Spread time.Duration
}

// WithDefaults returns the drain with the defaults filled in. d may be nil: then no signal drains.
func (d *Drain) WithDefaults() Drain {
	if d == nil {
		return Drain{Timeout: DefaultDrainTimeout, Spread: DefaultDrainSpread}
	}
	f := *d
	if f.Signals == nil {
		f.Signals = []os.Signal{syscall.SIGTERM}
	}
	f.Timeout, f.Spread = cmp.Or(f.Timeout, DefaultDrainTimeout), cmp.Or(f.Spread, DefaultDrainSpread)
	return f
}

// errNotRunning is the error of a drain of a node that has not started.
var errNotRunning = errors.New("the node has not started")

// Drain has the clients leave the node, and returns when no session is left at its gate, or with
// the error of ctx. See App.Drain of package nano.
func (n *Node) Drain(ctx context.Context) error {
	if !n.ready.Load() {
		return fmt.Errorf("cluster: node %s: drain: %w", n.ServiceAddr, errNotRunning)
	}
	if !n.draining.Swap(true) {
		n.log.Info("node drains", "name", n.ServiceAddr)
	}
	n.mesh.Draining()
	if err := n.gate.Drain(ctx, n.set.Load().drain.Spread); err != nil {
		return fmt.Errorf("cluster: node %s: drain: %w", n.ServiceAddr, err)
	}
	return nil
}

// Draining reports whether the node takes no new sessions, because it is drained or ends.
func (n *Node) Draining() bool { return n.draining.Load() }
