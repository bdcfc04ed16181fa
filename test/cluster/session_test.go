package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// backend is a component by which a client has a backend act on its session.
func backend(more apptest.Funcs) apptest.Funcs {
	all := apptest.Funcs{
		"Back.Echo": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) },
		"Back.Who": func(_ context.Context, s *session.Session, _ []byte) error {
			return s.Response(fmt.Appendf(nil, "%d %v %v %s", s.UID(), s.Value("name"), s.Value("secret"), s.RemoteAddr()))
		},
		"Back.Bind": func(_ context.Context, s *session.Session, data []byte) error {
			uid, err := strconv.ParseInt(string(data), 10, 64)
			if err != nil {
				return err
			}
			return s.Response(fmt.Append(nil, s.Bind(uid)))
		},
		"Back.Clear": func(_ context.Context, s *session.Session, _ []byte) error {
			s.Clear()
			return s.Response([]byte("<nil>"))
		},
		"Back.Kick": func(_ context.Context, s *session.Session, data []byte) error {
			if err := s.Push("last", []byte("words")); err != nil {
				return err
			}
			return s.Kick(string(data))
		},
		"Back.Close": func(_ context.Context, s *session.Session, _ []byte) error {
			if err := s.Push("last", []byte("words")); err != nil {
				return err
			}
			s.Close()
			return nil
		},
	}
	for route, fn := range more {
		all[route] = fn
	}
	return all
}

// ends notes which sessions OnClosed was run for on a node, and as which user.
type ends struct {
	mu  sync.Mutex
	all []string
}

func watch(n *apptest.Node) *ends {
	e := new(ends)
	n.Lifetime().OnClosed(func(s *session.Session) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, fmt.Sprintf("uid %d name %v", s.UID(), s.Value("name")))
	})
	return e
}

func (e *ends) list() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := slices.Clone(e.all)
	slices.Sort(all)
	return all
}

// A player's name and address are asked for on a backend: it knows them as the gate does, and what
// the application did not choose to forward stays where it is.
func TestBackendKnowsTheSession(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{
			"A.Name": func(_ context.Context, s *session.Session, data []byte) error {
				s.Set("name", string(data))
				s.Set("secret", "of the gate")
				return s.Response([]byte("ok"))
			},
			"A.Bind":  apptest.SignIn()["A.Bind"],
			"A.Clear": apptest.SignIn()["A.Clear"],
		}), nano.WithForwardedValues("name"))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		atGate, atBack := watch(g), watch(b)
		apptest.Meet(t, m, g, b)
		nc, err := g.TCP.DialFrom("198.51.100.7:1234")
		if err != nil {
			t.Fatal(err)
		}
		c := nanotest.NewClient(t, nc)
		c.Ready()
		apptest.Call(t, c, "A.Name", "Ann", "ok")
		apptest.Call(t, c, "Back.Who", "", "0 Ann <nil> 198.51.100.7:1234")
		apptest.Bind(t, c, "7", "<nil>")
		apptest.Call(t, c, "Back.Who", "", "7 Ann <nil> 198.51.100.7:1234")
		apptest.Call(t, c, "A.Name", "Anna", "ok")
		apptest.Bind(t, c, "8", "<nil>") // as another user
		apptest.Call(t, c, "Back.Who", "", "8 Anna <nil> 198.51.100.7:1234")
		apptest.Call(t, c, "Back.Bind", "9", "<nil>")
		apptest.Call(t, c, "Back.Who", "", "9 Anna <nil> 198.51.100.7:1234")
		synctest.Wait()
		if got := g.UIDs(); !slices.Equal(got, []int64{9}) {
			t.Errorf("the gate knows the users %v", got)
		}
		for _, n := range []*apptest.Node{m, g, b} {
			if got := n.OnlineUIDs(); !slices.Equal(got, []int64{9}) {
				t.Errorf("%s knows the users %v", n.Addr, got)
			}
		}
		apptest.Call(t, c, "A.Clear", "", "<nil>")
		apptest.Call(t, c, "Back.Who", "", "0 <nil> <nil> 198.51.100.7:1234")
		apptest.Call(t, c, "A.Name", "Bea", "ok")
		apptest.Bind(t, c, "11", "<nil>")
		c.Close()
		synctest.Wait()
		for where, e := range map[string]*ends{"gate": atGate, "backend": atBack} {
			if got := e.list(); !slices.Equal(got, []string{"uid 11 name Bea"}) {
				t.Errorf("OnClosed on the %s: %q", where, got)
			}
		}
		for _, n := range []*apptest.Node{m, g, b} {
			if got := n.OnlineUIDs(); len(got) != 0 || n.Online(11) {
				t.Errorf("%s still knows the users %v", n.Addr, got)
			}
		}
	})
}

// A backend asks which gate a player came by: to count them, or to send them to the gate that is
// nearer.
func TestGateOfASession(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		gateOf := func(_ context.Context, s *session.Session, _ []byte) error {
			return s.Response(fmt.Appendf(nil, "%q", nano.GateOf(s)))
		}
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"A.GateOf": gateOf}))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.GateOf": gateOf}))
		apptest.Meet(t, m, g, b)
		c, local := g.TCP.Client(t), b.TCP.Client(t)
		c.Ready()
		local.Ready()
		apptest.Call(t, c, "A.GateOf", "", `""`)
		apptest.Call(t, c, "Back.GateOf", "", `"gate:1"`)
		apptest.Call(t, local, "Back.GateOf", "", `""`)
		apptest.Call(t, local, "A.GateOf", "", `"back:1"`)
		if got, err := nano.Call[string](m.Context(t.Context()), "Back.GateOf", nil); err != nil || *got != "" {
			t.Errorf("a call between nodes: %v", err)
		}
	})
}

// A backend ends a session: what it pushed before is there first, and the session ends everywhere,
// once.
func TestBackendEndsASession(t *testing.T) {
	for _, how := range []string{"Back.Kick", "Back.Close", "client"} {
		t.Run(how, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(nil))
				b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
				atGate, atBack := watch(g), watch(b)
				apptest.Meet(t, m, g, b)
				c := g.TCP.Client(t)
				c.Ready()
				apptest.Call(t, c, "Back.Bind", "5", "<nil>")
				if how == "client" {
					c.Close()
				} else {
					c.Notify(how, []byte("enough"))
					if got := c.Push("last"); string(got) != "words" {
						t.Errorf("pushed %q", got)
					}
				}
				if how == "Back.Kick" {
					if reason := c.Kicked(); reason != "enough" {
						t.Errorf("kicked because of %q", reason)
					}
				}
				c.Ended()
				synctest.Wait()
				for where, e := range map[string]*ends{"gate": atGate, "backend": atBack} {
					if got := e.list(); !slices.Equal(got, []string{"uid 5 name <nil>"}) {
						t.Errorf("OnClosed on the %s: %q", where, got)
					}
				}
			})
		})
	}
}

// Messages of a session that end with its close are handled before OnClosed, on the backend too.
func TestOnClosedComesAfterTheLastMessage(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		var seen []string
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Say": func(_ context.Context, s *session.Session, data []byte) error {
			seen = append(seen, string(data))
			return nil
		}}))
		b.Lifetime().OnClosed(func(*session.Session) { seen = append(seen, "closed") })
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready()
		c.Notify("Back.Say", []byte("0"))
		synctest.Wait()
		f.Freeze("back:1") // so that the rest comes in one batch
		for i := range 20 {
			c.Notify("Back.Say", fmt.Append(nil, i+1))
		}
		c.Close()
		synctest.Wait()
		f.Thaw("back:1")
		synctest.Wait()
		var want []string
		for i := range 21 {
			want = append(want, fmt.Sprint(i))
		}
		if want = append(want, "closed"); !slices.Equal(seen, want) {
			t.Errorf("seen %v", seen)
		}
	})
}

// A message goes from a gate to a backend and from there to another: that one can push to the
// client, knows who it is, can go back to the gate, and is told the end.
func TestSessionGoesAlongWithRPC(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"Gate.End": func(_ context.Context, s *session.Session, data []byte) error {
			return s.Push("gate", fmt.Appendf(data, " %d", s.UID()))
		}}))
		forward := func(to string) func(context.Context, *session.Session, []byte) error {
			return func(_ context.Context, s *session.Session, data []byte) error {
				if err := s.Push(to, fmt.Appendf(nil, "%s %d %s", data, s.UID(), s.RemoteAddr())); err != nil {
					return err
				}
				return s.RPC(to, append(data, '>'))
			}
		}
		a := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"A.Do": forward("B.Do")}))
		b := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{"B.Do": forward("C.Do")}))
		d := f.Start(t, "back:3", apptest.Handlers(apptest.Funcs{"C.Do": forward("Gate.End")}))
		var all []*ends
		for _, n := range []*apptest.Node{g, a, b, d} {
			all = append(all, watch(n))
		}
		apptest.Meet(t, m, g, a, b, d)
		c := g.TCP.Client(t)
		c.Ready()
		synctest.Wait()
		if err := g.Session(g.Opened()[0]).Bind(3); err != nil {
			t.Fatal(err)
		}
		c.Notify("A.Do", []byte("x"))
		client := c.Conn().LocalAddr().String()
		want := map[string]string{"B.Do": "x 3 " + client, "C.Do": "x> 3 " + client, "Gate.End": "x>> 3 " + client, "gate": "x>>> 3"}
		for range want { // they come by several ways
			if msg := c.Message(); string(msg.Data) != want[msg.Route] {
				t.Errorf("pushed %s %q, want %q", msg.Route, msg.Data, want[msg.Route])
			}
		}
		c.Close()
		synctest.Wait()
		for i, e := range all {
			if got := e.list(); !slices.Equal(got, []string{"uid 3 name <nil>"}) {
				t.Errorf("OnClosed on node %d of the chain: %q", i, got)
			}
		}
	})
}

// One user signs in at two gates, by the gate or by a backend: the policy is that of one node.
func TestBindPolicyHoldsAcrossGates(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy session.BindPolicy
		bind   string // what the second Bind says
		first  string // why the first is kicked, if it is
		stay   int    // how many stay
	}{
		{"keep both", nano.BindKeepBoth, "<nil>", "", 2},
		{"kick old", nano.BindKickOld, "<nil>", "signed in elsewhere", 1},
		{"refuse new", nano.BindRefuseNew, session.ErrUIDTaken.Error(), "", 1},
	} {
		for _, route := range []string{"A.Bind", "Back.Bind"} {
			t.Run(c.name+" by "+route, func(t *testing.T) {
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
					policy := nano.WithBindPolicy(c.policy)
					m := f.Start(t, apptest.Master, apptest.Handlers(nil), policy)
					g1 := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), policy)
					g2 := f.Start(t, "gate:2", apptest.Handlers(apptest.SignIn()), policy)
					b := f.Start(t, "back:1", apptest.Handlers(backend(nil)), policy)
					apptest.Meet(t, m, g1, g2, b)
					one, two := g1.TCP.Client(t), g2.TCP.Client(t)
					one.Ready()
					two.Ready()
					apptest.Call(t, one, route, "7", "<nil>")
					synctest.Wait()
					time.Sleep(time.Millisecond)
					apptest.Call(t, two, route, "7", c.bind)
					synctest.Wait()
					if c.first != "" {
						if reason := one.Kicked(); reason != c.first {
							t.Errorf("the first was kicked because of %q", reason)
						}
						one.Close()
					} else {
						apptest.Pong(t, one)
					}
					apptest.Pong(t, two)
					synctest.Wait()
					if got := len(g1.SessionsOf(7)) + len(g2.SessionsOf(7)); got != c.stay {
						t.Errorf("%d sessions have the user", got)
					}
					for _, n := range []*apptest.Node{m, g1, g2, b} {
						if !n.Online(7) {
							t.Errorf("%s does not know that the user is online", n.Addr)
						}
					}
				})
			})
		}
	}
}

// Both logins happen at the same moment: one stays.
func TestOneOfTwoLoginsAtOnceStays(t *testing.T) {
	for name, policy := range map[string]session.BindPolicy{"kick old": nano.BindKickOld, "refuse new": nano.BindRefuseNew} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g1 := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithBindPolicy(policy))
				g2 := f.Start(t, "gate:2", apptest.Handlers(apptest.SignIn()), nano.WithBindPolicy(policy))
				apptest.Meet(t, m, g1, g2)
				for range 5 {
					one, two := g1.TCP.Client(t), g2.TCP.Client(t)
					one.Ready()
					two.Ready()
					one.Notify("A.Bind", []byte("7"))
					two.Notify("A.Bind", []byte("7"))
					synctest.Wait()
					time.Sleep(time.Second)
					if got := len(g1.SessionsOf(7)) + len(g2.SessionsOf(7)); got != 1 {
						t.Errorf("%d sessions have the user", got)
					}
					one.Close()
					two.Close()
					time.Sleep(3 * time.Second)
					if g1.Online(7) || g2.Online(7) || m.Online(7) {
						t.Error("the user is online after both have closed")
					}
				}
			})
		})
	}
}

// A friend list asks any node who is there, and pushes to friends wherever they are.
func TestUsersAreFoundFromAnyNode(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g1 := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
		g2 := f.Start(t, "gate:2", apptest.Handlers(apptest.SignIn()))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		apptest.Meet(t, m, g1, g2, b)
		var clients []*nanotest.Client
		for i, g := range []*apptest.Node{g1, g1, g2, g2} { // users 1, 2, 1, 3
			c := g.TCP.Client(t)
			c.Ready()
			apptest.Bind(t, c, []string{"1", "2", "1", "3"}[i], "<nil>")
			clients = append(clients, c)
		}
		late := f.Start(t, "back:2", apptest.Handlers(nil)) // is told by those who were there
		nodes := []*apptest.Node{m, g1, g2, b, late}
		apptest.Meet(t, nodes...)
		for _, n := range nodes {
			uids := n.OnlineUIDs()
			slices.Sort(uids)
			if !slices.Equal(uids, []int64{1, 2, 3}) {
				t.Errorf("%s knows the users %v", n.Addr, uids)
			}
			if n.Online(4) || !n.Online(2) {
				t.Errorf("%s says online of 4: %v, of 2: %v", n.Addr, n.Online(4), n.Online(2))
			}
			if err := n.PushTo(1, "hello", []byte(n.Addr)); err != nil {
				t.Errorf("PushTo on %s: %v", n.Addr, err)
			}
			for _, i := range []int{0, 2} {
				if got := clients[i].Push("hello"); string(got) != n.Addr {
					t.Errorf("pushed %q", got)
				}
			}
			if err := n.PushTo(4, "hello", nil); !errors.Is(err, nano.ErrOffline) {
				t.Errorf("PushTo on %s to somebody who is not there: %v", n.Addr, err)
			}
		}
		if err := late.KickUser(1, "bye"); err != nil {
			t.Error(err)
		}
		for _, i := range []int{0, 2} {
			if reason := clients[i].Kicked(); reason != "bye" {
				t.Errorf("kicked because of %q", reason)
			}
			clients[i].Close()
		}
		synctest.Wait()
		for _, n := range nodes {
			if n.Online(1) {
				t.Errorf("%s still says that user 1 is online", n.Addr)
			}
			if err := n.KickUser(1, ""); !errors.Is(err, nano.ErrOffline) {
				t.Errorf("KickUser on %s: %v", n.Addr, err)
			}
		}
		f.Kill("gate:2") // user 3 goes with it
		nanotest.Until(t, "the gate's users are gone", func() bool {
			return !slices.ContainsFunc([]*apptest.Node{m, g1, b, late}, func(n *apptest.Node) bool { return n.Online(3) })
		})
		if err := b.PushTo(3, "hello", nil); !errors.Is(err, nano.ErrOffline) {
			t.Errorf("PushTo: %v", err)
		}
	})
}
