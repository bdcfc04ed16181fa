package apptest

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
)

// Cluster is a network in memory and starts nodes on it.
type Cluster struct{ *nanotest.Fabric }

// Master is the service address of every test's master.
const Master = "master:1"

// Options are the options of a node at addr.
func (f *Cluster) Options(addr string, opts ...nano.Option) []nano.Option {
	all := []nano.Option{
		nano.WithServiceListener(f.Listen(addr)),
		nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer(addr)), f.CountFrames(addr)),
	}
	if addr == Master {
		all = append(all, nano.WithMaster())
	} else {
		all = append(all, nano.WithAdvertiseAddr(Master, 100*time.Millisecond))
	}
	return append(all, opts...)
}

// Make makes a node that is not started.
func (f *Cluster) Make(addr string, comps *component.Components, opts ...nano.Option) *Node {
	return NewAt(addr, comps, f.Options(addr, opts...)...)
}

// Start starts a node at addr until the test ends; the master's address makes it the master.
func (f *Cluster) Start(t *testing.T, addr string, comps *component.Components, opts ...nano.Option) *Node {
	t.Helper()
	n := f.Make(addr, comps, opts...)
	if err := n.Start(t.Context()); err != nil {
		t.Fatalf("start %s: %v", addr, err)
	}
	t.Cleanup(func() { n.Stop(t) })
	return n
}

// Meet waits until each node knows all others.
func Meet(t *testing.T, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		nanotest.Until(t, fmt.Sprintf("%s knows all others, not only %v", n.Addr, n.Members()), func() bool { return len(n.Members()) == len(nodes)-1 })
	}
	synctest.Wait()
}

// Members are the nodes that n knows, sorted.
func Members(n *Node) []string {
	all := n.Members()
	slices.Sort(all)
	return all
}

// InBubble runs a test on a clock of its own, on which all nodes run. One processor at a time: the
// race detector's context of a bubble's timers is shared by all threads that find one expired, and
// two at once crash the process (seen with Go 1.26). Races are found all the same: the detector
// goes by what is synchronized, not by the moment.
func InBubble(t *testing.T, test func(t *testing.T, f *Cluster)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) { test(t, &Cluster{nanotest.NewFabric()}) })
}
