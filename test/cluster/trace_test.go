package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
	"github.com/lonng/nano/tracing"
)

// trace holds the spans of several nodes: one line each, below its parent. The bytes between the
// nodes are the span's path.
type trace struct {
	mu    sync.Mutex
	begun map[string]bool // by path; the value says that it has ended
	lines []string        // of those that have ended: path, and how
}

// tracer is the tracer of one node.
type tracer struct {
	*trace
	node string
}

type spanKey struct{}

func (tr tracer) Start(ctx context.Context, op tracing.Operation) tracing.Span {
	parent, _ := ctx.Value(spanKey{}).(string)
	if len(op.Parent) > 0 {
		parent = string(op.Parent)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	path := strings.TrimPrefix(fmt.Sprintf("%s > %s %s %s", parent, tr.node, op.Kind, op.Route), " > ")
	if op.Kind == tracing.Handle && op.Received.IsZero() {
		path += " (never received)"
	}
	if tr.begun[path] {
		path += " again"
	}
	tr.begun[path] = false
	return tracing.Span{Context: context.WithValue(ctx, spanKey{}, path), Carrier: []byte(path), End: func(err error) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if tr.begun[path] {
			path += " (ended twice)"
		}
		tr.begun[path] = true
		how := ""
		if e := (*component.Error)(nil); errors.As(err, &e) {
			how = ": " + e.Code
		} else if err != nil {
			how = ": " + err.Error()
		}
		tr.lines = append(tr.lines, path+how)
	}}
}

func newTrace() *trace { return &trace{begun: make(map[string]bool)} }

func (tr *trace) on(node string) nano.Option { return nano.WithTracer(tracer{tr, node}) }

// want compares the spans since the last time with these, in any order.
func (tr *trace) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for path, ended := range tr.begun {
		if !ended {
			t.Errorf("the span has no end: %s", path)
		}
	}
	slices.Sort(tr.lines)
	slices.Sort(want)
	if !slices.Equal(tr.lines, want) {
		t.Errorf("the spans are\n\t%s\nwant\n\t%s", strings.Join(tr.lines, "\n\t"), strings.Join(want, "\n\t"))
	}
	tr.lines, tr.begun = nil, make(map[string]bool)
}

// shop starts a gate and two backends whose handlers call and notify each other.
func (tr *trace) shop(t *testing.T, f *apptest.Cluster) (gate *apptest.Node) {
	t.Helper()
	m := f.Start(t, apptest.Master, apptest.Handlers(nil))
	gate = f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{
		"Here.Fail": func(context.Context, *session.Session, []byte) error { return nano.Errorf("full", "no room") },
		"Here.Die":  func(context.Context, *session.Session, []byte) error { panic("dead") },
	}), tr.on("gate"))
	a := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
		"A.Buy": func(ctx context.Context, s *session.Session, data []byte) error {
			if err := nano.Notify(ctx, "B.Note", data); err != nil {
				return err
			}
			reply, err := nano.Call[string](ctx, string(data), nil)
			if err != nil {
				return err
			}
			if err := s.Push("bought", *reply); err != nil {
				return err
			}
			return s.Response(*reply)
		},
		"A.Here": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response("here") },
	}), tr.on("a"))
	b := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{
		"B.Pay":  func(_ context.Context, s *session.Session, _ []byte) error { return s.Response("paid") },
		"B.Note": func(context.Context, *session.Session, []byte) error { return nil },
		"B.Poor": func(context.Context, *session.Session, []byte) error { return nano.Errorf("poor", "no coins") },
	}), tr.on("b"))
	apptest.Meet(t, m, gate, a, b)
	return gate
}

// A player's request can be followed through the cluster: each span is below the one that has
// caused it, whichever node that is on, and says how it has ended.
func TestTraceGoesAlong(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		tr := newTrace()
		g := tr.shop(t, f)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		bought := func(from, want string) {
			t.Helper()
			request := c.Request("A.Buy", []byte(from))
			if got := c.Push("bought"); string(got) != want {
				t.Errorf("push says %s", got)
			}
			if m := c.Response(request); m.Err || string(m.Data) != want {
				t.Errorf("answer is %v %s", m, m.Data)
			}
		}
		bought("B.Pay", `"paid"`)
		buy := "gate forward A.Buy > a handle A.Buy"
		tr.want(t, "gate forward A.Buy", buy,
			buy+" > a notify B.Note", buy+" > a notify B.Note > b handle B.Note",
			buy+" > a call B.Pay", buy+" > a call B.Pay > b handle B.Pay")

		if m := c.Call("A.Buy", []byte("B.Poor")); !m.Err {
			t.Errorf("answer is %v %s", m, m.Data)
		}
		tr.want(t, "gate forward A.Buy: poor", buy+": poor",
			buy+" > a notify B.Note", buy+" > a notify B.Note > b handle B.Note",
			buy+" > a call B.Poor: poor", buy+" > a call B.Poor > b handle B.Poor: poor")

		bought("A.Here", `"here"`) // a call to the node itself
		tr.want(t, "gate forward A.Buy", buy,
			buy+" > a notify B.Note", buy+" > a notify B.Note > b handle B.Note",
			buy+" > a call A.Here", buy+" > a call A.Here > a handle A.Here")

		c.Notify("A.Buy", []byte("B.Pay"))
		c.Push("bought")
		c.Notify("A.Nothing", nil)
		c.Call("A.Nothing", nil)
		c.Call("No.Such", nil)
		c.Call("Here.Fail", nil)
		c.Call("Here.Die", nil)
		apptest.Pong(t, c)
		tr.want(t, "gate forward A.Buy", buy+": invalid_argument",
			buy+" > a notify B.Note", buy+" > a notify B.Note > b handle B.Note",
			buy+" > a call B.Pay", buy+" > a call B.Pay > b handle B.Pay",
			"gate forward A.Nothing", "gate forward A.Nothing > a handle A.Nothing: not_found",
			"gate forward A.Nothing again: not_found", "gate forward A.Nothing again > a handle A.Nothing: not_found",
			"gate forward No.Such: not_found", "gate handle Here.Fail: full", "gate handle Here.Die: internal",
			"gate handle Ping.Pong")

		if err := g.Call(g.Context(t.Context()), "B.Poor", nil, nil); err == nil {
			t.Error("no error")
		}
		if err := g.NotifyAll("B.Note", nil); err != nil {
			t.Error(err)
		}
		tr.want(t, "gate call B.Poor: poor", "gate call B.Poor > b handle B.Poor: poor",
			"gate notify B.Note", "gate notify B.Note > b handle B.Note")
	})
}

// A node without a tracer between two that have one, or with one that panics, serves all the same.
func TestTraceOfSomeNodesOnly(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		tr := newTrace()
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), tr.on("gate"))
		a := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
			"A.Ask": func(ctx context.Context, s *session.Session, _ []byte) error {
				reply, err := nano.Call[string](ctx, "B.Say", nil)
				if err != nil {
					return err
				}
				return s.Response(*reply)
			},
		}))
		b := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{
			"B.Say": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response("well") },
		}), nano.WithTracer(panics{}))
		apptest.Meet(t, m, g, a, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "A.Ask", "", `"well"`)
		tr.want(t, "gate forward A.Ask")
		if !b.Log.Has("tracer panicked") {
			t.Error("the log does not say that the tracer panicked")
		}
	})
}

// panics is a tracer that panics at the end of its spans, or when it begins one.
type panics struct{}

func (panics) Start(_ context.Context, op tracing.Operation) tracing.Span {
	if op.Kind == tracing.Handle {
		panic("at the start")
	}
	return tracing.Span{End: func(error) { panic("at the end") }}
}

// However a request ends, so does its span, once: a node that dies, a client that leaves before the
// answer, an answer that comes after the error. Spans would pile up, or be told twice.
func TestSpanOfARequestEndsOnce(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		tr := newTrace()
		release := make(chan struct{})
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), tr.on("gate"), nano.WithResume(nano.Resume{Window: time.Minute}))
		a := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
			"A.Wait": func(_ context.Context, s *session.Session, _ []byte) error {
				mid := s.LastMid()
				go func() {
					<-release
					_ = s.ResponseMID(mid, "late")
				}()
				return nil
			},
		}))
		apptest.Meet(t, m, g, a)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		c.Request("A.Wait", nil)
		synctest.Wait()
		c.Close()
		tr.want(t, "gate forward A.Wait: unavailable") // its session is closed

		c = g.TCP.Client(t)
		token := resumeToken(t, c.Handshake(`{"sys":{"accept":["error","resume"]}}`), false)
		c.Ack()
		kept := c.Request("A.Wait", nil)
		synctest.Wait()
		c.Close() // and comes back: the request is the same
		synctest.Wait()
		c = g.TCP.Client(t)
		resumeToken(t, c.Handshake(fmt.Sprintf(`{"sys":{"accept":["error","resume"],"resume":{"token":%q,"received":0}}}`, token)), true)
		c.Ack()
		close(release)
		if m := c.Response(kept); m.Err {
			t.Errorf("answer is %v %s", m, m.Data)
		}
		tr.want(t, "gate forward A.Wait")

		release = make(chan struct{})
		lost := c.Request("A.Wait", nil)
		synctest.Wait()
		f.Kill("back:1")
		for {
			m, err := c.NextMessage()
			if err != nil {
				t.Fatal(err)
			}
			if m.ID == lost {
				if !m.Err {
					t.Errorf("answer is %v %s", m, m.Data)
				}
				break
			}
		}
		close(release)
		tr.want(t, "gate forward A.Wait: unavailable")
	})
}

// A client takes its requests along to another gate: the spans end where they have begun, and the
// answer comes there. They would stay in the memory of the first gate.
func TestSpanOfARequestThatGoesToAnotherGate(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		tr := newTrace()
		release := make(chan struct{})
		m := f.Start(t, apptest.Master, apptest.Handlers(apptest.Funcs{
			"A.Wait": func(_ context.Context, s *session.Session, _ []byte) error {
				mid := s.LastMid()
				go func() {
					<-release
					_ = s.ResponseMID(mid, "late")
				}()
				return nil
			},
		}))
		resumes := nano.WithResume(nano.Resume{Window: time.Minute})
		g1 := f.Start(t, "gate:1", apptest.Handlers(nil), tr.on("first"), resumes)
		g2 := f.Start(t, "gate:2", apptest.Handlers(nil), tr.on("second"), resumes)
		apptest.Meet(t, m, g1, g2)
		c := g1.TCP.Client(t)
		token := resumeToken(t, c.Handshake(`{"sys":{"accept":["error","resume"]}}`), false)
		c.Ack()
		request := c.Request("A.Wait", nil)
		synctest.Wait()
		c.Close()
		synctest.Wait()
		c = g2.TCP.Client(t)
		resumeToken(t, c.Handshake(fmt.Sprintf(`{"sys":{"accept":["error","resume"],"resume":{"token":%q,"received":0}}}`, token)), true)
		c.Ack()
		tr.want(t, "first forward A.Wait")
		close(release)
		if m := c.Response(request); m.Err {
			t.Errorf("answer is %v %s", m, m.Data)
		}
		tr.want(t)
	})
}
