package nano

import (
	"context"
	"os"
	"runtime"
	rtmetrics "runtime/metrics"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/metrics"
)

// NodeState is what a node tells of itself.
type NodeState struct {
	Node      string   `json:"node"`      // its service address; on a single node, its name
	Master    bool     `json:"master"`    // it keeps the member list
	Clustered bool     `json:"clustered"` // it is one of several
	Draining  bool     `json:"draining"`
	Clients   []string `json:"clients,omitempty"`  // addresses at which clients connect
	Services  []string `json:"services,omitempty"` // that it runs
	Process   Process  `json:"process"`

	Snapshot *metrics.Snapshot `json:"snapshot"`
}

// Process is the process of a node.
type Process struct {
	PID        int    `json:"pid"`
	Version    string `json:"version"` // of this module
	Go         string `json:"go"`
	Goroutines uint64 `json:"goroutines"`
	Heap       uint64 `json:"heapBytes"`
}

// Node returns the node's figures, and what it is.
func (o *Operator) Node(ctx context.Context) (*NodeState, error) {
	state := new(NodeState)
	if err := o.ask(ctx, askNode, nil, state); err != nil {
		return nil, err
	}
	if state.Snapshot == nil {
		return nil, component.Errorf(component.CodeInternal, "node %s has answered without figures", o.node)
	}
	return state, nil
}

// Stack returns where the call is now that runs on the node's scheduler of that name.
func (o *Operator) Stack(ctx context.Context, scheduler string) (stack string, err error) {
	err = o.ask(ctx, askStack, scheduler, &stack)
	return stack, err
}

// Drain begins to drain the node, as App.Drain does, and does not wait for it. The drain ends when
// no client is left there, or after within: 0 means what WithDrain says. Nothing takes it back. A
// call while an earlier one goes on changes nothing; one after that has clients asked again.
func (o *Operator) Drain(ctx context.Context, within time.Duration) error {
	return o.ask(ctx, askDrain, within, nil)
}

// state answers with this node's figures.
func (a answers) state() *NodeState {
	snapshot := a.app.Snapshot()
	s := &NodeState{
		Node: snapshot.Node, Master: a.app.node.IsMaster, Clustered: a.app.ServiceAddr() != nil, Draining: a.app.Draining(),
		Services: a.app.node.Handler().LocalService(), Snapshot: &snapshot,
		Process: Process{PID: os.Getpid(), Version: VERSION, Go: runtime.Version()},
	}
	for _, addr := range a.app.node.Addrs() {
		s.Clients = append(s.Clients, addr.String())
	}
	samples := []rtmetrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}}
	rtmetrics.Read(samples)
	for i, to := range []*uint64{&s.Process.Goroutines, &s.Process.Heap} {
		if samples[i].Value.Kind() == rtmetrics.KindUint64 {
			*to = samples[i].Value.Uint64()
		}
	}
	return s
}

// beginDrain drains this node in the background, unless a drain that an operator has begun goes on.
func (a answers) beginDrain(within time.Duration) {
	if a.app.drainBegun.Swap(true) {
		return
	}
	if within <= 0 {
		within = a.app.drain.Timeout
	}
	a.app.log().Info("drain begun by an operator", "within", within)
	go func() { // ends with the drain, or with the application
		defer a.app.drainBegun.Store(false)
		if err := a.app.drainUntil(context.Background(), within, nil); err != nil {
			a.app.log().Warn("drain ended with sessions left", "err", err)
		}
	}()
}
