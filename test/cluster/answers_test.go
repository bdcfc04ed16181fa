package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A request that fails on a backend has one answer for a client that accepts errors,
// and none for an old one, whose connection lives on.
func TestRequestThatFailsOnABackendHasOneAnswer(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		cs := apptest.Handlers(apptest.Funcs{
			"Back.Error": func(context.Context, *session.Session, []byte) error { return errors.New("secret") },
			"Back.Coded": func(context.Context, *session.Session, []byte) error { return nano.Errorf("full", "room 3 is full") },
			"Back.Panic": func(context.Context, *session.Session, []byte) error { panic("secret") },
			"Back.Never": func(context.Context, *session.Session, []byte) error { return nil },
			"Back.Twice": func(_ context.Context, s *session.Session, _ []byte) error {
				if err := s.Response([]byte("first")); err != nil {
					return err
				}
				return errors.New("after the answer")
			},
		})
		component.Handle(cs, "Back.Typed", func(_ context.Context, _ *session.Session, in *struct{}) (*struct{}, error) { return in, nil })
		p := pipeline.New()
		p.Inbound().PushBack(func(_ *session.Session, m *pipeline.Message) error {
			if m.Route == "Back.Refuse" {
				return errors.New("secret")
			}
			return nil
		})
		b := f.Start(t, "back:1", cs, nano.WithPipeline(p))
		apptest.Meet(t, m, g, b)
		reads, old := g.TCP.Client(t), g.TCP.Client(t)
		reads.Ready(apptest.AcceptErrors)
		old.Ready()
		for _, r := range []struct{ route, data, code, text string }{
			{"Back.None", "", "not_found", `no handler for route "Back.None"`},
			{"None.None", "", "not_found", `no node runs service "None"`},
			{"None", "", "not_found", `no handler for route "None"`},
			{"Back.Typed", "bad", "invalid_argument", "does not parse"},
			{"Back.Refuse", "", "permission_denied", "refused"},
			{"Back.Error", "", "internal", "internal error"},
			{"Back.Coded", "", "full", "room 3 is full"},
			{"Back.Panic", "", "internal", "internal error"},
		} {
			msg := reads.Call(r.route, []byte(r.data))
			var e struct{ Code, Error string }
			if err := json.Unmarshal(msg.Data, &e); err != nil || !msg.Err {
				t.Errorf("%s: answer %v %q, %v", r.route, msg, msg.Data, err)
			}
			if e.Code != r.code || !strings.Contains(e.Error, r.text) || strings.Contains(e.Error, "secret") {
				t.Errorf("%s: told %+v, want %q and %q", r.route, e, r.code, r.text)
			}
			old.Request(r.route, []byte(r.data))
			synctest.Wait()
			apptest.Pong(t, reads)
			apptest.Pong(t, old)
		}
		apptest.Call(t, reads, "Back.Twice", "", "first")
		apptest.Pong(t, reads)
		// The backend dies with a request in flight, which is then told, once.
		id := reads.Request("Back.Never", nil)
		old.Request("Back.Never", nil)
		synctest.Wait()
		f.Kill("back:1")
		if m := reads.Response(id); !m.Err || !strings.Contains(string(m.Data), "unavailable") {
			t.Errorf("answer %v %q", m, m.Data)
		}
		apptest.Pong(t, reads)
		apptest.Pong(t, old)
	})
}

// A backend that was taken for dead answers after all: the client has one answer.
func TestAnswerOfADroppedBackendIsNoSecondOne(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		var answer func() error
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Later": func(ctx context.Context, s *session.Session, _ []byte) error {
			mid := nano.MessageID(ctx)
			answer = func() error { return s.ResponseMID(mid, []byte("late")) }
			return nil
		}}))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		id := c.Request("Back.Later", nil)
		synctest.Wait()
		f.Kill("back:1")
		if m := c.Response(id); !m.Err {
			t.Errorf("answer %v", m)
		}
		f.Revive("back:1")
		if err := answer(); err != nil {
			t.Logf("the answer was refused, which is as well: %v", err)
		}
		nanotest.Until(t, "the backend is used again", func() bool {
			apptest.Pong(t, c)
			m := c.Call("Back.None", nil)
			return strings.Contains(string(m.Data), "not_found")
		})
	})
}

// A client has more requests without an answer than a gate remembers. Each has one outcome: the
// oldest are told so when there are too many, the others when their backend dies. Without it a long
// session of a game whose handlers sometimes do not answer would wait for ever for the requests of
// its last day.
func TestManyUnansweredRequestsHaveOneOutcomeEach(t *testing.T) {
	const n = 20_000
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		var late []uint64
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
			"Back.Never": func(ctx context.Context, s *session.Session, _ []byte) error {
				if len(late) < 2000 {
					late = append(late, nano.MessageID(ctx))
				}
				return nil
			},
			"Back.Late": func(_ context.Context, s *session.Session, _ []byte) error {
				for _, mid := range late {
					if err := s.ResponseMID(mid, []byte("late")); err != nil {
						return err
					}
				}
				return s.Push("late", nil)
			},
		}))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		outcomes := make(map[uint64]string, n)
		answered, seen := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(seen)
			for len(outcomes) < n {
				m, err := c.NextMessage()
				if err != nil {
					return
				}
				if m.Route == "late" {
					close(answered)
					continue
				}
				var e struct{ Code string }
				if err := json.Unmarshal(m.Data, &e); err != nil || !m.Err || outcomes[m.ID] != "" {
					t.Errorf("answer %v %q of %d, which had %q", m, m.Data, m.ID, outcomes[m.ID])
				}
				outcomes[m.ID] = e.Code
			}
		}()
		for range n {
			c.Request("Back.Never", nil)
		}
		c.Notify("Back.Late", nil) // to some that were told they had failed
		<-answered
		f.Kill("back:1")
		select {
		case <-seen:
		case <-time.After(10 * time.Second):
			c.Close()
			<-seen
			t.Fatalf("%d requests have an outcome", len(outcomes))
		}
		count := map[string]int{}
		newest, oldest := uint64(0), uint64(n)
		for id, code := range outcomes {
			if count[code]++; code == component.CodeExhausted {
				newest = max(newest, id)
			} else {
				oldest = min(oldest, id)
			}
		}
		if newest > oldest {
			t.Errorf("request %d was given up, and %d, which is older, was not", newest, oldest)
		}
		if count[component.CodeExhausted] == 0 || count[component.CodeUnavailable] < n/2 || len(count) != 2 {
			t.Errorf("outcomes %v", count)
		}
		apptest.Pong(t, c)
	})
}

// Handlers of two backends call each other, thousands at a time, by calls that wait
// for each other and by notifies in the name of a session.
func TestBackendsCallEachOtherWithoutDeadlock(t *testing.T) {
	const n = 2000
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		ask := func(route string) func(context.Context, *session.Session, []byte) error {
			return func(ctx context.Context, s *session.Session, data []byte) error {
				resp, err := nano.Call[struct{ N string }](ctx, route, map[string]string{"N": string(data)})
				if err != nil {
					return err
				}
				return s.Response([]byte(resp.N))
			}
		}
		side := func(me, other string) *component.Components {
			cs := apptest.Handlers(apptest.Funcs{
				me + ".Ask": ask(other + ".Pass"),
				me + ".Say": func(_ context.Context, s *session.Session, data []byte) error { return s.RPC(other+".Said", data) },
				me + ".Said": func(_ context.Context, s *session.Session, data []byte) error {
					return s.Push("said", data)
				},
			})
			component.Handle(cs, me+".Pass", func(ctx context.Context, _ *session.Session, req *struct{ N string }) (*struct{ N string }, error) {
				return nano.Call[struct{ N string }](ctx, other+".Leaf", req)
			})
			component.Handle(cs, me+".Leaf", func(_ context.Context, _ *session.Session, req *struct{ N string }) (*struct{ N string }, error) {
				return req, nil
			})
			return cs
		}
		a := f.Start(t, "back:1", side("A", "B"))
		b := f.Start(t, "back:2", side("B", "A"))
		apptest.Meet(t, m, g, a, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		go func() {
			for i := range n {
				for _, side := range []string{"A", "B"} {
					if i%2 == 0 {
						c.Request(side+".Ask", fmt.Append(nil, i))
					}
					c.Notify(side+".Say", fmt.Append(nil, i))
				}
			}
		}()
		answers, pushes := 0, 0
		for range n + 2*n {
			m := c.Message()
			switch {
			case m.Err:
				t.Fatalf("answer %q", m.Data)
			case m.Route == "said":
				pushes++
			default:
				answers++
			}
		}
		if answers != n || pushes != 2*n {
			t.Errorf("%d answers and %d pushes of %d", answers, pushes, n)
		}
	})
}

// The backend has answered, and the gate cannot send the answer: a filter of its own refuses it.
// The client waits for something, so it is told that.
func TestAnswerThatTheGateCannotSendIsAnError(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		p := pipeline.New()
		p.Outbound().PushBack(func(_ *session.Session, m *pipeline.Message) error {
			if string(m.Data) == "bad" {
				return nano.Errorf("censored", "not for you")
			}
			return nil
		})
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithPipeline(p))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		apptest.Meet(t, m, g, b)
		c, old := g.TCP.Client(t), g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		old.Ready()
		id := c.Request("Back.Echo", []byte("bad"))
		old.Request("Back.Echo", []byte("bad"))
		synctest.Wait()
		id2 := c.Request("Back.Echo", []byte("good"))
		if m := c.Response(id); !m.Err || !strings.Contains(string(m.Data), "censored") {
			t.Errorf("answer %v %q", m, m.Data)
		}
		if m := c.Response(id2); m.Err {
			t.Errorf("answer %v %q", m, m.Data)
		}
		apptest.Pong(t, old)
		if len(g.Log.Lines("censored")) == 0 {
			t.Error("nobody was told at the gate")
		}
	})
}

// The link is down for a moment while the handler of a client of v0.5 works. Such a client takes no
// errors, so it was told nothing: the answer that comes a moment later is its only outcome.
func TestAnswerAfterACutReachesAClientThatTakesNoErrors(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		answer := map[string]func() error{}
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Later": func(ctx context.Context, s *session.Session, data []byte) error {
			mid := nano.MessageID(ctx)
			answer[string(data)] = func() error { return s.ResponseMID(mid, []byte("late")) }
			return nil
		}}))
		apptest.Meet(t, m, g, b)
		old, reads := g.TCP.Client(t), g.TCP.Client(t)
		old.Ready()
		reads.Ready(apptest.AcceptErrors)
		of := old.Request("Back.Later", []byte("old"))
		rf := reads.Request("Back.Later", []byte("reads"))
		synctest.Wait()
		f.Block("gate:1", "back:1")
		f.Block("back:1", "gate:1")
		if m := reads.Response(rf); !m.Err {
			t.Errorf("answer %v %q", m, m.Data)
		}
		for _, fn := range answer {
			if err := fn(); err != nil {
				t.Error(err)
			}
		}
		f.Allow("gate:1", "back:1")
		f.Allow("back:1", "gate:1")
		synctest.Wait()
		if m := old.Response(of); m.Err || string(m.Data) != "late" {
			t.Errorf("the client of v0.5 got %v %q", m, m.Data)
		}
		apptest.Pong(t, reads) // which has its one outcome
	})
}

// What the application makes of an error may take as long as it likes: the list of members is kept
// meanwhile, or one function that asks a database would have the whole gate taken for dead.
func TestErrorShapeThatWaitsHoldsUpNoHeartbeat(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		hold := make(chan struct{})
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithErrorShape(func(_ *session.Session, _ string, err error) any {
			<-hold
			return map[string]string{"code": codeOf(err)}
		}))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
			"Back.Never": func(context.Context, *session.Session, []byte) error { return nil },
		}))
		others := []*apptest.Node{m, g, b}
		for _, addr := range []string{"back:2", "back:3", "back:4"} { // or the master takes two losses for its own
			others = append(others, f.Start(t, addr, apptest.Handlers(nil)))
		}
		apptest.Meet(t, others...)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		id := c.Request("Back.Never", nil)
		synctest.Wait()
		f.Kill("back:1")
		for range 10 {
			time.Sleep(time.Second)
			apptest.Pong(t, c)
		}
		if got := m.Members(); !slices.Contains(got, "gate:1") {
			t.Errorf("the master has %v in its list", got)
		}
		if got := g.Members(); slices.Contains(got, "back:1") {
			t.Errorf("the gate still has %v in its list", got)
		}
		close(hold)
		if m := c.Response(id); !m.Err || !strings.Contains(string(m.Data), "unavailable") {
			t.Errorf("answer %v %q", m, m.Data)
		}
	})
}
