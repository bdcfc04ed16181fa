package cluster_test

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// who says which user a session is, and its name.
func who(_ context.Context, s *session.Session, _ []byte) error {
	return s.Response(fmt.Appendf(nil, "%d %v", s.UID(), s.Value("name")))
}

// A player who has signed in at the gate is known at a backend from their first message on: by
// components with a scheduler of their own and by filters too, however busy the node's scheduler
// is. They would be refused as strangers.
func TestUserIsKnownFromTheFirstMessage(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithForwardedValues("name"))
		own, of := scheduler.New(), scheduler.New()
		for _, s := range []*scheduler.Scheduler{own, of} {
			s.Start()
			t.Cleanup(s.Close)
		}
		cs := new(component.Components)
		component.HandleRaw(cs, "Own.Who", who, component.WithScheduler(own))
		component.HandleRaw(cs, "Main.Who", who)
		p := pipeline.New()
		p.Inbound().PushBack(func(s *session.Session, m *pipeline.Message) error {
			if s.UID() == 0 || s.Value("name") == nil {
				return errors.New("a stranger")
			}
			return nil
		})
		b := f.Start(t, "back:1", cs, nano.WithPipeline(p))
		bound := 0
		b.Lifetime().OnBound(func(s *session.Session) {
			if bound++; !b.Scheduler().HasTurn() {
				t.Error("OnBound does not run on the node's scheduler")
			}
		})
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		g.Session(g.Opened()[0]).Set("name", "Ann")
		apptest.Bind(t, c, "7", "<nil>")
		release := make(chan struct{})
		b.Scheduler().PushTask(func() { <-release })
		apptest.Call(t, c, "Own.Who", "", "7 Ann")
		id := c.Request("Main.Who", nil)
		synctest.Wait()
		close(release)
		if m := c.Response(id); string(m.Data) != "7 Ann" {
			t.Errorf("says %v %q", m, m.Data)
		}
		synctest.Wait()
		if bound != 1 {
			t.Errorf("OnBound ran %d times", bound)
		}
	})
}

// A client plays on as another user: what it sent before is done as the first, and what it sends
// after as the second, on whichever scheduler. A save that was on its way would be written to the
// account of the other.
func TestUserChangesInOrder(t *testing.T) {
	for _, route := range []string{"Main.Who", "Own.Who", "Named.Who"} {
		for _, change := range []struct{ route, data, want string }{{"A.Bind", "8", "8 Ann"}, {"A.Clear", "", "0 <nil>"}} {
			t.Run(route+" "+change.route, func(t *testing.T) {
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
					m := f.Start(t, apptest.Master, apptest.Handlers(nil))
					g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithForwardedValues("name"))
					own, named := scheduler.New(), scheduler.New()
					for _, s := range []*scheduler.Scheduler{own, named} {
						s.Start()
						t.Cleanup(s.Close)
					}
					var bound []int64
					cs := new(component.Components)
					component.HandleRaw(cs, "Main.Who", who)
					component.HandleRaw(cs, "Own.Who", who, component.WithScheduler(own))
					component.HandleRaw(cs, "Named.Who", who, component.WithSchedulerName("scheduler"))
					b := f.Start(t, "back:1", cs)
					b.Lifetime().OnOpened(func(s *session.Session) { s.Set("scheduler", named) })
					b.Lifetime().OnBound(func(s *session.Session) { bound = append(bound, s.UID()) })
					apptest.Meet(t, m, g, b)
					c := g.TCP.Client(t)
					c.Ready(apptest.AcceptErrors)
					synctest.Wait()
					g.Session(g.Opened()[0]).Set("name", "Ann")
					apptest.Bind(t, c, "7", "<nil>")
					apptest.Call(t, c, "Main.Who", "", "7 Ann")
					apptest.Call(t, c, route, "", "7 Ann")
					release, last := make(chan struct{}), make(chan struct{})
					for s, wait := range map[*scheduler.Scheduler]chan struct{}{own: release, named: release, b.Scheduler(): last} {
						s.PushTask(func() { <-wait })
					}
					before := c.Request(route, nil)
					synctest.Wait()
					apptest.Call(t, c, change.route, change.data, "<nil>")
					after := c.Request(route, nil)
					synctest.Wait()
					close(release)
					synctest.Wait()
					close(last)
					for _, want := range []struct {
						id  uint64
						who string
					}{{before, "7 Ann"}, {after, change.want}} {
						if m := c.Response(want.id); string(m.Data) != want.who {
							t.Errorf("done as %q, want %q", m.Data, want.who)
						}
					}
					synctest.Wait()
					if change.route == "A.Bind" && !slices.Equal(bound, []int64{7, 8}) {
						t.Errorf("OnBound ran for %v", bound)
					}
				})
			})
		}
	}
}

// A backend that got a session from another backend signs it in with its first handler, while the
// gate answers that it has heard of the backend. The gate does not know of the login then: its
// answer must not undo it, or the player would lose what the handler has set.
func TestBindBeforeTheGateAnswers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		a := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"A.Login": func(_ context.Context, s *session.Session, data []byte) error {
			return s.RPC("B.Login", data)
		}}))
		b := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{
			"B.Login": func(_ context.Context, s *session.Session, data []byte) error {
				uid, err := strconv.ParseInt(string(data), 10, 64)
				if err == nil {
					err = s.Bind(uid)
				}
				if err != nil {
					return err
				}
				s.Set("name", "Ann")
				return s.Push("done", nil)
			},
			"B.Who": who,
		}))
		bound := 0
		b.Lifetime().OnBound(func(*session.Session) { bound++ })
		apptest.Meet(t, m, g, a, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		release := make(chan struct{})
		g.Scheduler().PushTask(func() { <-release }) // the gate hears of the backend now, and of the user later
		c.Notify("A.Login", []byte("7"))
		c.Push("done")
		synctest.Wait()
		apptest.Call(t, c, "B.Who", "", "7 Ann")
		close(release)
		synctest.Wait()
		apptest.Call(t, c, "B.Who", "", "7 Ann")
		synctest.Wait()
		if bound != 1 {
			t.Errorf("OnBound ran %d times", bound)
		}
		if !slices.Equal(g.UIDs(), []int64{7}) {
			t.Errorf("the gate knows the users %v", g.UIDs())
		}
	})
}

// unencodable is a value that gob cannot encode, explosive is one that panics when it is encoded.
type (
	unencodable func()
	explosive   struct{}
)

func (explosive) GobEncode() ([]byte, error) { panic("secret") }

// Of a session's forwarded values one cannot be encoded: the others arrive, and the log names the
// one that does not.
func TestValueThatCannotBeEncodedCostsItself(t *testing.T) {
	gob.Register(explosive{})
	for name, bad := range map[string]any{"of a bad type": unencodable(func() {}), "panics": explosive{}} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("bad", "name", "level"))
				b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Who": func(_ context.Context, s *session.Session, _ []byte) error {
					return s.Response(fmt.Appendf(nil, "%v %v %v", s.Value("name"), s.Value("level"), s.HasKey("bad")))
				}}))
				apptest.Meet(t, m, g, b)
				c := g.TCP.Client(t)
				c.Ready(apptest.AcceptErrors)
				synctest.Wait()
				s := g.Session(g.Opened()[0])
				s.Set("name", "Ann")
				s.Set("level", 3)
				s.Set("bad", bad)
				apptest.Call(t, c, "Back.Who", "", "Ann 3 false")
				if got := g.Log.Lines("key=bad"); len(got) != 1 {
					t.Errorf("logged: %q", got)
				}
			})
		})
	}
}

// A room has a scheduler of its own. What its component does when a player leaves, it does after
// what the player has sent, also when the room is slow: or the player's last message would bring
// them back into a room that they have left.
func TestRoomHandlesMessagesBeforeTheEnd(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		room := scheduler.New()
		room.Start()
		t.Cleanup(room.Close)
		var seen []string
		cs := new(component.Components)
		component.HandleRaw(cs, "Room.Say", func(_ context.Context, _ *session.Session, data []byte) error {
			seen = append(seen, string(data))
			return nil
		}, component.WithScheduler(room))
		b := f.Start(t, "back:1", cs)
		b.Lifetime().OnClosed(func(*session.Session) { room.PushTask(func() { seen = append(seen, "left") }) })
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready()
		release := make(chan struct{})
		room.PushTask(func() { <-release })
		var want []string
		for i := range 20 {
			c.Notify("Room.Say", fmt.Append(nil, i))
			want = append(want, fmt.Sprint(i))
		}
		c.Close()
		synctest.Wait()
		close(release)
		synctest.Wait()
		if want = append(want, "left"); !slices.Equal(seen, want) {
			t.Errorf("seen %v", seen)
		}
	})
}
