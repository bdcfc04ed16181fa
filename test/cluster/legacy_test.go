package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// play has two players of the old gate do all that there is, on the backends 1 and 2.
func (o *old) play(t *testing.T) {
	t.Helper()
	back := o.member("back:1")
	request := func(id int64, mid uint64, route, data string) {
		t.Helper()
		if _, err := back.HandleRequest(t.Context(), &clusterpb.RequestMessage{GateAddr: "old:1", SessionId: id, Id: mid, Route: route, Data: []byte(data)}); err != nil {
			t.Errorf("request %s: %v", route, err)
		}
	}
	notify := func(id int64, route, data string) {
		t.Helper()
		if _, err := back.HandleNotify(t.Context(), &clusterpb.NotifyMessage{GateAddr: "old:1", SessionId: id, Route: route, Data: []byte(data)}); err != nil {
			t.Errorf("notify %s: %v", route, err)
		}
	}
	request(5, 1, "Back.Echo", "hello")
	o.expect("response 5 1 hello")
	request(5, 2, "Back.Fail", "") // has no answer, as in 0.5
	o.expect()
	notify(5, "Back.Say", "words")
	o.expect("push 5 said words by 5")
	notify(5, "Back.Chain", "words")
	o.expect("push 5 far words")
	request(6, 1, "Back.Bind", "77")
	o.expect("response 6 1 <nil>")
	request(6, 2, "Back.Who", "")
	o.expect("response 6 2 77 <nil> <nil> old:1")
	notify(6, "Back.Kick", "enough")
	o.expect("push 6 last words", "close 6")
	for _, n := range []clusterpb.MemberClient{back, o.member("back:2")} { // 0.5 tells all
		if _, err := n.SessionClosed(t.Context(), &clusterpb.SessionClosedRequest{SessionId: 6}); err != nil {
			t.Error(err)
		}
	}
}

// A gate of the 0.5 series in our cluster: its players play on our backends.
func TestOldGateServesItsPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Say": func(_ context.Context, s *session.Session, data []byte) error {
				return s.Push("said", fmt.Appendf(data, " by %d", s.ID()))
			},
			"Back.Fail": func(context.Context, *session.Session, []byte) error { return fmt.Errorf("no") },
			"Back.Chain": func(_ context.Context, s *session.Session, data []byte) error {
				return s.RPC("Far.Say", data)
			},
		})))
		far := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{"Far.Say": func(_ context.Context, s *session.Session, data []byte) error {
			return s.Push("far", data)
		}}))
		closed, closedFar := watch(b), watch(far)
		apptest.Meet(t, m, b, far)
		o := newOld(t, f, "old:1")
		if got, want := o.register(), []string{"back:1[Back Ping]", "back:2[Far Ping]", "master:1[Ping]"}; !slices.Equal(got, want) {
			t.Errorf("the master told %q, want %q", got, want)
		}
		o.play(t)
		synctest.Wait()
		if got := closed.list(); !slices.Equal(got, []string{"uid 77 name <nil>"}) {
			t.Errorf("OnClosed: %q", got)
		}
		// Nodes that come and go are told.
		late := f.Make("back:3", apptest.Handlers(nil))
		if err := late.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		late.Stop(t)
		synctest.Wait()
		o.mu.Lock()
		if len(o.calls) < 2 || o.calls[0][:10] != "new back:3" || o.calls[len(o.calls)-1] != "del back:3" {
			t.Errorf("told %q", o.calls)
		}
		o.calls = nil
		o.mu.Unlock()
		// It leaves, and takes its sessions with it.
		if _, err := clusterpb.NewMasterClient(o.to(apptest.Master)).Unregister(t.Context(), &clusterpb.UnregisterRequest{ServiceAddr: "old:1"}); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		if got := closed.list(); !slices.Equal(got, []string{"uid 0 name <nil>", "uid 77 name <nil>"}) {
			t.Errorf("OnClosed: %q", got)
		}
		if got := closedFar.list(); !slices.Equal(got, []string{"uid 0 name <nil>"}) {
			t.Errorf("OnClosed far: %q", got)
		}
	})
}

// A gate of the 0.5 series crashes and is back at once, before anybody has missed it. Its players
// are gone: their sessions must end on every node, on the master like on others, and on one that
// gets the list as a whole.
func TestRestartOfAnOldGateEndsItsSessions(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(backend(nil)))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		misses := f.Start(t, "back:2", apptest.Handlers(backend(nil)))
		all := map[*apptest.Node]*ends{m: watch(m), b: watch(b), misses: watch(misses)}
		apptest.Meet(t, m, b, misses)
		o := newOld(t, f, "old:1")
		o.register()
		for n := range all {
			if _, err := o.member(n.Addr).HandleRequest(t.Context(), &clusterpb.RequestMessage{GateAddr: "old:1", SessionId: 5, Id: 1, Route: "Back.Echo", Data: []byte("x")}); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		f.Block(apptest.Master, "back:2") // it is not told of the change, and asks for the list
		o.register()                      // another process
		time.Sleep(4 * time.Second)
		for n, closed := range all {
			if got := closed.list(); len(got) != 1 {
				t.Errorf("%s: OnClosed: %v", n.Addr, got)
			}
		}
	})
}

// A backend of the 0.5 series in our cluster serves our gates' players.
func TestOldBackendServesPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Chain": func(_ context.Context, s *session.Session, data []byte) error {
			return s.RPC("Old.Note", data)
		}}))
		apptest.Meet(t, m, g, b)
		o := newOld(t, f, "old:1", "Old")
		var session int64
		o.handle = func(gate string, id int64, mid uint64, route string, data []byte) {
			session = id
			o.note("%s from %s %d %s", route, gate, mid, data)
			var err error
			switch route {
			case "Old.Echo":
				_, err = o.member(gate).HandlePush(t.Context(), &clusterpb.PushMessage{SessionId: id, Route: "pushed", Data: data})
				if err == nil {
					_, err = o.member(gate).HandleResponse(t.Context(), &clusterpb.ResponseMessage{SessionId: id, Id: mid, Data: data})
				}
			case "Old.Close":
				_, err = o.member(gate).CloseSession(t.Context(), &clusterpb.CloseSessionRequest{SessionId: id})
			}
			if err != nil {
				t.Error(err)
			}
		}
		o.register()
		synctest.Wait()
		c := g.TCP.Client(t)
		c.Ready()
		id := c.Request("Old.Echo", []byte("hello"))
		if got := c.Push("pushed"); string(got) != "hello" {
			t.Errorf("pushed %q", got)
		}
		if got := c.Response(id); string(got.Data) != "hello" {
			t.Errorf("answered %q", got.Data)
		}
		o.expect("Old.Echo from gate:1 1 hello")
		for i := range 100 {
			c.Notify("Old.Note", fmt.Append(nil, i))
		}
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("Old.Note from gate:1 0 %d", i))
		}
		o.expect(want...)
		c.Notify("Old.Close", nil)
		c.Ended()
		c.Close()
		o.expect("Old.Close from gate:1 0 ", fmt.Sprintf("closed %d", session))
		// A session that the old one has of another backend ends there, too.
		c = g.TCP.Client(t)
		c.Ready()
		c.Notify("Back.Chain", []byte("x"))
		o.expect("Old.Note from gate:1 0 x")
		c.Close()
		o.expect(fmt.Sprintf("closed %d", session))
	})
}

// An old backend dies: its requests fail within a second, and then go to one that lives.
func TestDeadOldBackendCostsOneSecond(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		apptest.Meet(t, m, g)
		o := newOld(t, f, "old:1", "Back")
		o.handle = func(gate string, id int64, mid uint64, _ string, data []byte) {
			if string(data) != "hang" {
				_, _ = o.member(gate).HandleResponse(t.Context(), &clusterpb.ResponseMessage{SessionId: id, Id: mid, Data: []byte("old")})
			}
		}
		o.register()
		synctest.Wait()
		c := g.TCP.Client(t)
		c.Ready(`{"sys":{"accept":["error"]}}`)
		apptest.Call(t, c, "Back.Echo", "x", "old")
		f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		synctest.Wait()
		apptest.Call(t, c, "Back.Echo", "x", "old") // it is sticky
		hangs := c.Request("Back.Echo", []byte("hang"))
		synctest.Wait()
		f.Kill("old:1")
		began := time.Now()
		failed := c.Response(hangs)
		if took := time.Since(began); !failed.Err || took > time.Second {
			t.Errorf("answer %v after %v", failed, took)
		}
		if m := c.Call("Back.Echo", []byte("new")); m.Err || string(m.Data) != "new" {
			t.Errorf("answer %v %q", m, m.Data)
		}
	})
}

// A gate and an old backend lose each other without a word: what was asked has its error within
// three heartbeats, however much it is, and what is asked then goes to another.
func TestSilentOldBackendIsNoticed(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		apptest.Meet(t, m, g)
		o := newOld(t, f, "old:1", "Back")
		o.handle = func(gate string, id int64, mid uint64, _ string, data []byte) {
			_, _ = o.member(gate).HandleResponse(t.Context(), &clusterpb.ResponseMessage{SessionId: id, Id: mid, Data: []byte("old")})
		}
		beats := &mix{t: t, f: f}
		beats.beats(o)
		synctest.Wait()
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Echo", "x", "old")
		f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		synctest.Wait()
		f.Silence("gate:1", "old:1")
		f.Silence("old:1", "gate:1")
		defer f.Heal()
		began := time.Now()
		for range 5 {
			c.Notify("Back.Echo", []byte("lost"))
		}
		var ids []uint64
		for range 5 {
			ids = append(ids, c.Request("Back.Echo", []byte("lost")))
		}
		for _, id := range ids {
			if m := c.Response(id); !m.Err {
				t.Errorf("answer %q", m.Data)
			}
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the errors took %v", took)
		}
		apptest.Call(t, c, "Back.Echo", "new", "new")
		f.Heal()
		time.Sleep(10 * time.Second)
		for range 20 { // it has its share of new sessions again
			c := g.TCP.Client(t)
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			if m := c.Call("Back.Echo", []byte("new")); string(m.Data) == "old" {
				return
			}
		}
		t.Error("the old one gets no sessions any more")
	})
}

// An old backend that lives, and takes long for one call: that request fails, and nothing else.
func TestSlowOldBackendKeepsItsPlayers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		apptest.Meet(t, m, g)
		release := make(chan struct{})
		defer func() { close(release); synctest.Wait() }()
		o := newOld(t, f, "old:1", "Back")
		o.handle = func(gate string, id int64, mid uint64, _ string, data []byte) {
			answer := func() {
				_, _ = o.member(gate).HandleResponse(t.Context(), &clusterpb.ResponseMessage{SessionId: id, Id: mid, Data: data})
			}
			switch string(data) {
			case "slow": // within the call
				<-release
			case "later":
				time.AfterFunc(2500*time.Millisecond, answer)
			default:
				answer()
			}
		}
		beats := &mix{t: t, f: f}
		beats.beats(o)
		synctest.Wait()
		var all []*nanotest.Client
		for range 9 { // more than there are lanes
			c := g.TCP.Client(t)
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			apptest.Call(t, c, "Back.Echo", "x", "x")
			all = append(all, c)
		}
		f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		synctest.Wait()
		var later []uint64
		for _, c := range all {
			later = append(later, c.Request("Back.Echo", []byte("later")))
		}
		synctest.Wait()
		slow := all[0].Request("Back.Echo", []byte("slow"))
		if m := all[0].Response(slow); !m.Err {
			t.Errorf("the slow request is answered with %q", m.Data)
		}
		for i, c := range all {
			if m := c.Response(later[i]); string(m.Data) != "later" {
				t.Errorf("client %d: answer %v %q", i, m, m.Data)
			}
			apptest.Call(t, c, "Back.Ask", "still the old one", "still the old one")
		}
		if lines := g.Log.Lines("cannot be reached"); len(lines) > 0 {
			t.Errorf("logged: %q", lines)
		}
	})
}

// Our nodes in a cluster whose master is of the 0.5 series.
func TestOldMasterKeepsTheList(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		o := newOld(t, f, apptest.Master, "Old")
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
		closing := f.Make("gate:2", apptest.Handlers(nil))
		if err := closing.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		closed := watch(b)
		synctest.Wait()
		for n, want := range map[*apptest.Node][]string{g: {"back:1", "gate:2", "master:1"}, closing: {"back:1", "gate:1", "master:1"}, b: {"gate:1", "gate:2", "master:1"}} {
			if got := apptest.Members(n); !slices.Equal(got, want) {
				t.Errorf("%s knows %v, want %v", n.Addr, got, want)
			}
		}
		one, two := g.TCP.Client(t), closing.TCP.Client(t)
		one.Ready()
		two.Ready()
		apptest.Call(t, one, "Back.Echo", "one", "one")
		apptest.Call(t, two, "Back.Echo", "two", "two")
		if a, b := g.Opened()[0], closing.Opened()[0]; a == b {
			t.Errorf("both gates have given the session id %d", a)
		}
		one.Notify("Back.Kick", []byte("x"))
		if got := one.Push("last"); string(got) != "words" {
			t.Errorf("pushed %q", got)
		}
		if got := one.Kicked(); got != "x" { // over a link: the master passes on that there is one
			t.Errorf("kicked with %q", got)
		}
		synctest.Wait()
		if got := closed.list(); len(got) != 1 {
			t.Errorf("OnClosed: %q", got)
		}
		time.Sleep(10 * time.Second)
		two.Close()
		closing.Stop(t)
		synctest.Wait()
		if got := apptest.Members(g); !slices.Equal(got, []string{"back:1", "master:1"}) {
			t.Errorf("after one has left: %v", got)
		}
		if got := closed.list(); len(got) != 2 {
			t.Errorf("OnClosed: %q", got)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if n := o.beats["gate:1"]; n < 9 || n > 13 {
			t.Errorf("%d heartbeats in 10 intervals", n)
		}
	})
}

// A message of 0.5 keeps nothing of the fields that came later, in both directions.
func TestOldNodesSeeOnlyWhatTheyKnow(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		f.Start(t, apptest.Master, apptest.Handlers(nil), nano.WithLabel("ours"))
		conn, err := grpc.NewClient("passthrough:///"+apptest.Master, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return f.Dialer("old:1")(ctx, apptest.Master) }))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		resp := new(clusterpb.RegisterResponse)
		req := &clusterpb.RegisterRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: "old:1", Services: []string{"Old"}}}
		if err := conn.Invoke(t.Context(), "/clusterpb.Master/Register", req, resp); err != nil {
			t.Fatal(err)
		}
		var m struct{ Label, ServiceAddr string }
		b, _ := json.Marshal(resp.GetMembers()[0])
		if err := json.Unmarshal(b, &m); err != nil || len(resp.GetMembers()) != 1 || m.Label != "ours" || m.ServiceAddr != apptest.Master {
			t.Errorf("told %s, %v", b, err)
		}
		if resp.GetView() != nil || resp.GetNodeId() != 0 {
			t.Errorf("an old node was told %v", resp)
		}
	})
}
