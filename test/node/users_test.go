package node_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A player signs in on a phone while the tablet is still connected: what happens is the
// application's choice, and whichever connection ends, the one that stays is reachable.
func TestBindPolicies(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy session.BindPolicy
		bind   string  // what the second Bind says
		holds  []int64 // the sessions that have the user after it
	}{
		{"keep both", nano.BindKeepBoth, "<nil>", []int64{1, 2}},
		{"kick old", nano.BindKickOld, "<nil>", []int64{2}},
		{"refuse new", nano.BindRefuseNew, session.ErrUIDTaken.Error(), []int64{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := apptest.Start(t, apptest.Handlers(apptest.SignIn()), nano.WithBindPolicy(c.policy))
				holds := func(want []int64) {
					t.Helper()
					synctest.Wait()
					var got []int64
					for _, s := range n.SessionsOf(7) {
						if s.UID() != 7 {
							t.Errorf("session %d has user %d", s.ID(), s.UID())
						}
						got = append(got, s.ID())
					}
					if !slices.Equal(got, want) {
						t.Errorf("user 7 has sessions %v, want %v", got, want)
					}
				}
				old := n.TCP.Client(t)
				old.Ready() // and so it is session 1
				young := n.WS.WebSocket(t)
				young.Ready()
				apptest.Bind(t, old, "0", session.ErrIllegalUID.Error())
				apptest.Bind(t, old, "7", "<nil>")
				apptest.Bind(t, old, "7", "<nil>")
				holds([]int64{1})
				apptest.Bind(t, young, "7", c.bind)
				holds(c.holds)
				if c.policy == nano.BindKickOld {
					if reason := old.Kicked(); reason != "signed in elsewhere" {
						t.Errorf("reason %q", reason)
					}
				} else {
					apptest.Pong(t, old)
				}
				apptest.Pong(t, young)
				// The old one's end comes late, and takes nothing along but itself.
				old.Close()
				holds(slices.DeleteFunc(slices.Clone(c.holds), func(id int64) bool { return id == 1 }))
				apptest.Bind(t, young, "7", "<nil>")
				holds([]int64{2})
				if m := young.Call("A.Clear", nil); string(m.Data) != "<nil>" {
					t.Errorf("Clear: %s", m.Data)
				}
				holds(nil)
				apptest.Bind(t, young, "7", "<nil>")
				apptest.Bind(t, young, "8", "<nil>")
				holds(nil)
				young.Close()
				synctest.Wait()
				if uids := n.UIDs(); len(uids) != 0 || n.Stats().Sessions != 0 {
					t.Errorf("left: users %v, %d sessions", uids, n.Stats().Sessions)
				}
			})
		})
	}
}

// A session calls another handler in its own name, from wherever it is.
func TestRPCOnOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{
			"A.Call": func(_ context.Context, s *session.Session, data []byte) error {
				return errors.Join(s.RPC("A.Called", data), s.Response("called"))
			},
			"A.Called": func(_ context.Context, s *session.Session, data []byte) error {
				if err := s.Response("no"); !errors.Is(err, cluster.ErrSessionOnNotify) {
					t.Errorf("an answer to an RPC: %v", err)
				}
				return s.Push("onCalled", data)
			},
		}))
		c := n.TCP.Client(t)
		c.Ready()
		if m := c.Call("A.Call", []byte("data")); string(m.Data) != `"called"` {
			t.Errorf("got %s", m.Data)
		}
		if got := c.Push("onCalled"); string(got) != "data" {
			t.Errorf("got %s", got)
		}
		s := n.Session(1)
		if err := s.RPC("A.Called", "text"); err != nil {
			t.Errorf("RPC from elsewhere: %v", err)
		}
		if got := c.Push("onCalled"); string(got) != `"text"` {
			t.Errorf("got %s", got)
		}
		if err := s.RPC("No.Such", "x"); err == nil {
			t.Error("an RPC to nowhere is no error")
		}
		c.Close()
		synctest.Wait()
		if err := s.Push("onIt", "x"); !errors.Is(err, cluster.ErrBrokenPipe) {
			t.Errorf("Push after the end: %v", err)
		}
		if err := s.Kick("x"); !errors.Is(err, cluster.ErrCloseClosedSession) {
			t.Errorf("Kick after the end: %v", err)
		}
	})
}
