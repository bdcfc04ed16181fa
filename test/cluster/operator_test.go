package cluster_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// operated is a cluster of a gate and a backend, and a client whom both know.
type operated struct {
	master, gate, back *apptest.Node
	client             *nanotest.Client
	id                 int64
	room               *nano.Group // on the backend
}

func newOperated(t *testing.T, f *apptest.Cluster) *operated {
	t.Helper()
	o := &operated{room: nano.NewGroup("garden")}
	o.master = f.Start(t, apptest.Master, apptest.Handlers(nil))
	signIn := apptest.SignIn()
	signIn["A.Stick"] = func(ctx context.Context, _ *session.Session, _ []byte) error {
		time.Sleep(5 * time.Second) // and the scheduler with it
		return ctx.Err()
	}
	o.gate = f.Start(t, "gate:1", apptest.Handlers(signIn), nano.WithForwardedValues("name"))
	o.back = f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
		"Back.Join": func(_ context.Context, s *session.Session, data []byte) error {
			s.Set("score", 17)
			s.Set("cards", map[string]int{"ace": 1})
			s.Set("until", time.Date(12345, 1, 2, 0, 0, 0, 0, time.UTC)) // JSON has no such year
			return errors.Join(o.room.Add(s), s.Response(data))
		},
	})))
	apptest.Meet(t, o.master, o.gate, o.back)
	o.client = o.gate.TCP.Client(t)
	o.client.Ready()
	apptest.Bind(t, o.client, "42", "<nil>")
	apptest.Call(t, o.client, "Back.Join", "x", "x")
	o.id = o.gate.Opened()[0]
	return o
}

// Somebody asks at night who player 42 is, where, and what each node has of them: any node tells.
func TestAnyNodeFindsASession(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOperated(t, f)
		for range 3 {
			o.gate.TCP.Client(t).Ready()
		}
		for _, from := range []*apptest.Node{o.master, o.gate, o.back} {
			at := from.Operator("gate:1")
			for name, q := range map[string]nano.SessionQuery{
				"user": {UID: 42}, "id": {ID: o.id}, "id and user": {ID: o.id, UID: 42},
			} {
				list, err := at.Sessions(t.Context(), q)
				if err != nil || list.Total != 4 || list.Matched != 1 || len(list.Sessions) != 1 || list.Sessions[0].ID != o.id || list.Sessions[0].UID != 42 {
					t.Errorf("%s asks for the %s: %+v, %v", from.Addr, name, list, err)
				}
			}
			for name, q := range map[string]nano.SessionQuery{
				"id of another user": {ID: o.id, UID: 41}, "user who is not there": {UID: 7}, "address": {Address: "no such"}, "group": {Group: "garden"},
			} {
				if list, err := at.Sessions(t.Context(), q); err != nil || list.Total != 4 || list.Matched != 0 {
					t.Errorf("%s asks for the %s: %+v, %v", from.Addr, name, list, err)
				}
			}
			list, err := at.Sessions(t.Context(), nano.SessionQuery{Limit: 2})
			if err != nil || list.Matched != 4 || len(list.Sessions) != 2 || list.Sessions[0].ID < list.Sessions[1].ID {
				t.Errorf("%s asks for two: %+v, %v", from.Addr, list, err)
			}
			info, err := at.Session(t.Context(), "", o.id)
			if err != nil || info.Transport != "tcp" || info.Routes["Back"] != "back:1" || time.Since(info.Since) > time.Minute {
				t.Errorf("the gate tells %s %+v, %v", from.Addr, info, err)
			}
			info, err = from.Operator("back:1").Session(t.Context(), "gate:1", o.id)
			if err != nil || info.Gate != "gate:1" || info.UID != 42 || !slices.Equal(info.Groups, []string{"garden"}) ||
				info.Values["score"] != 17.0 || info.Values["cards"] != "(map[string]int)" || info.Values["until"] != "12345-01-02 00:00:00 +0000 UTC" {
				t.Errorf("the backend tells %s %+v, %v", from.Addr, info, err)
			}
		}
	})
}

// A player misbehaves: whoever looks at any node kicks them, and they are told why.
func TestAnyNodeActsOnASession(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOperated(t, f)
		at := o.back.Operator("gate:1")
		if err := at.Push(t.Context(), o.id, "notice", []byte(`"be kind"`)); err != nil {
			t.Fatal(err)
		}
		if m := o.client.Message(); m.Route != "notice" || string(m.Data) != `"be kind"` {
			t.Errorf("the client got %v %q", m, m.Data)
		}
		if err := at.Push(t.Context(), o.id, "", nil); codeOf(err) != component.CodeInvalid {
			t.Errorf("a push without a route: %v", err)
		}
		for _, from := range []*nano.Operator{at, o.gate.Operator("")} { // over the link, and at home
			if err := from.Push(t.Context(), o.id, strings.Repeat("x", 300), nil); codeOf(err) != component.CodeInvalid {
				t.Errorf("a push to a route that is too long: %v", err)
			}
		}
		if err := at.Kick(t.Context(), o.id, "not here"); err != nil {
			t.Fatal(err)
		}
		if why := o.client.Kicked(); why != "not here" {
			t.Errorf("the client is told %q", why)
		}
		synctest.Wait()
		for what, act := range map[string]func() error{
			"kick":  func() error { return at.Kick(t.Context(), o.id, "again") },
			"close": func() error { return at.Close(t.Context(), o.id) },
			"push":  func() error { return at.Push(t.Context(), o.id, "x", nil) },
		} {
			if err := act(); codeOf(err) != component.CodeNotFound {
				t.Errorf("%s of a session that is over: %v", what, err)
			}
		}
		other := o.gate.TCP.Client(t)
		other.Ready()
		synctest.Wait() // the node has heard of it
		if err := at.Close(t.Context(), o.gate.Opened()[1]); err != nil {
			t.Error(err)
		}
		other.Ended()
		lines, err := at.Log(t.Context(), 0)
		if err != nil || !slices.ContainsFunc(lines, func(l cluster.LogLine) bool {
			return l.Level == "INFO" && strings.HasPrefix(l.Text, "session kicked by an operator session=") && strings.Contains(l.Text, `reason="not here"`)
		}) {
			t.Errorf("the gate's log has %v, %v", lines, err)
		}
	})
}

// A node whose handlers stand still is the one that people want to look at.
func TestNodeThatStandsStillAnswers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOperated(t, f)
		o.client.Notify("A.Stick", nil)
		synctest.Wait()
		began := time.Now()
		list, err := o.back.Operator("gate:1").Sessions(t.Context(), nano.SessionQuery{})
		if err != nil || list.Total != 1 || time.Since(began) > time.Second {
			t.Errorf("after %v: %+v, %v", time.Since(began), list, err)
		}
	})
}

// Who cannot be asked is said to be so, in time.
func TestNodesThatCannotBeAsked(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOperated(t, f)
		past := newOld(t, f, "old:1", "Old")
		past.register()
		synctest.Wait()
		ask := func(node string) error {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := o.master.Operator(node).Sessions(ctx, nano.SessionQuery{})
			return err
		}
		if err := ask("old:1"); codeOf(err) != component.CodeUnavailable || !strings.Contains(err.Error(), "0.5 series") {
			t.Errorf("a node of v0.5: %v", err)
		}
		if err := ask("nobody:1"); codeOf(err) != component.CodeNotFound {
			t.Errorf("a node that is not there: %v", err)
		}
		if err := ask(""); err != nil {
			t.Errorf("the node itself: %v", err)
		}
		f.Freeze("gate:1")
		if err := ask("gate:1"); codeOf(err) != component.CodeDeadline && codeOf(err) != component.CodeUnavailable {
			t.Errorf("a node that is cut off: %v", err)
		}
		f.Thaw("gate:1")
	})
}

// What nodes ask of each other is no route: a client that knows the names gets nothing.
func TestClientsCannotAskNodes(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOperated(t, f)
		c := o.gate.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		for _, route := range []string{"sessions", "kick", "nano.kick", "log"} {
			if m := c.Call(route, []byte(`{"id":1}`)); !m.Err {
				t.Errorf("%s says %q", route, m.Data)
			}
		}
		apptest.Pong(t, o.client)
	})
}

// Whoever looks at one node sees what all of them are, where a handler stands that holds one up,
// and drains one.
func TestAnyNodeTellsOfTheOthers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOperated(t, f)
		for addr, clients := range map[string]int{apptest.Master: 2, "gate:1": 2, "back:1": 2} {
			state, err := o.back.Operator(addr).Node(t.Context())
			if err != nil || state.Node != addr || state.Snapshot.Node != addr || state.Master != (addr == apptest.Master) || !state.Clustered ||
				state.Draining || len(state.Clients) != clients || len(state.Services) == 0 || len(state.Snapshot.Cluster.Members) != 2 {
				t.Errorf("%s tells %+v, %v", addr, state, err)
			}
		}
		at := o.back.Operator("gate:1")
		state, err := at.Node(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		scheduler := state.Snapshot.Schedulers[0].Name
		if stack, err := at.Stack(t.Context(), scheduler); err != nil || stack != "" {
			t.Errorf("a scheduler at rest is at %q, %v", stack, err)
		}
		if _, err := at.Stack(t.Context(), "no such"); codeOf(err) != component.CodeNotFound {
			t.Errorf("a scheduler that is not there: %v", err)
		}
		o.client.Notify("A.Stick", nil)
		synctest.Wait()
		if stack, err := at.Stack(t.Context(), scheduler); err != nil || !strings.Contains(stack, "newOperated") {
			t.Errorf("a handler that sleeps is at %q, %v", stack, err)
		}
		if err := at.Drain(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if state, err := at.Node(t.Context()); err != nil || !state.Draining {
			t.Errorf("the node does not drain: %+v, %v", state, err)
		}
	})
}

// Somebody presses the button again, because nothing seems to happen: one drain goes on, not three.
// Once it has ended, the button works again.
func TestDrainIsBegunOnce(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOperated(t, f)
		at := o.back.Operator("gate:1")
		draining := func() int {
			synctest.Wait()
			stacks := make([]byte, 4<<20)
			return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "nano.answers.beginDrain.func")
		}
		for range 2 {
			for range 3 {
				if err := at.Drain(t.Context(), 200*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				if n := draining(); n != 1 {
					t.Errorf("%d goroutines wait for the end of the drain", n)
				}
			}
			time.Sleep(300 * time.Millisecond) // the client stays
			if n := draining(); n != 0 {
				t.Errorf("%d goroutines wait for the end of a drain that is over", n)
			}
		}
	})
}
