package cluster_test

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// values is a backend's service that says what it knows of a session, and sets a value of its own.
func values(name string) *component.Components {
	return apptest.Handlers(apptest.Funcs{
		name + ".Get": func(_ context.Context, s *session.Session, _ []byte) error {
			return s.Response(fmt.Appendf(nil, "%v %v %v", s.Value("name"), s.Value("level"), s.Value("own")))
		},
		name + ".Set": func(_ context.Context, s *session.Session, data []byte) error {
			s.Set("name", string(data))
			s.Set("own", "kept")
			return s.Response([]byte("ok"))
		},
	})
}

// A player is given a level, or a name, or loses one, while they play: every backend that has them
// knows it before their next message. They would play on as who they were until they sign in again.
func TestForwardedValuesChange(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(s *session.Session)
		want   string
	}{
		{"set", func(s *session.Session) { s.Set("level", 4) }, "Ann 4 kept"},
		{"set to nil", func(s *session.Session) { s.Set("level", nil) }, "Ann <nil> kept"},
		{"set twice", func(s *session.Session) { s.Set("level", 4); s.Set("level", 5) }, "Ann 5 kept"},
		{"removed", func(s *session.Session) { s.Remove("name") }, "<nil> 3 kept"},
		{"restored", func(s *session.Session) { s.Restore(map[string]any{"level": 7, "own": "of the gate"}) }, "<nil> 7 kept"},
		{"cleared, without a user", func(s *session.Session) { s.Clear() }, "<nil> <nil> kept"},
		{"cleared, and set again", func(s *session.Session) { _ = s.Bind(9); s.Clear(); s.Set("level", 1) }, "<nil> 1 <nil>"},
		{"of a type that cannot be encoded", func(s *session.Session) { s.Set("level", unencodable(nil)) }, "Ann <nil> kept"},
	} {
		t.Run(row.name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"A.Change": func(_ context.Context, s *session.Session, _ []byte) error {
					row.change(s)
					return s.Response([]byte("ok"))
				}}), nano.WithForwardedValues("name", "level"))
				b1, b2 := f.Start(t, "back:1", values("One")), f.Start(t, "back:2", values("Two"))
				apptest.Meet(t, m, g, b1, b2)
				c := g.TCP.Client(t)
				c.Ready(apptest.AcceptErrors)
				synctest.Wait()
				s := g.Session(g.Opened()[0])
				s.Set("name", "Ann")
				s.Set("level", 3)
				for _, back := range []string{"One", "Two"} {
					apptest.Call(t, c, back+".Get", "", "Ann 3 <nil>")
					apptest.Call(t, c, back+".Set", "Ann", "ok")
				}
				apptest.Call(t, c, "A.Change", "", "ok")
				for _, back := range []string{"One", "Two"} {
					apptest.Call(t, c, back+".Get", "", row.want)
				}
			})
		})
	}
}

// The gate notes something of each message that it sends on: the backend finds just that, in its
// order.
func TestForwardedValuesChangeInOrder(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("level"),
			nano.WithForwardFilter(func(s *session.Session, m *pipeline.Message) error {
				s.Set("level", string(m.Data))
				return nil
			}))
		var seen []string
		cs := new(component.Components)
		component.HandleRaw(cs, "Back.Say", func(context.Context, *session.Session, []byte) error { return nil })
		q := pipeline.New()
		q.Inbound().PushBack(func(s *session.Session, m *pipeline.Message) error {
			if got := s.Value("level"); got != string(m.Data) {
				t.Errorf("message %s came with %v", m.Data, got)
			}
			seen = append(seen, string(m.Data))
			return nil
		})
		b := f.Start(t, "back:1", cs, nano.WithPipeline(q))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready()
		var want []string
		for i := range 50 {
			c.Notify("Back.Say", fmt.Append(nil, i))
			want = append(want, fmt.Sprint(i))
		}
		synctest.Wait()
		if !slices.Equal(seen, want) {
			t.Errorf("seen %v", seen)
		}
	})
}

// What a handler sets many times goes over the link once, and what is not forwarded not at all: a
// position that is set with each step would fill the links.
func TestForwardedChangesGoTogether(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"A.Walk": func(_ context.Context, s *session.Session, data []byte) error {
			for i := range 100 {
				s.Set(string(data), i)
				s.Set("name", "of "+string(data))
			}
			return s.Response([]byte("ok"))
		}}), nano.WithForwardedValues("name", "level"))
		b := f.Start(t, "back:1", values("One"))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "A.Walk", "level", "ok")
		synctest.Wait()
		if n := f.Sent("SessionChanged"); n != 0 {
			t.Errorf("%d changes were sent of a session that nobody knows", n)
		}
		apptest.Call(t, c, "One.Get", "", "of level 99 <nil>")
		apptest.Call(t, c, "A.Walk", "level", "ok")
		synctest.Wait()
		if n := f.Sent("SessionChanged"); n != 1 {
			t.Errorf("the changes of one handler were sent %d times", n)
		}
		g.Session(g.Opened()[0]).Set("own", 1)
		synctest.Wait()
		if n := f.Sent("SessionChanged"); n != 1 {
			t.Error("a change of a value that is not forwarded was sent")
		}
	})
}

// What a backend has set itself stays when the gate changes something else: another value, or the
// user.
func TestBackendsOwnValuesStay(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithForwardedValues("name", "level"))
		b := f.Start(t, "back:1", values("One"))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		s := g.Session(g.Opened()[0])
		s.Set("name", "Ann")
		apptest.Call(t, c, "One.Set", "Captain Ann", "ok")
		s.Set("level", 3)
		apptest.Call(t, c, "One.Get", "", "Captain Ann 3 kept")
		apptest.Bind(t, c, "7", "<nil>")
		apptest.Bind(t, c, "8", "<nil>")
		apptest.Call(t, c, "One.Get", "", "Captain Ann 3 kept")
		s.Set("name", "Ben")
		apptest.Call(t, c, "One.Get", "", "Ben 3 kept")
	})
}

// unreadable stands for a type that the gate has registered and the backend has not.
type unreadable struct{ panics bool }

func (u unreadable) GobEncode() ([]byte, error) { return fmt.Append(nil, u.panics), nil }

func (u *unreadable) GobDecode(b []byte) error {
	if string(b) == "true" {
		panic("secret")
	}
	return errors.New("not here")
}

// Of a session's forwarded values a backend cannot read one: it knows the others, and not what the
// one was before.
func TestValueThatCannotBeReadCostsItself(t *testing.T) {
	gob.Register(unreadable{})
	for _, bad := range []unreadable{{panics: false}, {panics: true}} {
		t.Run(fmt.Sprintf("panics: %v", bad.panics), func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("name", "level"))
				b := f.Start(t, "back:1", values("One"))
				apptest.Meet(t, m, g, b)
				c := g.TCP.Client(t)
				c.Ready(apptest.AcceptErrors)
				synctest.Wait()
				s := g.Session(g.Opened()[0])
				s.Set("name", "Ann")
				s.Set("level", bad)
				apptest.Call(t, c, "One.Get", "", "Ann <nil> <nil>")
				s.Set("level", 3)
				apptest.Call(t, c, "One.Get", "", "Ann 3 <nil>")
				s.Set("level", bad)
				apptest.Call(t, c, "One.Get", "", "Ann <nil> <nil>")
				if got := b.Log.Lines("key=level"); len(got) != 1 { // the second is counted
					t.Errorf("logged: %q", got)
				}
			})
		})
	}
}

// Values are set by several goroutines while the player plays: in the end the backend knows what
// the gate knows.
func TestLastOfManyChangesIsForwarded(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("name", "level"))
		b := f.Start(t, "back:1", values("One"))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		s := g.Session(g.Opened()[0])
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for n := range 100 {
					s.Set("level", 100*i+n)
					if n%10 == i {
						s.Restore(map[string]any{"name": n})
					}
				}
			})
		}
		for range 50 {
			c.Call("One.Get", nil)
		}
		wg.Wait()
		apptest.Call(t, c, "One.Get", "", fmt.Sprintf("%v %v <nil>", s.Value("name"), s.Value("level")))
	})
}

// A backend sends a message in a player's name to another, which does not know them: it is told the
// values as they are now, and not as they were when the first backend came to know the player.
func TestBackendForwardsCurrentValues(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		var seen []string
		see := apptest.Funcs{"Two.See": func(_ context.Context, s *session.Session, _ []byte) error {
			seen = append(seen, fmt.Sprintf("%v %v", s.Value("name"), s.Value("level")))
			return nil
		}}
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("name", "level"))
		b1 := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"One.Pass": func(_ context.Context, s *session.Session, _ []byte) error {
			return errors.Join(s.RPC("Two.See", nil), s.Response([]byte("ok")))
		}, "One.Get": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte("ok")) }}))
		b2 := f.Start(t, "back:2", apptest.Handlers(see))
		apptest.Meet(t, m, g, b1, b2)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		s := g.Session(g.Opened()[0])
		s.Set("name", "Ann")
		s.Set("level", 3)
		apptest.Call(t, c, "One.Get", "", "ok")
		s.Set("name", "Ben")
		s.Remove("level")
		apptest.Call(t, c, "One.Pass", "", "ok")
		synctest.Wait()
		s.Set("level", 4) // the gate has heard of the second backend, and tells it, too
		synctest.Wait()
		apptest.Call(t, c, "One.Pass", "", "ok")
		synctest.Wait()
		if want := []string{"Ben <nil>", "Ben 4"}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
	})
}

// A value that is too large for a link costs itself, and not who the session is.
func TestLargeValueCostsItself(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{
			"Gate.Enter": func(_ context.Context, s *session.Session, _ []byte) error {
				if err := s.Bind(7); err != nil {
					return err
				}
				s.Set("secret", strings.Repeat("x", 30<<20))
				s.Set("name", "Ada")
				return s.Response([]byte("ok"))
			},
		}), nano.WithForwardedValues("name", "secret"))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Gate.Enter", "", "ok")
		if got := string(c.Call("Back.Who", nil).Data); !strings.HasPrefix(got, "7 Ada <nil> ") {
			t.Errorf("the backend knows the client as %q", got)
		}
		if len(g.Log.Lines("too large")) == 0 {
			t.Error("the gate's log does not say what was not forwarded")
		}
		c.Close()
	})
}

// A handler that goes on changing a map which it has set as a forwarded value must not race with
// the one who sends it: Go ends a process for that. (The race detector sees it.)
func TestForwardedMapMayBeChangedOn(t *testing.T) {
	gob.Register(map[string]int{})
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{
			"Gate.Work": func(_ context.Context, s *session.Session, _ []byte) error {
				bag := map[string]int{}
				for i := range 500 {
					bag["coins"] = i
					s.Set("bag", bag)
					bag["coins"]++
				}
				return s.Response([]byte("ok"))
			},
		}), nano.WithForwardedValues("bag"))
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Bag": func(_ context.Context, s *session.Session, _ []byte) error {
				return s.Response(fmt.Append(nil, s.Value("bag")))
			},
		})))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Echo", "x", "x")
		id := c.Request("Gate.Work", nil)
		if err := c.SendRaw(apptest.Notifies(500, "Back.Echo", 0)); err != nil {
			t.Error(err)
		}
		if r := c.Response(id); string(r.Data) != "ok" {
			t.Errorf("got %q", r.Data)
		}
		apptest.Call(t, c, "Back.Bag", "", "map[coins:499]") // as it was when it was set last
		c.Close()
	})
}
