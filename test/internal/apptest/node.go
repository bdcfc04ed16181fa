// Package apptest starts applications for tests: a node with endpoints in memory, or several nodes
// on a network in memory, and the handlers and clients' calls that many tests need. It is beside
// internal/nanotest, which holds what does not need package nano.
package apptest

import (
	"context"
	"log/slog"
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

// Node is a running application with an endpoint of each kind in memory.
type Node struct {
	*nano.App
	TCP, WS  *nanotest.Listener
	TLS, WSS *nanotest.Listener // nil unless the test made them
	Log      *nanotest.Log
	Addr     string // its service address, in a cluster

	idsMu sync.Mutex
	ids   []int64 // of the sessions that were opened
}

// Start runs an application with these components until the test ends: JSON payloads, a heartbeat
// of 1 s, no network. Inside a synctest bubble, all of it runs on the bubble's clock. Options
// override what it sets.
func Start(t *testing.T, comps *component.Components, opts ...nano.Option) *Node {
	t.Helper()
	n := New(comps, opts...)
	if err := n.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { n.Stop(t) })
	return n
}

// New makes the application of Start, which is not started.
func New(comps *component.Components, opts ...nano.Option) *Node {
	return NewAt("", comps, opts...)
}

// NewAt is New with a service address.
func NewAt(addr string, comps *component.Components, opts ...nano.Option) *Node {
	n := &Node{Addr: addr, TCP: nanotest.NewListener(), WS: nanotest.NewListener()}
	logger, lines := nanotest.NewLog()
	n.Log = lines
	transport := nano.EventLoop
	if nanotest.Portable() {
		transport = nano.Portable
	}
	n.App = nano.New(addr, append([]nano.Option{
		nano.WithTransport(transport),
		nano.WithComponents(comps),
		nano.WithSerializer(json.NewSerializer()),
		nano.WithHeartbeatInterval(time.Second),
		nano.WithSlog(logger),
		nano.WithEndpoint(nano.Endpoint{Listener: n.TCP}),
		nano.WithEndpoint(nano.Endpoint{Listener: n.WS, WebSocket: true}),
	}, opts...)...)
	n.Lifetime().OnOpened(func(s *session.Session) {
		n.idsMu.Lock()
		defer n.idsMu.Unlock()
		n.ids = append(n.ids, s.ID())
	})
	return n
}

// Opened returns the ids of the sessions that were opened on the node.
func (n *Node) Opened() []int64 {
	n.idsMu.Lock()
	defer n.idsMu.Unlock()
	return slices.Clone(n.ids)
}

// Stop shuts the application down; it may be called again.
func (n *Node) Stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// Quiet has an application log nothing.
func Quiet() nano.Option { return nano.WithSlog(slog.New(slog.DiscardHandler)) }

// Shutdown ends an application that was not made by Start.
func Shutdown(t *testing.T, app *nano.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
	defer cancel()
	if err := app.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
