package cluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// reasons are why sessions ended, as the OnClosed handlers of a node saw it.
type reasons struct {
	mu  sync.Mutex
	all []session.CloseReason
}

func reasonsOf(n *apptest.Node) *reasons {
	r := new(reasons)
	n.Lifetime().OnClosed(func(s *session.Session) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, s.CloseReason())
	})
	return r
}

func (r *reasons) want(t *testing.T, kind session.CloseKind, reason string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) != 1 || r.all[0].Kind != kind || !strings.Contains(r.all[0].Reason, reason) {
		t.Errorf("closed for %v, want once %v with %q", r.all, kind, reason)
	}
}

// closings are the ways in which a session can end.
var closings = []struct {
	name   string
	end    func(t *testing.T, n *apptest.Node, c *nanotest.Client, s *session.Session)
	kind   session.CloseKind
	reason string
}{
	{"kicked", func(_ *testing.T, _ *apptest.Node, _ *nanotest.Client, s *session.Session) { _ = s.Kick("cheating") }, session.CloseKicked, "cheating"},
	{"closed", func(_ *testing.T, _ *apptest.Node, _ *nanotest.Client, s *session.Session) { s.Close() }, session.CloseByServer, ""},
	{"closed, then kicked", func(_ *testing.T, _ *apptest.Node, _ *nanotest.Client, s *session.Session) {
		s.Close()
		_ = s.Kick("late")
	}, session.CloseByServer, ""},
	{"goodbye", func(_ *testing.T, _ *apptest.Node, c *nanotest.Client, _ *session.Session) { c.Close() }, session.CloseByClient, ""},
	{"malformed", func(_ *testing.T, _ *apptest.Node, c *nanotest.Client, _ *session.Session) {
		_ = c.Send([]byte{9, 0, 0, 0})
	}, session.CloseMalformed, "packet type"},
	{"silent", func(*testing.T, *apptest.Node, *nanotest.Client, *session.Session) { time.Sleep(10 * time.Second) }, session.CloseSilent, ""},
	{"slow, its queue is full", func(t *testing.T, _ *apptest.Node, _ *nanotest.Client, s *session.Session) {
		for range 1000 {
			if s.Push("onBig", make([]byte, 64<<10)) != nil {
				return
			}
		}
		t.Error("the queue has no end")
	}, session.CloseSlow, "queue"},
	{"shutdown", func(t *testing.T, n *apptest.Node, _ *nanotest.Client, _ *session.Session) { n.Stop(t) }, session.CloseShutdown, "shutdown"},
}

// A game tells a player who left from one whose network broke, and writes down why somebody was
// thrown out.
func TestCloseReason(t *testing.T) {
	for _, e := range closings {
		t.Run(e.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := apptest.Start(t, new(component.Components))
				why := reasonsOf(n)
				c := n.TCP.Client(t)
				c.Ready()
				synctest.Wait()
				s := n.Session(n.Opened()[0])
				if got := s.CloseReason(); got != (session.CloseReason{}) {
					t.Errorf("before its end: %v", got)
				}
				e.end(t, n, c, s)
				if e.kind == session.CloseShutdown {
					go func() { _, _ = c.Next() }()
				}
				time.Sleep(20 * time.Second)
				synctest.Wait()
				why.want(t, e.kind, e.reason)
			})
		})
	}
}

// A backend learns the same, as its OnClosed is where rooms are left.
func TestCloseReasonOnABackend(t *testing.T) {
	for _, e := range closings {
		t.Run(e.name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(nil))
				b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Echo": apptest.Echo}))
				apptest.Meet(t, m, g, b)
				why := reasonsOf(b)
				c := g.TCP.Client(t)
				c.Ready()
				c.Call("Back.Echo", []byte("x"))
				e.end(t, g, c, g.Session(g.Opened()[0]))
				time.Sleep(20 * time.Second)
				synctest.Wait()
				why.want(t, e.kind, e.reason)
			})
		})
	}
}

// A backend that kicks learns its own reason, and one whose gate dies that it was the network.
func TestCloseReasonOfABackendsKick(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Kick": func(_ context.Context, s *session.Session, _ []byte) error {
			return s.Kick("cheating")
		}}))
		apptest.Meet(t, m, g, b)
		onGate, onBack := reasonsOf(g), reasonsOf(b)
		c := g.TCP.Client(t)
		c.Ready()
		c.Notify("Back.Kick", nil)
		if got := c.Kicked(); got != "cheating" {
			t.Errorf("the client is told %q", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		onGate.want(t, session.CloseKicked, "cheating")
		onBack.want(t, session.CloseKicked, "cheating")
	})
}

func TestCloseReasonOfADeadGate(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Echo": apptest.Echo}))
		apptest.Meet(t, m, g, b)
		why := reasonsOf(b)
		c := g.TCP.Client(t)
		c.Ready()
		c.Call("Back.Echo", nil)
		f.Kill("gate:1")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		why.want(t, session.CloseNetwork, "gate")
	})
}

// A backend that hears nothing of a gate for long takes its players for gone while the cut lasts,
// and not when it is over: rooms would wait for them.
func TestCloseReasonOfASilentGate(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Echo": apptest.Echo}))
		apptest.Meet(t, m, g, b)
		why := reasonsOf(b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready()
		c.Call("Back.Echo", nil)
		go func() {
			for _, err := c.Next(); err == nil; _, err = c.Next() {
			}
		}()
		f.Silence("gate:1", "back:1")
		f.Silence("back:1", "gate:1")
		time.Sleep(12 * time.Second)
		synctest.Wait()
		why.want(t, session.CloseNetwork, "gate")
		f.Heal()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		why.want(t, session.CloseNetwork, "gate")
	})
}

// A client that is turned away sees the refusal and nothing else: what was pushed meanwhile was for
// a player.
func TestRefusedHandshakeGetsNoPushes(t *testing.T) {
	for _, kind := range []string{"tcp", "ws"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := apptest.Start(t, new(component.Components), nano.WithHandshake(func(s *session.Session, _ *nano.Handshake) error {
					if err := s.Push("onSecret", []byte("the map")); err != nil {
						t.Error(err)
					}
					return errors.New("banned")
				}))
				why := reasonsOf(n)
				var c *nanotest.Client
				if kind == "tcp" {
					c = n.TCP.Client(t)
				} else {
					c = n.WS.WebSocket(t)
				}
				if a := c.Handshake("{}"); a.Code != 500 {
					t.Errorf("answer %s", a.Body)
				}
				for _, p := range c.Rest() {
					if p.Type == codec.Data {
						t.Errorf("after the refusal came %q", p.Body)
					}
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				why.want(t, session.CloseHandshake, "banned")
			})
		})
	}
}

func TestUnfinishedHandshakeIsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, new(component.Components))
		why := reasonsOf(n)
		n.TCP.Client(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		why.want(t, session.CloseHandshake, "in time")
	})
}

// Who says goodbye to a room, or speaks just when somebody leaves it, is not told of an error that
// is none.
func TestBroadcastWhileAMemberLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := nano.NewGroup("room")
		n := apptest.Start(t, new(component.Components))
		n.Lifetime().OnOpened(func(s *session.Session) {
			if err := room.Add(s); err != nil {
				t.Error(err)
			}
		})
		errs := make(chan error, 2)
		n.Lifetime().OnClosed(func(s *session.Session) { errs <- room.Broadcast("onLeave", s.ID()) })
		a, b := n.TCP.Client(t), n.WS.WebSocket(t)
		a.Ready()
		b.Ready()
		synctest.Wait()
		a.Close()
		if err := <-errs; err != nil {
			t.Errorf("Broadcast: %v", err)
		}
		b.Push("onLeave")
		b.Close()
		if err := <-errs; err != nil {
			t.Errorf("Broadcast to nobody: %v", err)
		}
	})
}

func TestBroadcastWhileAMemberBehindAGateLeaves(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		room := nano.NewGroup("room")
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Join": func(_ context.Context, s *session.Session, _ []byte) error {
			return errors.Join(room.Add(s), s.Response([]byte("ok")))
		}}))
		apptest.Meet(t, m, g, b)
		errs := make(chan error, 2)
		b.Lifetime().OnClosed(func(s *session.Session) { errs <- room.Broadcast("onLeave", s.ID()) })
		c, other := g.TCP.Client(t), g.TCP.Client(t)
		c.Ready()
		other.Ready()
		c.Call("Back.Join", nil)
		other.Call("Back.Join", nil)
		c.Close()
		if err := <-errs; err != nil {
			t.Errorf("Broadcast: %v", err)
		}
		other.Push("onLeave")
		f.Kill("gate:1")
		if err := <-errs; err != nil {
			t.Errorf("Broadcast when the gate is gone: %v", err)
		}
	})
}
