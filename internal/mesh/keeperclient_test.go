package mesh

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/internal/nanotest"
)

// engine is a Keeper whose views a test writes.
type engine struct {
	views   chan keeper.View
	refuses error // of Join
	mu      sync.Mutex
	failing int // so many updates fail
	said    []keeper.State
	left    int
}

func (e *engine) Join(_ context.Context, self keeper.Member) (<-chan keeper.View, error) {
	if e.refuses != nil {
		return nil, e.refuses
	}
	self.NodeID = 5
	e.views <- keeper.View{Version: keeper.Version{Master: 1, N: 1}, Settled: true, Members: []keeper.Member{self}}
	return e.views, nil
}

func (e *engine) Update(_ context.Context, self keeper.Member) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failing > 0 {
		e.failing--
		return errors.New("the table is away")
	}
	e.said = append(e.said, self.State)
	return nil
}

func (e *engine) Leave(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left++
	return nil
}

func (e *engine) states() []keeper.State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.said)
}

func newKept(t *testing.T, e *engine) (*Mesh, *nanotest.Log) {
	refuse := grpc.WithContextDialer(nanotest.NewFabric().Dialer("self:1")) // nobody is there
	return newMesh(t, func(c *Config) { c.Master, c.Keeper, c.GrpcOptions = "", e, []grpc.DialOption{refuse} })
}

// A node is in the list of an engine from its start, with the id of the list. The engine is told
// each state until it has taken it, and after the end nothing more: that might put the node in
// again.
func TestAKeeperIsToldEachState(t *testing.T) {
	e := &engine{views: make(chan keeper.View, 1), failing: 2}
	m, log := newKept(t, e)
	if err := m.keeper.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	self, have, _ := m.roster.state()
	if self.NodeID != 5 || have.N != 1 {
		t.Errorf("the node is %+v, its list %v", self, have)
	}
	m.Working()
	nanotest.Until(t, "the list says that the node works", func() bool { return slices.Equal(e.states(), []keeper.State{keeper.Working}) })
	if len(log.Lines("was not told of this node's state")) != 2 {
		t.Errorf("the log is %q", log.Lines())
	}

	e.views <- keeper.View{Version: keeper.Version{Master: 1, N: 2}, Settled: true, Members: []keeper.Member{other("back:1", "Room")}}
	nanotest.Until(t, "the node knows that it has fallen out", func() bool { return log.Has("the list does not have this node any more") })
	self.NodeID = 6
	e.views <- keeper.View{Version: keeper.Version{Master: 1, N: 3}, Settled: true, Members: []keeper.Member{self}}
	nanotest.Until(t, "it is in again", func() bool { return log.Has("the list has this node again") })
	if self, _, _ := m.roster.state(); self.NodeID != 6 {
		t.Errorf("the node's id is %d", self.NodeID)
	}

	m.roster.leave()
	m.keeper.leave(t.Context())
	m.roster.setState(keeper.Draining)
	said := keeper.Working
	if !m.keeper.update(t.Context(), &said) || e.left != 1 || len(e.states()) != 1 {
		t.Errorf("after the end the list is told %v, and the node has left %d times", e.states(), e.left)
	}
}

// A node that is in no list must not believe that it is in a cluster.
func TestJoiningAKeeperFails(t *testing.T) {
	full := errors.New("the table is full")
	m, _ := newKept(t, &engine{views: make(chan keeper.View, 1), refuses: full})
	if err := m.keeper.join(t.Context()); !errors.Is(err, full) || m.keeper.kept.Load() {
		t.Errorf("the start ends with %v", err)
	}
	e := &engine{views: make(chan keeper.View, 2)}
	e.views <- keeper.View{Version: keeper.Version{Master: 1, N: 1}, Settled: true, Members: []keeper.Member{other("back:1")}}
	m, _ = newKept(t, e)
	if err := m.keeper.join(t.Context()); !errors.Is(err, errNoSelf) {
		t.Errorf("the start ends with %v", err)
	}
}

// Of several runs at one address, the newest has it.
func TestTheNewestRunHasTheAddress(t *testing.T) {
	run := func(addr string, epoch uint64) keeper.Member { return keeper.Member{Addr: addr, Epoch: epoch} }
	for _, c := range []struct{ all, want []keeper.Member }{
		{nil, nil},
		{[]keeper.Member{run("a:1", 1), run("b:1", 2)}, []keeper.Member{run("a:1", 1), run("b:1", 2)}},
		{[]keeper.Member{run("a:1", 1), run("b:1", 2), run("a:1", 3)}, []keeper.Member{run("b:1", 2), run("a:1", 3)}},
	} {
		if got := newestOf(c.all); !slices.EqualFunc(got, c.want, func(a, b keeper.Member) bool { return a.Addr == b.Addr && a.Epoch == b.Epoch }) {
			t.Errorf("of %v the newest are %v", c.all, got)
		}
	}
}
