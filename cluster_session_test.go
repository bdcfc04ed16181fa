package nano_test

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
)

// backend is a component by which a client has a backend act on its session.
func backend(more fns) fns {
	all := fns{
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

func watch(n *node) *ends {
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

func call1(t *testing.T, c *nanotest.Client, route, data, want string) {
	t.Helper()
	if m := c.Call(route, []byte(data)); m.Err || string(m.Data) != want {
		t.Errorf("%s(%s) says %v %q, want %q", route, data, m, m.Data, want)
	}
}

// A player's name and address are asked for on a backend: it knows them as the gate does, and what the application
// did not choose to forward stays where it is.
func TestClusterBackendKnowsTheSession(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(fns{
			"A.Name": func(_ context.Context, s *session.Session, data []byte) error {
				s.Set("name", string(data))
				s.Set("secret", "of the gate")
				return s.Response([]byte("ok"))
			},
			"A.Bind":  signIn()["A.Bind"],
			"A.Clear": signIn()["A.Clear"],
		}), nano.WithForwardedValues("name"))
		b := f.start(t, "back:1", handlers(backend(nil)))
		atGate, atBack := watch(g), watch(b)
		meet(t, m, g, b)
		nc, err := g.tcp.DialFrom("198.51.100.7:1234")
		if err != nil {
			t.Fatal(err)
		}
		c := nanotest.NewClient(t, nc)
		c.Ready()
		call1(t, c, "A.Name", "Ann", "ok")
		call1(t, c, "Back.Who", "", "0 Ann <nil> 198.51.100.7:1234")
		bind(t, c, "7", "<nil>")
		call1(t, c, "Back.Who", "", "7 Ann <nil> 198.51.100.7:1234")
		call1(t, c, "A.Name", "Anna", "ok")
		bind(t, c, "8", "<nil>") // as another user
		call1(t, c, "Back.Who", "", "8 Anna <nil> 198.51.100.7:1234")
		call1(t, c, "Back.Bind", "9", "<nil>")
		call1(t, c, "Back.Who", "", "9 Anna <nil> 198.51.100.7:1234")
		synctest.Wait()
		if got := g.UIDs(); !slices.Equal(got, []int64{9}) {
			t.Errorf("the gate knows the users %v", got)
		}
		for _, n := range []*node{m, g, b} {
			if got := n.OnlineUIDs(); !slices.Equal(got, []int64{9}) {
				t.Errorf("%s knows the users %v", n.addr, got)
			}
		}
		call1(t, c, "A.Clear", "", "<nil>")
		call1(t, c, "Back.Who", "", "0 <nil> <nil> 198.51.100.7:1234")
		call1(t, c, "A.Name", "Bea", "ok")
		bind(t, c, "11", "<nil>")
		c.Close()
		synctest.Wait()
		for where, e := range map[string]*ends{"gate": atGate, "backend": atBack} {
			if got := e.list(); !slices.Equal(got, []string{"uid 11 name Bea"}) {
				t.Errorf("OnClosed on the %s: %q", where, got)
			}
		}
		for _, n := range []*node{m, g, b} {
			if got := n.OnlineUIDs(); len(got) != 0 || n.Online(11) {
				t.Errorf("%s still knows the users %v", n.addr, got)
			}
		}
	})
}

// A backend asks which gate a player came by: to count them, or to send them to the gate that is nearer.
func TestClusterGateOf(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		gateOf := func(_ context.Context, s *session.Session, _ []byte) error {
			return s.Response(fmt.Appendf(nil, "%q", nano.GateOf(s)))
		}
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(fns{"A.GateOf": gateOf}))
		b := f.start(t, "back:1", handlers(fns{"Back.GateOf": gateOf}))
		meet(t, m, g, b)
		c, local := g.tcp.Client(t), b.tcp.Client(t)
		c.Ready()
		local.Ready()
		call1(t, c, "A.GateOf", "", `""`)
		call1(t, c, "Back.GateOf", "", `"gate:1"`)
		call1(t, local, "Back.GateOf", "", `""`)
		call1(t, local, "A.GateOf", "", `"back:1"`)
		if got, err := nano.Call[string](m.Context(t.Context()), "Back.GateOf", nil); err != nil || *got != "" {
			t.Errorf("a call between nodes: %v", err)
		}
	})
}

// A backend ends a session: what it pushed before is there first, and the session ends everywhere, once.
func TestClusterBackendEndsTheSession(t *testing.T) {
	for _, how := range []string{"Back.Kick", "Back.Close", "client"} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fabric) {
				m := f.start(t, masterAddr, handlers(nil))
				g := f.start(t, "gate:1", handlers(nil))
				b := f.start(t, "back:1", handlers(backend(nil)))
				atGate, atBack := watch(g), watch(b)
				meet(t, m, g, b)
				c := g.tcp.Client(t)
				c.Ready()
				call1(t, c, "Back.Bind", "5", "<nil>")
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
func TestClusterOnClosedIsLast(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(nil))
		var seen []string
		b := f.start(t, "back:1", handlers(fns{"Back.Say": func(_ context.Context, s *session.Session, data []byte) error {
			seen = append(seen, string(data))
			return nil
		}}))
		b.Lifetime().OnClosed(func(*session.Session) { seen = append(seen, "closed") })
		meet(t, m, g, b)
		c := g.tcp.Client(t)
		c.Ready()
		c.Notify("Back.Say", []byte("0"))
		synctest.Wait()
		f.freeze("back:1") // so that the rest comes in one batch
		for i := range 20 {
			c.Notify("Back.Say", fmt.Append(nil, i+1))
		}
		c.Close()
		synctest.Wait()
		f.thaw("back:1")
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

// A message goes from a gate to a backend and from there to another: that one can push to the client, knows who it
// is, can go back to the gate, and is told the end.
func TestClusterRPCChain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g := f.start(t, "gate:1", handlers(fns{"Gate.End": func(_ context.Context, s *session.Session, data []byte) error {
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
		a := f.start(t, "back:1", handlers(fns{"A.Do": forward("B.Do")}))
		b := f.start(t, "back:2", handlers(fns{"B.Do": forward("C.Do")}))
		d := f.start(t, "back:3", handlers(fns{"C.Do": forward("Gate.End")}))
		var all []*ends
		for _, n := range []*node{g, a, b, d} {
			all = append(all, watch(n))
		}
		meet(t, m, g, a, b, d)
		c := g.tcp.Client(t)
		c.Ready()
		synctest.Wait()
		if err := g.Session(g.opened()[0]).Bind(3); err != nil {
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
func TestClusterBindPolicies(t *testing.T) {
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
				inBubble(t, func(t *testing.T, f *fabric) {
					policy := nano.WithBindPolicy(c.policy)
					m := f.start(t, masterAddr, handlers(nil), policy)
					g1 := f.start(t, "gate:1", handlers(signIn()), policy)
					g2 := f.start(t, "gate:2", handlers(signIn()), policy)
					b := f.start(t, "back:1", handlers(backend(nil)), policy)
					meet(t, m, g1, g2, b)
					one, two := g1.tcp.Client(t), g2.tcp.Client(t)
					one.Ready()
					two.Ready()
					call1(t, one, route, "7", "<nil>")
					synctest.Wait()
					time.Sleep(time.Millisecond)
					call1(t, two, route, "7", c.bind)
					synctest.Wait()
					if c.first != "" {
						if reason := one.Kicked(); reason != c.first {
							t.Errorf("the first was kicked because of %q", reason)
						}
						one.Close()
					} else {
						pong(t, one)
					}
					pong(t, two)
					synctest.Wait()
					if got := len(g1.SessionsOf(7)) + len(g2.SessionsOf(7)); got != c.stay {
						t.Errorf("%d sessions have the user", got)
					}
					for _, n := range []*node{m, g1, g2, b} {
						if !n.Online(7) {
							t.Errorf("%s does not know that the user is online", n.addr)
						}
					}
				})
			})
		}
	}
}

// Both logins happen at the same moment: one stays.
func TestClusterBindAtOnce(t *testing.T) {
	for name, policy := range map[string]session.BindPolicy{"kick old": nano.BindKickOld, "refuse new": nano.BindRefuseNew} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fabric) {
				m := f.start(t, masterAddr, handlers(nil))
				g1 := f.start(t, "gate:1", handlers(signIn()), nano.WithBindPolicy(policy))
				g2 := f.start(t, "gate:2", handlers(signIn()), nano.WithBindPolicy(policy))
				meet(t, m, g1, g2)
				for range 5 {
					one, two := g1.tcp.Client(t), g2.tcp.Client(t)
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
func TestClusterByUID(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fabric) {
		m := f.start(t, masterAddr, handlers(nil))
		g1 := f.start(t, "gate:1", handlers(signIn()))
		g2 := f.start(t, "gate:2", handlers(signIn()))
		b := f.start(t, "back:1", handlers(backend(nil)))
		meet(t, m, g1, g2, b)
		var clients []*nanotest.Client
		for i, g := range []*node{g1, g1, g2, g2} { // users 1, 2, 1, 3
			c := g.tcp.Client(t)
			c.Ready()
			bind(t, c, []string{"1", "2", "1", "3"}[i], "<nil>")
			clients = append(clients, c)
		}
		late := f.start(t, "back:2", handlers(nil)) // is told by those who were there
		nodes := []*node{m, g1, g2, b, late}
		meet(t, nodes...)
		for _, n := range nodes {
			uids := n.OnlineUIDs()
			slices.Sort(uids)
			if !slices.Equal(uids, []int64{1, 2, 3}) {
				t.Errorf("%s knows the users %v", n.addr, uids)
			}
			if n.Online(4) || !n.Online(2) {
				t.Errorf("%s says online of 4: %v, of 2: %v", n.addr, n.Online(4), n.Online(2))
			}
			if err := n.PushTo(1, "hello", []byte(n.addr)); err != nil {
				t.Errorf("PushTo on %s: %v", n.addr, err)
			}
			for _, i := range []int{0, 2} {
				if got := clients[i].Push("hello"); string(got) != n.addr {
					t.Errorf("pushed %q", got)
				}
			}
			if err := n.PushTo(4, "hello", nil); !errors.Is(err, nano.ErrOffline) {
				t.Errorf("PushTo on %s to somebody who is not there: %v", n.addr, err)
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
				t.Errorf("%s still says that user 1 is online", n.addr)
			}
			if err := n.KickUser(1, ""); !errors.Is(err, nano.ErrOffline) {
				t.Errorf("KickUser on %s: %v", n.addr, err)
			}
		}
		f.kill("gate:2") // user 3 goes with it
		nanotest.Until(t, "the gate's users are gone", func() bool {
			return !slices.ContainsFunc([]*node{m, g1, b, late}, func(n *node) bool { return n.Online(3) })
		})
		if err := b.PushTo(3, "hello", nil); !errors.Is(err, nano.ErrOffline) {
			t.Errorf("PushTo: %v", err)
		}
	})
}
