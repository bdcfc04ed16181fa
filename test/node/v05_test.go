package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	jsonpayload "github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// What stands here, up to lobbyMain, is a program as people wrote it for v0.5, with no name of ours
// that v0.5 does not have. Only what it reports to the test is new.

type (
	LobbyUser struct {
		UID  int64  `json:"uid"`
		Name string `json:"name"`
	}
	LobbyMessage struct {
		Name    string `json:"name"`
		Content string `json:"content"`
	}
	LobbyCount struct {
		Members int `json:"members"`
	}
)

// Lobby is a component that holds its group by value.
type Lobby struct {
	component.Base
	nano.Group
	timer *scheduler.Timer
	ticks int
	hooks *nanotest.Record
}

func NewLobby(hooks *nanotest.Record) *Lobby {
	return &Lobby{Group: *nano.NewGroup("lobby"), hooks: hooks}
}

func (l *Lobby) Init() { l.hooks.Add("Init") }

func (l *Lobby) AfterInit() {
	session.Lifetime.OnClosed(func(s *session.Session) {
		if !l.Contains(s.UID()) {
			return
		}
		if err := l.Leave(s); err != nil {
			l.hooks.Add(err.Error())
		}
		l.hooks.Add(fmt.Sprint("closed ", s.UID(), " ", s.String("name")))
	})
	l.hooks.Add("AfterInit")
}

func (l *Lobby) BeforeShutdown() { l.hooks.Add("BeforeShutdown") }

func (l *Lobby) Shutdown() {
	if err := l.Close(); err != nil {
		l.hooks.Add(err.Error())
	}
	l.hooks.Add("Shutdown")
}

func (l *Lobby) Join(s *session.Session, user *LobbyUser) error {
	if err := s.Bind(user.UID); err != nil {
		return err
	}
	s.Set("name", user.Name)
	if err := l.Broadcast("onJoin", user); err != nil {
		return err
	}
	if err := l.Add(s); err != nil {
		return err
	}
	return s.Response(&LobbyCount{Members: l.Count()})
}

func (l *Lobby) Say(s *session.Session, data []byte) error {
	return l.Broadcast("onMessage", &LobbyMessage{Name: s.String("name"), Content: string(data)})
}

func (l *Lobby) Whisper(s *session.Session, msg *LobbyMessage) error {
	return l.Multicast("onWhisper", msg, func(to *session.Session) bool { return to.String("name") == msg.Name })
}

// Later answers when its handler has returned.
func (l *Lobby) Later(s *session.Session, _ []byte) error {
	mid := s.LastMid()
	scheduler.NewAfterTimer(time.Millisecond, func() {
		if err := s.ResponseMID(mid, &LobbyCount{Members: l.Count()}); err != nil {
			l.hooks.Add(err.Error())
		}
	})
	return nil
}

type always struct{}

func (always) Check(time.Time) bool { return true }

// Tick pushes three times by a timer that has a count, then once by one with a condition.
func (l *Lobby) Tick(s *session.Session, _ []byte) error {
	tick := func(route string) {
		l.ticks++
		if err := s.Push(route, &LobbyCount{Members: l.ticks}); err != nil {
			l.hooks.Add(err.Error())
		}
	}
	scheduler.NewCountTimer(time.Millisecond, 3, func() {
		tick("onTick")
		if l.ticks == 3 {
			l.timer = scheduler.NewCondTimer(always{}, func() { l.timer.Stop(); tick("onCondition") })
		}
	})
	return nil
}

func (l *Lobby) Fail(*session.Session, []byte) error { return errors.New("nobody hears of this") }

// lobbyStats counts what passes its filters.
type lobbyStats struct{ in, out atomic.Int64 }

func (st *lobbyStats) inbound(_ *session.Session, msg *pipeline.Message) error {
	st.in.Add(1)
	if strings.HasPrefix(string(msg.Data), "forbidden") {
		return errors.New("it is forbidden")
	}
	return nil
}

func (st *lobbyStats) outbound(_ *session.Session, msg *pipeline.Message) error {
	st.out.Add(1)
	msg.Data = []byte(strings.ReplaceAll(string(msg.Data), "damn", "****"))
	return nil
}

// lobbyMain is its main function. It returns when the program is over.
func lobbyMain(addr string, ws bool, lobby *Lobby, stats *lobbyStats, logger *printed) {
	components := &component.Components{}
	components.Register(lobby, component.WithName("lobby"), component.WithNameFunc(strings.ToLower))

	filters := pipeline.New()
	filters.Inbound().PushBack(stats.inbound)
	filters.Outbound().PushBack(stats.outbound)

	nano.Listen(addr,
		nano.WithIsWebsocket(ws),
		nano.WithWSPath("/nano"),
		nano.WithCheckOriginFunc(func(*http.Request) bool { return true }),
		nano.WithHandshakeValidator(func(_ *session.Session, data []byte) error {
			if strings.Contains(string(data), "outdated") {
				return errors.New("the client is outdated")
			}
			return nil
		}),
		nano.WithComponents(components),
		nano.WithPipeline(filters),
		nano.WithDictionary(map[string]uint16{"lobby.say": 1, "onMessage": 2}),
		nano.WithSerializer(jsonpayload.NewSerializer()),
		nano.WithHeartbeatInterval(time.Minute),
		nano.WithTimerPrecision(5*time.Millisecond),
		nano.WithLogger(logger),
		nano.WithDebugMode(),
	)
}

// lobbyRun is one run of the program.
type lobbyRun struct {
	t      *testing.T
	ws     bool
	addr   net.Addr
	hooks  *nanotest.Record
	logger *printed
	stats  *lobbyStats
	ended  chan struct{}
}

// startLobby starts the program, and returns when it listens.
func startLobby(t *testing.T, ws bool) *lobbyRun {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp", nanotest.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	r := &lobbyRun{t, ws, at, new(nanotest.Record), new(printed), new(lobbyStats), make(chan struct{})}
	lobby := NewLobby(r.hooks)
	go func() {
		defer close(r.ended)
		lobbyMain(r.addr.String(), ws, lobby, r.stats, r.logger)
	}()
	nanotest.Until(t, "it listens", func() bool { return slices.Contains(r.hooks.List(), "AfterInit") })
	return r
}

func (r *lobbyRun) connect() *nanotest.Client {
	r.t.Helper()
	if !r.ws {
		return nanotest.Dial(r.t, r.addr)
	}
	nc, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := nanotest.Upgrade(r.t, nc, "/nano", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *lobbyRun) want(what string, got []byte, want string) {
	r.t.Helper()
	if string(got) != want {
		r.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// talk has two clients join, and say what the others hear.
func (r *lobbyRun) talk(anna, bert *nanotest.Client) {
	r.t.Helper()
	a := anna.Ready(`{"sys":{"type":"js-websocket","version":"0.0.1"},"user":{}}`)
	if a.Sys.Heartbeat != "60" || a.Sys.Dict["lobby.say"] != 1 || a.Sys.Dict["onMessage"] != 2 || strings.Contains(string(a.Body), "accepted") {
		r.t.Errorf("the handshake's answer: %s", a.Body)
	}
	bert.Ready()
	r.want("join", anna.Call("lobby.join", []byte(`{"uid":7,"name":"anna"}`)).Data, `{"members":1}`)
	r.want("join", bert.Call("lobby.join", []byte(`{"uid":8,"name":"bert"}`)).Data, `{"members":2}`)
	r.want("onJoin", anna.Push("onJoin"), `{"uid":8,"name":"bert"}`)

	bert.Notify("lobby.say", []byte("damn, hello"))
	for _, c := range []*nanotest.Client{anna, bert} {
		r.want("onMessage", c.Push("onMessage"), `{"name":"bert","content":"****, hello"}`)
	}
	bert.Notify("lobby.whisper", []byte(`{"name":"anna","content":"psst"}`))
	r.want("onWhisper", anna.Push("onWhisper"), `{"name":"anna","content":"psst"}`)
	r.want("an answer that comes later", bert.Call("lobby.later", nil).Data, `{"members":2}`)
}

// fail has one client do what fails: that has no answer, as ever, and costs nothing else.
func (r *lobbyRun) fail(bert *nanotest.Client) {
	r.t.Helper()
	bert.Notify("lobby.say", []byte("forbidden word"))
	bert.Request("lobby.fail", nil)
	bert.Request("lobby.nobody", nil)
	bert.Request("lobby.join", []byte("no JSON"))
	bert.Notify("lobby.tick", nil)
	for i := 1; i <= 3; i++ {
		r.want("onTick", bert.Push("onTick"), fmt.Sprintf(`{"members":%d}`, i))
	}
	r.want("onCondition", bert.Push("onCondition"), `{"members":4}`)

	outdated := r.connect()
	if a := outdated.Handshake(`{"user":"outdated"}`); a.Code != 500 {
		r.t.Errorf("an outdated client was answered %s", a.Body)
	}
	outdated.Ended()
	outdated.Close()
}

// end ends the program, and looks at what it has told its hooks, its filters and its logger.
func (r *lobbyRun) end(anna, bert *nanotest.Client) {
	r.t.Helper()
	anna.Close()
	nanotest.Until(r.t, "OnClosed has run", func() bool { return slices.Contains(r.hooks.List(), "closed 7 anna") })
	nano.Shutdown()
	if reason := bert.Kicked(); reason == "" {
		r.t.Error("kicked without a reason")
	}
	bert.Ended()
	bert.Close()
	<-r.ended
	wantHooks := []string{"Init", "AfterInit", "closed 7 anna", "BeforeShutdown", "Shutdown"}
	if got := r.hooks.List(); !slices.Equal(got, wantHooks) {
		r.t.Errorf("hooks %q, want %q", got, wantHooks)
	}
	// What came in, the unknown route too; 3 answers and 8 pushes.
	if in, out := r.stats.in.Load(), r.stats.out.Load(); in != 10 || out != 11 {
		r.t.Errorf("%d messages passed the inbound filter and %d the outbound one", in, out)
	}
	log := strings.Join(r.logger.List(), "\n")
	for _, want := range []string{"route=lobby.say", "it is forbidden", "nobody hears of this", "the client is outdated", "node stopped"} {
		if !strings.Contains(log, want) {
			r.t.Errorf("the logger was not told %q: %s", want, log)
		}
	}
}

// A hook that panics is in the log that the program has chosen, and not in slog.Default, where
// nobody looks: also with the hooks of the process, and with the program's own.
func TestPanicsOfHooksAreLogged(t *testing.T) {
	own := session.NewLifetime()
	for name, row := range map[string]struct {
		hooks *session.Lifetimes
		start func(t *testing.T, opts ...nano.Option)
	}{
		"Listen": {session.Lifetime, func(t *testing.T, opts ...nano.Option) {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				nano.Listen("", opts...)
			}()
			t.Cleanup(func() {
				nano.Shutdown()
				<-ended
			})
		}},
		"WithProcessDefaults": {session.Lifetime, func(t *testing.T, opts ...nano.Option) {
			runs(t, append(opts, nano.WithProcessDefaults())...)
		}},
		"WithLifetime": {own, func(t *testing.T, opts ...nano.Option) { runs(t, append(opts, nano.WithLifetime(own))...) }},
	} {
		t.Run(name, func(t *testing.T) {
			row.hooks.OnClosed(func(s *session.Session) {
				if s.String("hook") == name {
					panic("hook of " + name)
				}
			})
			clients, logger := nanotest.NewListener(), new(printed)
			row.start(t, nano.WithEndpoint(nano.Endpoint{Listener: clients}), nano.WithLogger(logger),
				nano.WithComponents(apptest.Handlers(apptest.Funcs{"A.Set": func(_ context.Context, s *session.Session, data []byte) error {
					s.Set("hook", string(data))
					return s.Response(data)
				}})))
			c := clients.Client(t)
			c.Ready()
			apptest.Call(t, c, "A.Set", name, name)
			c.Close()
			nanotest.Until(t, "the log has the panic", func() bool {
				log := strings.Join(logger.List(), "\n")
				return strings.Contains(log, "lifetime handler panicked") && strings.Contains(log, "hook of "+name)
			})
		})
	}
}

// runs starts an application until the test ends.
func runs(t *testing.T, opts ...nano.Option) {
	t.Helper()
	app := nano.New("", opts...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { apptest.Shutdown(t, app) })
}

// A program that was written for v0.5 does what it did, all of it together, for clients that speak
// as v0.5's do.
func TestProgramOfV05(t *testing.T) {
	setPage("/nano-test-lobby", "the lobby's page")
	for _, ws := range []bool{false, true} {
		t.Run(map[bool]string{false: "tcp", true: "websocket"}[ws], func(t *testing.T) {
			nanotest.Leaks(t)
			r := startLobby(t, ws)
			anna, bert := r.connect(), r.connect()
			r.talk(anna, bert)
			r.fail(bert)
			if ws {
				if status, body := get(t, nil, r.addr, "/nano-test-lobby"); status != http.StatusOK || body != "the lobby's page" {
					t.Errorf("the page: %d %q", status, body)
				}
			}
			r.end(anna, bert)
		})
	}
}
