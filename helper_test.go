package nano_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// node is a running application with an endpoint of each kind in memory.
type node struct {
	*nano.App
	tcp, ws  *nanotest.Listener
	tls, wss *nanotest.Listener // nil unless startTLS made them
	log      *nanotest.Log
	addr     string // its service address, in a cluster

	idsMu sync.Mutex
	ids   []int64 // of the sessions that were opened
}

// start runs an application with these components until the test ends: JSON payloads, a heartbeat of 1 s, no
// network. Inside a synctest bubble, all of it runs on the bubble's clock. Options override what it sets.
func start(t *testing.T, comps *component.Components, opts ...nano.Option) *node {
	t.Helper()
	n := newNode(comps, opts...)
	if err := n.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { n.stop(t) })
	return n
}

// newNode is start without the start.
func newNode(comps *component.Components, opts ...nano.Option) *node {
	return newNodeAt("", comps, opts...)
}

// newNodeAt is newNode with a service address.
func newNodeAt(addr string, comps *component.Components, opts ...nano.Option) *node {
	n := &node{addr: addr, tcp: nanotest.NewListener(), ws: nanotest.NewListener()}
	logger, lines := nanotest.NewLog()
	n.log = lines
	n.App = nano.New(addr, append([]nano.Option{
		nano.WithComponents(comps),
		nano.WithSerializer(json.NewSerializer()),
		nano.WithHeartbeatInterval(time.Second),
		nano.WithSlog(logger),
		nano.WithEndpoint(nano.Endpoint{Listener: n.tcp}),
		nano.WithEndpoint(nano.Endpoint{Listener: n.ws, WebSocket: true}),
	}, opts...)...)
	n.Lifetime().OnOpened(func(s *session.Session) {
		n.idsMu.Lock()
		defer n.idsMu.Unlock()
		n.ids = append(n.ids, s.ID())
	})
	return n
}

// opened returns the ids of the sessions that were opened on the node.
func (n *node) opened() []int64 {
	n.idsMu.Lock()
	defer n.idsMu.Unlock()
	return slices.Clone(n.ids)
}

// stop shuts the application down; it may be called again.
func (n *node) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
