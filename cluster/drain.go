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
	// Move is called when a drain begins, by the goroutine that drains: it moves to other nodes
	// what this one has for its sessions, such as rooms. It reaches the state of the application by
	// tasks of its schedulers, and returns when all is moved, or ctx ends. After it, the sessions
	// of all gates that are bound to a service of this node choose again. Nil: they stay until the
	// node ends.
	Move func(ctx context.Context) error
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

// Drainer drains a node: see App.Drain of package nano. The methods may be called from any
// goroutine.
type Drainer struct{ n *Node }

// Begin has the node take no new sessions from now on.
func (d Drainer) Begin() error {
	n := d.n
	if !n.ready.Load() {
		return fmt.Errorf("cluster: node %s: drain: %w", n.ServiceAddr, errNotRunning)
	}
	if !n.draining.Swap(true) {
		n.log.Info("node drains", "name", n.ServiceAddr)
	}
	n.gate.BeginDrain()
	n.mesh.Draining()
	return nil
}

// Clients has the clients leave the node, and returns when no session is left at its gate, or with
// the error of ctx.
func (d Drainer) Clients(ctx context.Context) error {
	if err := d.Begin(); err != nil {
		return err
	}
	n := d.n
	if err := n.gate.Drain(ctx, n.set.Load().drain.Spread); err != nil {
		return fmt.Errorf("cluster: node %s: drain: %w", n.ServiceAddr, err)
	}
	return nil
}

// Draining reports whether the node takes no new sessions, because it is drained or ends.
func (d Drainer) Draining() bool { return d.n.draining.Load() }
