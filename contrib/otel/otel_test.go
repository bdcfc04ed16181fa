package otelnano_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	otelnano "github.com/lonng/nano/contrib/otel"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

type text struct{ Text string }

// game is a gate and two backends, of which one calls the other.
type game struct {
	exporter exporter
	opts     []otelnano.Option
	log      *lines
	news     chan struct{} // holds a word when spans have ended or a line was logged
	gate     *nano.App
	sampler  trace.Sampler // of the gate
	hang     chan struct{} // until it is closed, the bank does not say whether it gives loans
	hangs    atomic.Bool   // it was asked for one
}

// exporter keeps spans, and says that there are new ones.
type exporter struct {
	*tracetest.InMemoryExporter
	news chan struct{}
}

func (e exporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := e.InMemoryExporter.ExportSpans(ctx, spans)
	signal(e.news)
	return err
}

// lines are what the nodes log.
type lines struct {
	news chan struct{}
	mu   sync.Mutex
	buf  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer signal(l.news)
	return l.buf.Write(p)
}

func signal(news chan struct{}) {
	select {
	case news <- struct{}{}:
	default:
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newGame starts the nodes. gate samples the traces; the others follow it.
func newGame(t *testing.T, gate trace.Sampler, opts ...otelnano.Option) *game {
	t.Helper()
	news := make(chan struct{}, 1)
	g := &game{
		exporter: exporter{tracetest.NewInMemoryExporter(), news}, log: &lines{news: news}, news: news, sampler: gate, opts: opts,
		hang: make(chan struct{}),
	}

	var a, b component.Components
	component.Handle(&a, "Shop.Buy", func(ctx context.Context, s *session.Session, req *text) (*text, error) {
		slog.New(otelnano.LogHandler(slog.NewTextHandler(g.log, nil))).InfoContext(ctx, "buys", "item", req.Text)
		if err := nano.Notify(ctx, "Bank.Note", req); err != nil {
			return nil, err
		}
		if err := s.Push("bought", req); err != nil {
			return nil, err
		}
		if req.Text == "loan" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
		}
		return nano.Call[text](ctx, "Bank.Pay", req)
	})
	component.HandleNotify(&a, "Shop.Look", func(ctx context.Context, s *session.Session, req *text) error {
		if err := nano.Notify(ctx, "Bank.Note", req); err != nil {
			return err
		}
		return s.Push("seen", req)
	})
	component.Handle(&b, "Bank.Pay", func(_ context.Context, _ *session.Session, req *text) (*text, error) {
		switch req.Text {
		case "moon":
			return nil, nano.Errorf("poor", "the moon costs more")
		case "bug":
			return nil, fmt.Errorf("no such account")
		case "loan":
			g.hangs.Store(true)
			<-g.hang
		}
		return &text{"paid " + req.Text}, nil
	})
	component.HandleNotify(&b, "Bank.Note", func(context.Context, *session.Session, *text) error { return nil })

	master := g.start(t, "master", nil, nano.WithMaster())
	at := nano.WithAdvertiseAddr(master.ServiceAddr().String(), 100*time.Millisecond)
	shop := g.start(t, "shop", &a, at)
	g.start(t, "bank", &b, at)
	g.gate = g.start(t, "gate", nil, at, nano.WithClientAddr("127.0.0.1:0"), nano.WithResume(nano.Resume{Window: time.Minute}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, n := range []*nano.App{g.gate, shop} {
		if err := n.WaitFor(ctx, "Shop", "Bank"); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// start starts a node, whose spans have its name.
func (g *game) start(t *testing.T, name string, cs *component.Components, opts ...nano.Option) *nano.App {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sampler := trace.ParentBased(trace.AlwaysSample())
	if name == "gate" {
		sampler = g.sampler
	}
	provider := trace.NewTracerProvider(trace.WithSyncer(g.exporter), trace.WithSampler(sampler),
		trace.WithResource(resource.NewSchemaless(semconv.ServiceName(name))))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	tracer := otelnano.NewTracer(append([]otelnano.Option{otelnano.WithTracerProvider(provider)}, g.opts...)...)
	opts = append(opts, nano.WithServiceListener(l), nano.WithSerializer(json.NewSerializer()), nano.WithTracer(tracer),
		nano.WithSlog(slog.New(otelnano.LogHandler(slog.NewTextHandler(g.log, nil)))))
	if cs != nil {
		opts = append(opts, nano.WithComponents(cs))
	}
	app := nano.New(l.Addr().String(), opts...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = app.Shutdown(ctx)
	})
	return app
}

// dial connects a client.
func (g *game) dial(t *testing.T, opts ...client.Option) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, "tcp://"+g.gate.Addrs()[0].String(), append([]client.Option{client.WithSerializer(json.NewSerializer())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// spans waits until so many spans have ended, and returns those that ended since it was called
// last.
func (g *game) spans(t *testing.T, n int) map[string]tracetest.SpanStub {
	t.Helper()
	g.until(t, fmt.Sprintf("%d spans", n), func() bool { return len(g.exporter.GetSpans()) >= n })
	all := make(map[string]tracetest.SpanStub)
	for _, s := range g.exporter.GetSpans() {
		key := fmt.Sprintf("%s: %v %s", s.Resource.Attributes()[0].Value.AsString(), s.SpanKind, s.Name)
		if _, again := all[key]; again {
			t.Errorf("two spans are %q", key)
		}
		all[key] = s
	}
	if len(all) != n {
		t.Errorf("there are %d spans, want %d: %v", len(all), n, all)
	}
	g.exporter.Reset()
	return all
}

// until waits for what spans and lines tell.
func (g *game) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	late := time.After(patience)
	for !cond() {
		select {
		case <-g.news:
		case <-late:
			t.Fatalf("still waits for %s", what)
		}
	}
}

// below checks that spans stand each below the one before, in one trace.
func below(t *testing.T, all map[string]tracetest.SpanStub, keys ...string) {
	t.Helper()
	for i, key := range keys {
		s, ok := all[key]
		if !ok {
			t.Fatalf("there is no span %q among %v", key, all)
		}
		if i == 0 {
			continue
		}
		parent := all[keys[i-1]]
		if s.SpanContext.TraceID() != parent.SpanContext.TraceID() || s.Parent.SpanID() != parent.SpanContext.SpanID() {
			t.Errorf("%q is not below %q", key, keys[i-1])
		}
	}
}

func attr(s tracetest.SpanStub, key string) string {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value.Emit()
		}
	}
	return ""
}

// Who looks for a slow purchase finds one trace of the client's request over all nodes, and the log
// lines by its id. It holds nothing of who the player is.
func TestOneTraceOverThreeNodes(t *testing.T) {
	g := newGame(t, trace.AlwaysSample())
	c := g.dial(t)
	pushed := make(chan string, 1)
	client.On(c, "bought", func(m *text) { pushed <- m.Text })
	var reply text
	if err := c.Request(t.Context(), "Shop.Buy", text{"sword"}, &reply); err != nil || reply.Text != "paid sword" {
		t.Fatalf("reply %+v, %v", reply, err)
	}
	if got := <-pushed; got != "sword" {
		t.Errorf("push says %q", got)
	}
	all := g.spans(t, 6)
	below(t, all, "gate: server Shop.Buy", "shop: server Shop.Buy", "shop: client Bank.Pay", "bank: server Bank.Pay")
	below(t, all, "shop: server Shop.Buy", "shop: producer Bank.Note", "bank: consumer Bank.Note")
	root, shop := all["gate: server Shop.Buy"], all["shop: server Shop.Buy"]
	if root.Parent.IsValid() || len(root.Links) > 0 {
		t.Errorf("the first span has the parent %v, the links %v", root.Parent, root.Links)
	}
	if id := attr(root, "nano.session.id"); id == "" || id != attr(shop, "nano.session.id") {
		t.Errorf("the session is %q at the gate, %q at the shop", id, attr(shop, "nano.session.id"))
	}
	known := []string{"rpc.system.name", "rpc.method", "rpc.method_original", "nano.session.id", "nano.wait.duration"}
	for key, s := range all {
		if s.Status.Code != codes.Unset {
			t.Errorf("%q has the status %v", key, s.Status)
		}
		if want := s.Name; attr(s, "rpc.method") != want || attr(s, "rpc.system.name") != "nano" {
			t.Errorf("%q has the attributes %v", key, s.Attributes)
		}
		for _, a := range s.Attributes {
			if !slices.Contains(known, string(a.Key)) {
				t.Errorf("%q has the attribute %v", key, a)
			}
		}
	}
	want := fmt.Sprintf("msg=buys item=sword trace_id=%s span_id=%s", shop.SpanContext.TraceID(), shop.SpanContext.SpanID())
	if !strings.Contains(g.log.String(), want) {
		t.Errorf("the log has no %q", want)
	}
}

// A trace says which node has failed, and an error that a handler tells a client on purpose, as
// that the player is poor, raises no alarm where it was made.
func TestErrorsAreTheStatus(t *testing.T) {
	g := newGame(t, trace.AlwaysSample())
	c := g.dial(t)
	for item, want := range map[string]struct {
		code   string
		server codes.Code
	}{"moon": {"poor", codes.Unset}, "bug": {"internal", codes.Error}} {
		var reply text
		if err := c.Request(t.Context(), "Shop.Buy", text{item}, &reply); err == nil {
			t.Fatal("no error")
		}
		all := g.spans(t, 6)
		below(t, all, "gate: server Shop.Buy", "shop: server Shop.Buy", "shop: client Bank.Pay", "bank: server Bank.Pay")
		for key, status := range map[string]codes.Code{
			"gate: server Shop.Buy": want.server, "shop: server Shop.Buy": want.server,
			"bank: server Bank.Pay": want.server, "shop: client Bank.Pay": codes.Error,
		} {
			s := all[key]
			if s.Status.Code != status || attr(s, "error.type") != want.code || attr(s, "rpc.response.status_code") != want.code {
				t.Errorf("%s: %q has the status %v and the attributes %v", item, key, s.Status, s.Attributes)
			}
		}
		if id := all["bank: server Bank.Pay"].SpanContext.TraceID().String(); item == "bug" {
			g.until(t, "the line of the failure", func() bool {
				return slices.ContainsFunc(strings.Split(g.log.String(), "\n"), func(line string) bool {
					return strings.Contains(line, "message failed") && strings.Contains(line, "no such account") && strings.Contains(line, id)
				})
			})
		}
	}
}

// A backend hangs, and its own span does not end. The spans of those who wait for it end when the
// call's deadline has passed, and say so: whoever looks at the trace sees who did not answer.
func TestBackendThatHangs(t *testing.T) {
	g := newGame(t, trace.AlwaysSample())
	t.Cleanup(func() { close(g.hang) })
	c := g.dial(t)
	var reply text
	if err := c.Request(t.Context(), "Shop.Buy", text{"loan"}, &reply); client.CodeOf(err) != component.CodeDeadline {
		t.Errorf("the client is told %v", err)
	}
	for _, name := range []string{"client Bank.Pay", "server Shop.Buy"} {
		var span tracetest.SpanStub
		g.until(t, "the span "+name, func() bool {
			all := g.exporter.GetSpans()
			i := slices.IndexFunc(all, func(s tracetest.SpanStub) bool {
				return s.Resource.Attributes()[0].Value.AsString() == "shop" && fmt.Sprintf("%v %s", s.SpanKind, s.Name) == name
			})
			if i >= 0 {
				span = all[i]
			}
			return i >= 0
		})
		if span.Status.Code != codes.Error || attr(span, "error.type") != component.CodeDeadline {
			t.Errorf("the span %s has the status %v and the attributes %v", name, span.Status, span.Attributes)
		}
	}
	if !g.hangs.Load() {
		return // the machine is so busy that the call came too late for its handler
	}
	for _, s := range g.exporter.GetSpans() {
		if s.Resource.Attributes()[0].Value.AsString() == "bank" && s.Name == "Bank.Pay" {
			t.Errorf("the span of the handler that hangs has ended: %v", s.Status)
		}
	}
}

// The names of spans are few, whatever routes a client makes up.
func TestClientsNameNoSpans(t *testing.T) {
	g := newGame(t, trace.AlwaysSample())
	c := g.dial(t)
	for _, route := range []string{"Shop.Made up", "Made.Up"} {
		if err := c.Request(t.Context(), route, text{}, nil); err == nil {
			t.Fatal("no error")
		}
	}
	g.until(t, "three spans", func() bool { return len(g.exporter.GetSpans()) == 3 })
	for _, s := range g.exporter.GetSpans() {
		if strings.Contains(s.Name, "p") || attr(s, "rpc.method") != "_OTHER" || !strings.Contains(attr(s, "rpc.method_original"), "ade") {
			t.Errorf("a span is named %q, and has the attributes %v", s.Name, s.Attributes)
		}
	}
}

// What the gate does not sample costs no other node a span.
func TestSamplingIsDecidedAtTheGate(t *testing.T) {
	g := newGame(t, trace.NeverSample())
	c := g.dial(t)
	var reply text
	for range 3 {
		if err := c.Request(t.Context(), "Shop.Buy", text{"sword"}, &reply); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(g.exporter.GetSpans()); n != 0 {
		t.Errorf("%d spans", n)
	}
	if !strings.Contains(g.log.String(), "trace_id=") {
		t.Error("the log lines have no trace")
	}
}

// A client's trace has links to what the servers did for it, over its connections, and is their
// parent where that is wanted.
func TestTraceOfAClient(t *testing.T) {
	const traceID, spanID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	user := client.WithUser(map[string]string{"traceparent": "00-" + traceID + "-" + spanID + "-01", "tracestate": "a=b"})
	t.Run("links", func(t *testing.T) {
		g := newGame(t, trace.AlwaysSample())
		var conn atomic.Pointer[net.Conn]
		online := make(chan client.Change, 8)
		c := g.dial(t, user, client.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			conn.Store(&nc)
			return nc, err
		}), client.WithStateHandler(func(ch client.Change) { online <- ch }))
		seen := make(chan string, 2)
		client.On(c, "seen", func(m *text) { seen <- m.Text })
		var session string
		for i := range 2 {
			if i == 1 {
				(*conn.Load()).Close()
				for !(<-online).Resumed {
				}
			}
			if err := c.Notify(t.Context(), "Shop.Look", text{"sword"}); err != nil {
				t.Fatal(err)
			}
			<-seen
			all := g.spans(t, 4)
			below(t, all, "gate: server forward", "shop: server Shop.Look", "shop: producer Bank.Note", "bank: consumer Bank.Note")
			root := all["gate: server forward"]
			if len(root.Links) != 1 || root.Links[0].SpanContext.TraceID().String() != traceID || root.Links[0].SpanContext.SpanID().String() != spanID ||
				root.Parent.IsValid() || root.SpanContext.TraceID().String() == traceID {
				t.Errorf("connection %d: the links are %v, the parent is %v", i, root.Links, root.Parent)
			}
			if id := attr(root, "nano.session.id"); i == 1 && id != session {
				t.Errorf("the session was %s, and is %s", session, id)
			} else {
				session = id
			}
		}
	})
	t.Run("parent", func(t *testing.T) {
		g := newGame(t, trace.ParentBased(trace.NeverSample()), otelnano.WithClientParent())
		var reply text
		if err := g.dial(t, user).Request(t.Context(), "Shop.Buy", text{"sword"}, &reply); err != nil {
			t.Fatal(err)
		}
		root := g.spans(t, 6)["gate: server Shop.Buy"]
		if root.Parent.TraceID().String() != traceID || root.Parent.SpanID().String() != spanID || root.SpanContext.TraceState().Get("a") != "b" {
			t.Errorf("the parent is %v", root.Parent)
		}
	})
}
