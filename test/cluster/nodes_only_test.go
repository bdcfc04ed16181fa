package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Vault is a component for nodes.
type Vault struct {
	component.Base
	opened int
}

func (v *Vault) Open(s *session.Session, data []byte) error {
	v.opened++
	if s.LastMid() == 0 {
		return nil
	}
	return s.Response([]byte(`"gold"`))
}

// vaults registers what is for nodes only, in both ways, beside what is for all.
func vaults(v *Vault) *component.Components {
	cs := apptest.Handlers(apptest.Funcs{"Vault.Look": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte("a door")) }})
	component.HandleRaw(cs, "Vault.Open", func(_ context.Context, s *session.Session, data []byte) error { return v.Open(s, data) }, component.WithNodesOnly())
	cs.Register(v, component.WithName("Whole"), component.WithNodesOnly())
	return cs
}

// refused has a client try the routes that are not for it.
func refused(t *testing.T, c *nanotest.Client, v *Vault) {
	t.Helper()
	for _, route := range []string{"Vault.Open", "Whole.Open"} {
		m := c.Call(route, nil)
		if !m.Err || !strings.Contains(string(m.Data), component.CodeRefused) {
			t.Errorf("%s: answer %v %q", route, m, m.Data)
		}
		c.Notify(route, nil)
	}
	apptest.Call(t, c, "Vault.Look", "", "a door")
	if v.opened != 0 {
		t.Errorf("the vault was opened %d times", v.opened)
	}
}

// served has a node call them in every way.
func served(t *testing.T, n, at *apptest.Node, v *Vault) {
	t.Helper()
	for _, route := range []string{"Vault.Open", "Whole.Open"} {
		v.opened = 0
		if got, err := nano.Call[string](n.Context(t.Context()), route, nil); err != nil || *got != "gold" {
			t.Errorf("Call of %s: %v", route, err)
		}
		errs := []error{n.Notify(route, nil), n.NotifyAll(route, nil), nano.Notify(n.Context(t.Context()), route, nil)}
		if n != at {
			errs = append(errs, n.NotifyNode(at.Addr, route, nil))
		}
		if err := errors.Join(errs...); err != nil {
			t.Errorf("%s: %v", route, err)
		}
		synctest.Wait()
		if v.opened != 1+len(errs) {
			t.Errorf("%s was opened %d times, not %d", route, v.opened, 1+len(errs))
		}
	}
}

// What moves a game's money is called by its other nodes. A client that guesses the name of the
// route is refused, like any refusal is told, logged and counted, and the handler does not run:
// also when a filter sends its message there.
func TestNodesOnly(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, _ *apptest.Cluster) {
		v := new(Vault)
		cs := vaults(v)
		var rpc error
		component.HandleRaw(cs, "A.RPC", func(_ context.Context, s *session.Session, _ []byte) error {
			rpc = s.RPC("Vault.Open", nil)
			return s.Response(nil)
		})
		p := pipeline.New()
		p.Inbound().PushBack(func(_ *session.Session, m *pipeline.Message) error {
			if m.Route == "Old.Open" {
				m.Route = "Vault.Open"
			}
			return nil
		})
		n := apptest.Start(t, cs, nano.WithPipeline(p))
		c, old := n.TCP.Client(t), n.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		old.Ready()
		refused(t, c, v)
		if m := c.Call("Old.Open", nil); !m.Err || !strings.Contains(string(m.Data), component.CodeRefused) {
			t.Errorf("sent there by a filter: answer %v %q", m, m.Data)
		}
		c.Call("A.RPC", nil)
		var e *nano.Error
		if !errors.As(rpc, &e) || e.Code != component.CodeRefused {
			t.Errorf("RPC: %v", rpc)
		}
		if got := n.Log.Lines("is for nodes only"); len(got) != 2 || n.Stats().Failed != 5 {
			t.Errorf("%d failed, logged: %q", n.Stats().Failed, got)
		}
		old.Request("Vault.Open", nil) // as it sees errors: not at all
		apptest.Call(t, old, "Vault.Look", "", "a door")
		served(t, n, n, v)
	})
}

// The same behind a gate, and for another backend that speaks for the client.
func TestNodesOnlyBehindAGate(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		v := new(Vault)
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		a := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"A.RPC": func(_ context.Context, s *session.Session, _ []byte) error {
			return errors.Join(s.RPC("Vault.Open", nil), s.RPC("Whole.Open", nil), s.Response(nil))
		}}))
		b := f.Start(t, "back:2", vaults(v))
		apptest.Meet(t, m, g, a, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		refused(t, c, v)
		if m := c.Call("A.RPC", nil); m.Err {
			t.Errorf("answer %q", m.Data)
		}
		synctest.Wait()
		if got := b.Log.Lines("is for nodes only"); len(got) != 2 || b.Stats().Failed != 6 || v.opened != 0 {
			t.Errorf("opened %d times, logged: %q", v.opened, got)
		}
		for _, n := range []*apptest.Node{m, g, a, b} {
			served(t, n, b, v)
		}
		// A gate of the 0.5 series knows nothing of it.
		o := newOld(t, f, "old:1")
		o.register()
		v.opened = 0
		if _, err := o.member("back:2").HandleNotify(t.Context(), &clusterpb.NotifyMessage{GateAddr: "old:1", SessionId: 5, Route: "Vault.Open"}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if v.opened != 0 {
			t.Error("a client of an old gate has opened the vault")
		}
	})
}
