package nano_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/console"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	jsonpayload "github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

type (
	SitRequest struct{ Name string }
	SitReply   struct{ Seat int }
	Remark     struct{ Text string }
)

// CardTable is a component: its exported methods of a handler's form are the routes CardTable.Sit
// and CardTable.Say.
type CardTable struct {
	component.Base
	players *nano.Group
}

// Sit has the form of v0.5: it answers through the session.
func (t *CardTable) Sit(s *session.Session, req *SitRequest) error {
	if err := t.players.Add(s); err != nil {
		return err
	}
	s.Set("name", req.Name)
	return s.Response(&SitReply{Seat: t.players.Count()})
}

// Say tells everybody at the table.
func (t *CardTable) Say(_ *session.Session, msg *Remark) error {
	return t.players.Broadcast("onRemark", msg)
}

// An application is a value: it runs until its context ends, and returns what went wrong.
func ExampleNew() {
	comps := &component.Components{}
	comps.Register(&CardTable{players: nano.NewGroup("table 1")})

	app := nano.New("127.0.0.1:0", nano.WithComponents(comps), nano.WithSlog(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // a program ends it later
	fmt.Println(app.Run(ctx))
	// Output: <nil>
}

// TCP and WebSocket with TLS at once, pages beside the WebSocket, ended by SIGINT or SIGTERM.
func ExampleWithEndpoint() {
	app := nano.New("",
		nano.WithEndpoint(nano.Endpoint{Addr: ":3250"}),
		nano.WithEndpoint(nano.Endpoint{Addr: ":443", WebSocket: true, Path: "/nano", CertFile: "cert.pem", KeyFile: "key.pem"}),
		nano.WithHTTPHandler(http.FileServer(http.Dir("public"))),
		nano.WithAllowedOrigins("https://game.example"),
		nano.WithSignals(),
	)
	if err := app.Run(context.Background()); err != nil {
		slog.Error("the game has ended", "err", err)
	}
}

// A handler that returns its reply, or an error with a code, and is called without reflection.
func Example_handle() {
	comps := &component.Components{}
	component.Handle(comps, "CardTable.Sit", func(ctx context.Context, s *session.Session, req *SitRequest) (*SitReply, error) {
		if req.Name == "" {
			return nil, nano.Errorf(component.CodeInvalid, "a name is needed")
		}
		s.Set("name", req.Name)
		return &SitReply{Seat: 1}, nil
	})
	_ = nano.New(":3250", nano.WithComponents(comps))
}

// Any client can name any route. What only other nodes may call is registered as that: a whole
// component, or a function.
func Example_nodesOnly() {
	comps := &component.Components{}
	comps.Register(&CardTable{players: nano.NewGroup("table 1")})
	component.Handle(comps, "Bank.Pay", func(ctx context.Context, _ *session.Session, req *Payment) (*Receipt, error) {
		return &Receipt{Balance: 100 - req.Amount}, nil
	}, component.WithNodesOnly())
	component.HandleNotify(comps, "Shop.Buy", func(ctx context.Context, s *session.Session, _ *struct{}) error {
		receipt, err := nano.Call[Receipt](ctx, "Bank.Pay", &Payment{UID: s.UID(), Amount: 5}) // in the name of the node
		if err != nil {
			return err
		}
		return s.Response(receipt)
	})
	_ = nano.New("10.0.0.7:3300", nano.WithComponents(comps), nano.WithAdvertiseAddr("10.0.0.1:3300"))
}

type (
	Payment struct{ UID, Amount int64 }
	Receipt struct{ Balance int64 }
)

// A handler that answers later keeps the id of its request.
func ExampleMessageID() {
	var app *nano.App
	comps := &component.Components{}
	component.HandleNotify(comps, "Dice.Roll", func(ctx context.Context, s *session.Session, _ *struct{}) error {
		mid := nano.MessageID(ctx)
		app.Scheduler().NewAfterTimer(2*time.Second, func() {
			if err := s.ResponseMID(mid, map[string]int{"eyes": 4}); err != nil {
				slog.Debug("nobody waits for the dice", "err", err)
			}
		})
		return nil
	})
	app = nano.New(":3250", nano.WithComponents(comps), nano.WithSerializer(jsonpayload.NewSerializer()))
}

// A handler that answers later says what went wrong, as one that returns an error does.
func ExampleError_later() {
	var app *nano.App
	comps := &component.Components{}
	component.HandleNotify(comps, "Match.Find", func(ctx context.Context, s *session.Session, _ *struct{}) error {
		mid := nano.MessageID(ctx)
		app.Scheduler().NewAfterTimer(30*time.Second, func() {
			err := nano.Errorf("no_match", "nobody of your strength is here; try again later")
			if err := s.FailMID(mid, err); err != nil {
				slog.Debug("nobody waits for the match", "err", err)
			}
		})
		return nil
	})
	app = nano.New(":3250", nano.WithComponents(comps))
}

// A validator lets in who has a ticket, tells the client who it is, and refuses all others with a
// reason.
func ExampleWithHandshake() {
	tickets := map[string]int64{"a ticket": 7}

	login := nano.WithHandshake(func(s *session.Session, h *nano.Handshake) error {
		var hello struct{ User struct{ Ticket string } }
		if err := json.Unmarshal(h.Payload, &hello); err != nil {
			return nano.Refuse(500, "no ticket")
		}
		uid, ok := tickets[hello.User.Ticket]
		if !ok {
			return nano.Refuse(500, "unknown ticket")
		}
		h.User = map[string]int64{"uid": uid}
		return s.Bind(uid)
	})
	_ = nano.New(":3250", login, nano.WithBindPolicy(nano.BindKickOld))
}

// An inbound filter refuses messages before a handler sees them.
func ExampleWithPipeline() {
	filters := pipeline.New()
	filters.Inbound().PushBack(func(s *session.Session, msg *pipeline.Message) error {
		if s.UID() == 0 && msg.Route != "Account.Login" {
			return nano.Errorf(component.CodeUnauthenticated, "log in first")
		}
		return nil
	})
	_ = nano.New(":3250", nano.WithPipeline(filters))
}

// A component with a scheduler of its own does not wait for the others.
func Example_ownScheduler() {
	arena := scheduler.New(scheduler.WithName("arena"))
	arena.Start()
	defer arena.Close()

	comps := &component.Components{}
	comps.Register(&CardTable{players: nano.NewGroup("arena")}, component.WithScheduler(arena))
	_ = nano.New(":3250", nano.WithComponents(comps))
}

// A component is tested without a network, with sessions that record what they are sent.
func ExampleGroup() {
	table := &CardTable{players: nano.NewGroup("table 1")}
	client := mock.NewNetworkEntity()
	anna := session.New(client)

	fmt.Println(table.Sit(anna, &SitRequest{Name: "anna"}), client.LastResponse().(*SitReply).Seat)
	fmt.Println(table.Say(anna, &Remark{Text: "hello"}), client.Pushes()[0].Route)

	session.Lifetime.Close(anna) // what a node does when a connection has ended
	fmt.Println(table.players.Count())
	// Output:
	// <nil> 1
	// <nil> onRemark
	// 0
}

// The front door of v0.5. It returns when nano.Shutdown was called or a signal came.
func ExampleListen() {
	session.Lifetime.OnClosed(func(s *session.Session) { slog.Info("offline", "uid", s.UID()) })
	scheduler.NewTimer(time.Minute, func() { slog.Info("a minute has gone by") })

	nano.Listen(":3251",
		nano.WithIsWebsocket(true),
		nano.WithWSPath("/nano"),
		nano.WithSerializer(jsonpayload.NewSerializer()),
	)
}

// The same with New: the application's own instances, and its error.
func Example_insteadOfListen() {
	app := nano.New("",
		nano.WithEndpoint(nano.Endpoint{Addr: ":3251", WebSocket: true, Path: "/nano"}),
		nano.WithSerializer(jsonpayload.NewSerializer()),
		nano.WithSignals(),
	)
	app.Lifetime().OnClosed(func(s *session.Session) { slog.Info("offline", "uid", s.UID()) })
	app.Scheduler().NewTimer(time.Minute, func() { slog.Info("a minute has gone by") })

	if err := app.Run(context.Background()); err != nil {
		slog.Error("the game has ended", "err", err)
	}
}

// A sample that does not compile costs every reader an hour. Whole programs in the documents are
// compiled here; all other Go samples must stand in this file, line for line, where the compiler
// sees them, or in that of the module of contrib that they use. The tutorial has a test of its own.
func TestSamplesInTheDocumentsCompile(t *testing.T) {
	var compiled strings.Builder
	for _, module := range []string{"", "contrib/etcd", "contrib/otel", "contrib/prometheus"} {
		file, err := os.ReadFile(filepath.Join(module, "example_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		compiled.WriteString(unindented(string(file)))
	}
	docs, err := filepath.Glob(filepath.Join("docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(docs, "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", filepath.Join("contrib", "otel", "README.md")) {
		if filepath.Base(doc) == "tutorial.md" {
			continue
		}
		content, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, sample := range samples(string(content)) {
			if strings.HasPrefix(sample, "package main\n") {
				vet(t, doc, sample)
			} else if !strings.Contains(compiled.String(), unindented(sample)) {
				t.Errorf("%s: this sample is in no example_test.go:\n%s", doc, sample)
			}
		}
	}
}

// samples returns the Go samples of a Markdown document.
func samples(doc string) (all []string) {
	for {
		_, rest, found := strings.Cut(doc, "```go\n")
		if !found {
			return all
		}
		sample, rest, _ := strings.Cut(rest, "```")
		all = append(all, sample)
		doc = rest
	}
}

// unindented takes the blanks from the begin of each line: a sample is a part of a function here.
func unindented(code string) string {
	lines := strings.Split(code, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// vet compiles a program as one that imports this module would be.
func vet(t *testing.T, doc, program string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("%s: the program does not compile: %v\n%s", doc, err, out)
	}
}

// notebook is the smallest Keeper, of a cluster of one node. Yours enters the node in etcd or a
// database.
type notebook struct{ views chan keeper.View }

func (k *notebook) Join(_ context.Context, self keeper.Member) (<-chan keeper.View, error) {
	self.NodeID = 1
	k.views = make(chan keeper.View, 1)
	k.views <- keeper.View{Members: []keeper.Member{self}, Settled: true, Version: keeper.Version{Master: 1, N: 1}}
	fmt.Println("entered")
	return k.views, nil
}

func (k *notebook) Update(context.Context, keeper.Member) error { return nil }

func (k *notebook) Leave(context.Context) error {
	if k.views != nil {
		close(k.views)
		k.views = nil
		fmt.Println("taken out")
	}
	return nil
}

// Keeper is keeper.Keeper as docs/cluster.md shows it; each has all methods of the other.
type Keeper interface {
	Join(ctx context.Context, self keeper.Member) (<-chan keeper.View, error) // enter; the views of the list from then on
	Update(ctx context.Context, self keeper.Member) error                     // self.State has changed
	Leave(ctx context.Context) error                                          // out of it at once
}

var (
	_ Keeper        = keeper.Keeper(nil)
	_ keeper.Keeper = Keeper(nil)
)

// A cluster whose list an engine keeps needs no master. Each node has its own Keeper.
func ExampleWithKeeper() {
	app := nano.New("127.0.0.1:0", nano.WithKeeper(new(notebook)), nano.WithSlog(slog.New(slog.DiscardHandler)))
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	if err := app.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// entered
	// taken out
}

type (
	Message   struct{ Text string }
	JoinReply struct{ Members int }
)

// Talk is a component of v0.5's forms: what it answers and pushes, options say.
type Talk struct{ component.Base }

func (*Talk) Join(s *session.Session, _ *Message) error { return s.Response(&JoinReply{}) }
func (*Talk) Say(s *session.Session, m *Message) error  { return s.Push("onMessage", m) }

func ExampleDescribeHandler() {
	comps, mux, room := &component.Components{}, http.NewServeMux(), &Talk{}
	comps.Register(room, component.WithName("Room"),
		component.WithAnswer[JoinReply]("Join"), // Join answers requests by Session.Response
		component.WithoutAnswer("Say"),          // Say is for notifies
		component.WithPush[Message]("onMessage"),
	)
	app := nano.New(":3250", nano.WithComponents(comps))
	mux.Handle("/describe", nano.DescribeHandler(app))

	d, err := app.Describe()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range d.Services[0].Routes {
		fmt.Println(r.Route, r.Form)
	}
	// Output:
	// Room.Join request
	// Room.Say notify
}

// Position is where a player is.
type Position struct {
	Player string
	X, Y   float64
}

// What is soon out of date waits for nothing: a newer position takes the place of an older one, and
// effects are not even queued for a client that does not keep up.
func ExampleWithDelivery() {
	const addr = ":3250"
	nano.New(addr,
		nano.WithDelivery(nano.LatestBy(func(p *Position) string { return p.Player }), "onMove"),
		nano.WithDelivery(nano.DropWhenBusy(), "onEffect"),
		nano.WithWriteDelay(10*time.Millisecond),
		nano.WithNoDelay("onHit"),
	)
}

// A page for the people who run nodes, beside the WebSocket.
func Example_console() {
	const addr = ""
	pages := http.NewServeMux()
	app := nano.New(addr,
		nano.WithEndpoint(nano.Endpoint{Addr: ":3250", WebSocket: true, Path: "/nano"}),
		nano.WithHTTPHandler(pages))
	pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{
		Token: os.Getenv("NANO_CONSOLE_TOKEN"),
	})))
}

// The console shows the last lines of the application's own log, too.
func ExampleNewLogRing() {
	const addr = ":3250"
	ring := nano.NewLogRing(slog.NewTextHandler(os.Stderr, nil), 0)
	slog.SetDefault(slog.New(ring))
	app := nano.New(addr, nano.WithSlog(slog.Default()))
	_ = app
}
