package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/nanotest"
)

// calls are what a node of the 0.5 series was called for.
type legacyCalls struct {
	mu   sync.Mutex
	all  []string
	hold chan struct{} // not nil: each call waits for it
}

func (l *legacyCalls) handled(ctx context.Context, call any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch c := call.(type) {
	case *clusterpb.RequestMessage:
		l.all = append(l.all, fmt.Sprintf("request %d %d %s %s for %s", c.GetSessionId(), c.GetId(), c.GetRoute(), c.GetData(), c.GetGateAddr()))
	case *clusterpb.NotifyMessage:
		l.all = append(l.all, fmt.Sprintf("notify %d %s %s for %s", c.GetSessionId(), c.GetRoute(), c.GetData(), c.GetGateAddr()))
	case *clusterpb.PushMessage:
		l.all = append(l.all, fmt.Sprintf("push %d %s %s", c.GetSessionId(), c.GetRoute(), c.GetData()))
	case *clusterpb.ResponseMessage:
		l.all = append(l.all, fmt.Sprintf("response %d %d %s", c.GetSessionId(), c.GetId(), c.GetData()))
	case *clusterpb.SessionClosedRequest:
		l.all = append(l.all, fmt.Sprintf("closed %d", c.GetSessionId()))
	case *clusterpb.CloseSessionRequest:
		l.all = append(l.all, fmt.Sprintf("close %d", c.GetSessionId()))
	}
	if l.hold != nil {
		select {
		case <-l.hold:
		case <-ctx.Done():
		}
	}
	return nil
}

func (l *legacyCalls) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func newLegacy(t *testing.T, l *legacyCalls) (*Mesh, *legacyClient) {
	t.Helper()
	option := (&partner{handled: l.handled}).serve(t)
	m, _ := newMesh(t, func(c *Config) { c.GrpcOptions = []grpc.DialOption{option} })
	old := other("old:1")
	old.Link = 0
	p, err := m.peers.connect(old, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close(context.Background()) })
	return m, p.legacy
}

// Each frame that v0.5 knows becomes one call, those of a session in their order; what it does not
// know is left out.
func TestFramesAsCallsOfV05(t *testing.T) {
	calls := new(legacyCalls)
	_, c := newLegacy(t, calls)
	route, data := []byte("Room.Say"), []byte("hi")
	for _, f := range []link.Frame{
		{Kind: link.SessionOpened, Session: 8, UID: 1},
		{Kind: link.Request, Session: 8, ID: 3, Route: route, Data: data, Text: []byte("gate:1")},
		{Kind: link.Notify, Session: 8, Route: route, Data: data},
		{Kind: link.Push, Session: 8, Route: route, Data: data},
		{Kind: link.Response, Session: 8, ID: 3, Data: data},
		{Kind: link.Response, Session: 8, ID: 4, Data: data, Flags: flagError},
		{Kind: link.Multicast, Sessions: []int64{8, 16}, Route: route, Data: data},
		{Kind: link.Bound, Session: 8, UID: 1},
		{Kind: link.Kick, Session: 8, Text: []byte("flood")},
		{Kind: link.Close, Session: 8},
		{Kind: link.SessionClosed, Session: 8},
	} {
		if err := c.send(&f); err != nil {
			t.Errorf("%v: %v", f.Kind, err)
		}
	}
	copy(data, "--") // a frame is borrowed
	c.close(t.Context())
	want := []string{
		"request 8 3 Room.Say hi for gate:1", "notify 8 Room.Say hi for self:1", "push 8 Room.Say hi", "response 8 3 hi",
		"push 8 Room.Say hi", "push 16 Room.Say hi", "close 8", "close 8", "closed 8",
	}
	if got := calls.list(); !slices.Equal(got, want) {
		t.Errorf("the node was called for\n%q, want\n%q", got, want)
	}
	if err := c.send(&link.Frame{Kind: link.Push, Session: 8}); !errors.Is(err, errPeerGone) {
		t.Errorf("after the end: %v", err)
	}
}

// A node that does not answer costs a bounded queue: what does not fit is refused with an error. A
// request that was answered with an error while it waited is not sent any more.
func TestALaneOfV05IsBounded(t *testing.T) {
	calls := &legacyCalls{hold: make(chan struct{})}
	m, c := newLegacy(t, calls)
	frame := &link.Frame{Kind: link.Push, Session: 8, Route: []byte("Room.Say")}
	if err := c.send(frame); err != nil {
		t.Fatal(err)
	}
	nanotest.Until(t, "the first call is under way", func() bool { return c.waiting(0) == 0 })
	if err := c.send(&link.Frame{Kind: link.Request, Session: 16, ID: 3, Route: []byte("Room.Say")}); err != nil { // nobody awaits it
		t.Fatal(err)
	}
	sent := 1
	var err error
	for err == nil {
		if err = c.send(frame); err == nil {
			sent++
		}
	}
	if !errors.Is(err, errLaneFull) || sent != laneMax {
		t.Errorf("after %d pushes: %v", sent, err)
	}
	if err := c.send(&link.Frame{Kind: link.Push, Session: 9, Route: []byte("Room.Say")}); err != nil {
		t.Errorf("a session of another lane is refused: %v", err)
	}
	close(calls.hold)
	c.close(t.Context())
	if got := len(calls.list()); got != laneMax+1 || m.refusals.Withdrawn.Load() != 1 {
		t.Errorf("%d calls were made, and %d requests withdrawn", got, m.refusals.Withdrawn.Load())
	}
}

// waiting returns how many frames wait in a lane.
func (c *legacyClient) waiting(lane int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lanes[lane])
}
