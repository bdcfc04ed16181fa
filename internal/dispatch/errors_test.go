package dispatch

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// panicker is a serializer of the application's with a bug.
type panicker struct{ serialize.Serializer }

func (panicker) Unmarshal([]byte, any) error { panic("bug") }

// channel is a pipeline of the application's own, which panics.
type channel struct{ pipeline.Pipeline }

func (c channel) Inbound() pipeline.Channel                    { return c }
func (channel) PushFront(pipeline.Func)                        {}
func (channel) PushBack(pipeline.Func)                         {}
func (channel) Process(*session.Session, *codec.Message) error { panic("own channel's bug") }

func filters(fs ...pipeline.Func) func(*Config) {
	return func(c *Config) {
		c.Pipeline = pipeline.New()
		for _, f := range fs {
			c.Pipeline.Inbound().PushBack(f)
		}
	}
}

// However a request fails, the client gets exactly one error with a code, the log has the reason,
// and nothing of the application's text leaks out unless it was meant for clients.
func TestEachFailureIsOneErrorAnswer(t *testing.T) {
	secret := errors.New("password is 123")
	comps := func(fn func() error) *component.Components {
		return raw("A.B", func(context.Context, *session.Session, []byte) error { return fn() })
	}
	typed := func() *component.Components {
		cs := new(component.Components)
		component.HandleNotify(cs, "A.B", func(context.Context, *session.Session, *Ask) error { return nil })
		return cs
	}
	ok := func() error { return nil }
	for _, c := range []struct {
		name  string
		comps *component.Components
		conf  func(*Config)
		view  codec.View
		code  string
		text  string // part of the client's
		log   string
	}{
		{"no such route", comps(ok), nil, request(7, "A.C", ""), component.CodeNotFound, `"A.C"`, `did you mean "A.B"?`},
		{"empty route", comps(ok), nil, request(7, "", ""), component.CodeNotFound, "", "WARN"},
		{"payload does not parse", typed(), nil, request(7, "A.B", "{"), component.CodeInvalid, "does not parse: unexpected end", "*dispatch.Ask"},
		{"serializer panics", typed(), func(c *Config) { c.Serializer = panicker{} }, request(7, "A.B", "{}"), component.CodeInternal, "internal error", "bug"},
		{"handler error", comps(func() error { return secret }), nil, request(7, "A.B", ""), component.CodeInternal, "internal error", "password"},
		{"handler error with a code", comps(func() error { return component.Errorf("full", "room is full: %w", io.EOF) }), nil, request(7, "A.B", ""), "full", "room is full", "room is full"},
		{"wrapped", comps(func() error { return errors.Join(secret, component.Errorf("full", "room")) }), nil, request(7, "A.B", ""), "full", "room", "password"},
		{"handler panic", comps(func() error { panic(secret) }), nil, request(7, "A.B", ""), component.CodeInternal, "internal error", "handler panicked"},
		{"handler panic with a coded error", comps(func() error { panic(component.Errorf("full", "room")) }), nil, request(7, "A.B", ""), component.CodeInternal, "internal error", "handler panicked"},
		{"filter refuses", comps(ok), filters(func(*session.Session, *codec.Message) error { return secret }), request(7, "A.B", ""), component.CodeRefused, "refused", "password"},
		{"filter refuses with a code", comps(ok), filters(func(*session.Session, *codec.Message) error {
			return component.Errorf(component.CodeUnauthenticated, "sign in first")
		}), request(7, "A.B", ""), component.CodeUnauthenticated, "sign in first", "sign in first"},
		{"filter panics", comps(ok), filters(func(*session.Session, *codec.Message) error { panic("filter's bug") }), request(7, "A.B", ""), component.CodeInternal, "internal error", "filter's bug"},
		{"own channel panics", comps(ok), func(c *Config) { c.Pipeline = channel{} }, request(7, "A.B", ""), component.CodeInternal, "internal error", "own channel's bug"},
		{"not gzip", comps(ok), nil, codec.View{Type: codec.Request, ID: 7, Route: []byte("A.B"), Data: []byte("plain"), Gzip: true}, component.CodeInvalid, "gzip", "gzip"},
		{"remote says no", comps(ok), func(c *Config) {
			c.Remote = func(Entity, *codec.Message, tracing.Span) error {
				return component.Errorf(component.CodeUnavailable, "backend is gone")
			}
		}, request(7, "A.C", ""), component.CodeUnavailable, "backend is gone", "backend is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := c.conf
			if conf == nil {
				conf = func(*Config) {}
			}
			b := newBench(t, c.comps, conf)
			b.add(c.view)
			b.finish()
			f := b.peer.failure(t, 7)
			if f.Code != c.code || !strings.Contains(f.Error, c.text) {
				t.Errorf("the client is told %+v, want code %q and %q", f, c.code, c.text)
			}
			if strings.Contains(f.Error, "password") || strings.Contains(f.Error, "bug") || strings.Contains(f.Error, "dispatch.") {
				t.Errorf("the client is told %q", f.Error)
			}
			if len(b.peer.Responses()) != 0 {
				t.Errorf("and an answer: %+v", b.peer.Responses())
			}
			if !b.log.Has(c.log) {
				t.Errorf("the log has no %q: %q", c.log, b.log.Lines())
			}
			if n := b.Totals().Failed; n != 1 {
				t.Errorf("%d failures counted", n)
			}

			// The same as a notify: nobody waits for an answer, and the log has it all the same.
			v := c.view
			v.Type = codec.Notify
			b = newBench(t, c.comps, conf)
			b.add(v)
			b.finish()
			if len(b.peer.fails) != 0 || !b.log.Has("message failed") && !b.log.Has("WARN message refused") {
				t.Errorf("notify: error answers %v, log %q", b.peer.fails, b.log.Lines())
			}
		})
	}
}

// One handler's panic leaves what came with it alone.
func TestAPanicCostsThatCallOnly(t *testing.T) {
	var got seen[string]
	b := newBench(t, raw("A.B", func(_ context.Context, _ *session.Session, data []byte) error {
		got.add(string(data))
		if string(data) == "2" {
			panic("bug")
		}
		return nil
	}))
	batch := b.Begin()
	for _, data := range []string{"1", "2", "3"} {
		batch.Add(b.peer, notify("A.B", data))
	}
	batch.Submit()
	b.finish()
	if s := strings.Join(got.list(), ""); s != "123" {
		t.Errorf("ran %q", s)
	}
	if !b.log.Has("handler panicked", "A.B", "bug", "errors_test.go") {
		t.Errorf("the log does not say where: %q", b.log.Lines())
	}
}

// The application decides what clients are told.
func TestErrorShape(t *testing.T) {
	type shape struct{ Route, Text string }
	comps := raw("A.B", func(context.Context, *session.Session, []byte) error { return errors.New("why") })
	b := newBench(t, comps, func(c *Config) {
		c.Shape = func(_ *session.Session, route string, err error) any { return shape{route, err.Error()} }
	})
	b.add(request(7, "A.B", ""))
	b.finish()
	if got := b.peer.fails[7]; len(got) != 1 || got[0] != `{"Route":"A.B","Text":"why"}` {
		t.Errorf("the client is told %q", got)
	}

	b = newBench(t, comps, func(c *Config) {
		c.Shape = func(*session.Session, string, error) any { panic("shape's bug") }
	})
	b.add(request(7, "A.B", ""))
	b.finish()
	if f := b.peer.failure(t, 7); f.Code != component.CodeInternal || !b.log.Has("shape's bug") {
		t.Errorf("a shape that panics: %+v, log %q", f, b.log.Lines())
	}
}

// A filter may look into a message, replace its payload, and send it to another handler, on this
// node or another.
func TestFilterRewrites(t *testing.T) {
	var got seen[string]
	see := func(route string) func(context.Context, *session.Session, []byte) error {
		return func(ctx context.Context, _ *session.Session, data []byte) error {
			_, name, mid, _ := CallOf(ctx)
			if name != route || mid != 7 {
				t.Errorf("the context knows route %q, id %d", name, mid)
			}
			got.add(route + " " + string(data))
			return nil
		}
	}
	for _, c := range []struct{ to, data, want string }{
		{"A.B", "same", "A.B same"},
		{"A.C", "other", "A.C other"},
		{"X.Y", "away", "remote X.Y away"},
	} {
		t.Run(c.to, func(t *testing.T) {
			got.all = nil
			cs := raw("A.B", see("A.B"))
			component.HandleRaw(cs, "A.C", see("A.C"))
			read := []byte("payload")
			b := newBench(t, cs, filters(func(s *session.Session, m *codec.Message) error {
				if m.Type != codec.Request || m.ID != 7 || m.Route != "A.B" || string(m.Data) != "payload" || s.ID() != 1 {
					t.Errorf("the filter sees %v %q of session %d", m, m.Data, s.ID())
				}
				m.Data[0] = 'P' // its own
				m.Route, m.Data = c.to, []byte(c.data)
				return nil
			}), func(cfg *Config) {
				cfg.Remote = func(_ Entity, m *codec.Message, _ tracing.Span) error {
					got.add("remote " + m.Route + " " + string(m.Data))
					return nil
				}
			})
			b.add(codec.View{Type: codec.Request, ID: 7, Route: []byte("A.B"), Data: read})
			b.finish()
			if all := got.list(); len(all) != 1 || all[0] != c.want {
				t.Errorf("got %q, want %q", all, c.want)
			}
			if string(read) != "payload" {
				t.Errorf("the read buffer was written to: %q", read)
			}
		})
	}
}

// The filters after one that refused do not run, and neither does the handler.
func TestRefusalStops(t *testing.T) {
	ran := false
	run := func(*session.Session, *codec.Message) error { ran = true; return nil }
	b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error { ran = true; return nil }),
		filters(func(*session.Session, *codec.Message) error { return errors.New("no") }, run))
	b.add(request(7, "A.B", ""))
	b.add(request(8, "No.Such", "")) // in no cluster, filters see this, too
	b.finish()
	if ran {
		t.Error("something ran after the refusal")
	}
	if f := b.peer.failure(t, 8); f.Code != component.CodeRefused {
		t.Errorf("a message that no handler has: %+v", f)
	}
}

// sentPeer is a peer whose messages another node has sent.
type sentPeer struct{ *peer }

func (sentPeer) Sent() {}

// A message that goes to another node passes the filter for that, and no other. One that another
// node has sent goes nowhere: the filters see it.
func TestForwardedMessagesHaveAFilterOfTheirOwn(t *testing.T) {
	var got []string
	here := func(_ context.Context, _ *session.Session, data []byte) error {
		got = append(got, "here "+string(data))
		return nil
	}
	b := newBench(t, raw("A.B", here), filters(func(_ *session.Session, m *codec.Message) error {
		got = append(got, "inbound "+m.Route)
		return nil
	}), func(c *Config) {
		c.Forwarded = func(_ *session.Session, m *codec.Message) error {
			got = append(got, "forwarded "+m.Route)
			if m.Route == "X.Secret" {
				return component.Errorf(component.CodeUnauthenticated, "sign in first")
			}
			if m.Route == "X.Old" { // it is for this node after all
				m.Route = "A.B"
			}
			m.Data = []byte("changed")
			return nil
		}
		c.Remote = func(_ Entity, m *codec.Message, _ tracing.Span) error {
			got = append(got, "remote "+m.Route+" "+string(m.Data))
			return nil
		}
	})
	b.add(request(7, "X.Y", "data"))
	b.add(request(8, "X.Secret", ""))
	batch := b.Begin()
	batch.Add(sentPeer{b.peer}, request(9, "X.Y", ""))
	batch.Submit()
	b.add(notify("X.Old", ""))
	b.finish()
	if want := []string{"forwarded X.Y", "remote X.Y changed", "forwarded X.Secret", "inbound X.Y", "forwarded X.Old", "inbound A.B", "here changed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f := b.peer.failure(t, 8); f.Code != component.CodeUnauthenticated {
		t.Errorf("the client is told %+v", f)
	}
}

func zip(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A few compressed bytes must not be able to fill the memory.
func TestGzipInboundLimit(t *testing.T) {
	const limit = 1000
	for _, c := range []struct {
		name string
		data []byte
		code string
	}{
		{"nothing", zip(t, nil), ""},
		{"at the limit", zip(t, make([]byte, limit)), ""},
		{"one more", zip(t, make([]byte, limit+1)), component.CodeInvalid},
		{"a bomb", zip(t, make([]byte, 8<<20)), component.CodeInvalid},
		{"many streams", bytes.Repeat(zip(t, make([]byte, 100)), 11), component.CodeInvalid},
		{"cut off", zip(t, []byte("hello"))[:15], component.CodeInvalid},
		{"a wrong sum", append(zip(t, []byte("hello"))[:20], make([]byte, 8)...), component.CodeInvalid},
		{"empty", nil, component.CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := -1
			b := newBench(t, raw("A.B", func(_ context.Context, _ *session.Session, data []byte) error {
				size = len(data)
				return nil
			}), func(cfg *Config) { cfg.MaxPayload = limit })
			b.add(codec.View{Type: codec.Request, ID: 7, Route: []byte("A.B"), Data: c.data, Gzip: true})
			b.finish()
			switch {
			case c.code != "":
				if f := b.peer.failure(t, 7); f.Code != c.code || size >= 0 {
					t.Errorf("the client is told %+v, the handler got %d bytes", f, size)
				}
			case size < 0:
				t.Errorf("refused: %v", b.peer.fails)
			}
		})
	}
}

// Only servers send responses and pushes: from a client they are counted and mean nothing.
func TestTypesOfServersAreIgnored(t *testing.T) {
	b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error {
		t.Error("a handler ran")
		return nil
	}))
	b.add(codec.View{Type: codec.Response, ID: 7})
	b.add(codec.View{Type: codec.Push, Route: []byte("A.B")})
	b.finish()
	if n := b.Totals().Ignored; n != 2 || len(b.peer.fails) != 0 {
		t.Errorf("%d ignored, error answers %v", n, b.peer.fails)
	}
}

func TestCompressedRoute(t *testing.T) {
	dict, err := codec.NewDictionary(map[string]uint16{"A.B": 5, "X.Y": 6})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error { calls++; return nil }),
		func(c *Config) { c.Dictionary = dict })
	b.add(codec.View{Type: codec.Request, ID: 1, Compressed: true, Code: 5})
	b.add(codec.View{Type: codec.Request, ID: 2, Compressed: true, Code: 6})
	b.add(codec.View{Type: codec.Request, ID: 3, Compressed: true, Code: 7})
	b.finish()
	if calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
	if f := b.peer.failure(t, 2); f.Code != component.CodeNotFound || !strings.Contains(f.Error, "X.Y") {
		t.Errorf("a route without a handler: %+v", f)
	}
	if f := b.peer.failure(t, 3); f.Code != component.CodeNotFound {
		t.Errorf("an unknown code: %+v", f)
	}
}

// A message for another node is a copy: it leaves this goroutine.
func TestRemoteGetsACopy(t *testing.T) {
	var got []*codec.Message
	b := newBench(t, new(component.Components), func(c *Config) {
		c.Remote = func(p Entity, m *codec.Message, _ tracing.Span) error { got = append(got, m); return nil }
	})
	read := []byte("data")
	batch := b.Begin()
	batch.Add(b.peer, codec.View{Type: codec.Request, ID: 7, Route: []byte("X.Y"), Data: read})
	batch.Add(b.peer, codec.View{Type: codec.Notify, ID: 7, Route: []byte("X.Z"), Data: read})
	copy(read, "****")
	batch.Submit()
	if len(got) != 2 || got[0].Route != "X.Y" || got[0].ID != 7 || string(got[0].Data) != "data" || got[1].ID != 0 || got[1].Type != codec.Notify {
		t.Errorf("got %v", got)
	}
}

// A node that is shutting down says so instead of leaving clients to their timeouts.
func TestClosedSchedulerAnswers(t *testing.T) {
	b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error { return nil }))
	b.finish()
	batch := b.Begin()
	batch.Add(b.peer, request(1, "A.B", ""))
	batch.Add(b.peer, request(2, "A.B", ""))
	batch.Submit()
	for mid := uint64(1); mid <= 2; mid++ {
		if f := b.peer.failure(t, mid); f.Code != component.CodeUnavailable {
			t.Errorf("request %d: %+v", mid, f)
		}
	}
}

func TestDebugLogsMessages(t *testing.T) {
	for _, debug := range []bool{false, true} {
		b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error { return nil }),
			func(c *Config) { c.Debug = debug })
		b.add(request(7, "A.B", "12345"))
		b.finish()
		if got := b.log.Has("message", "A.B", "mid=7", "bytes=5"); got != debug {
			t.Errorf("debug %v: logged %v", debug, got)
		}
	}
}

// What comes for handlers of this node runs, although a message behind it is for a node that is
// only starting, and waits for that.
func TestCallsHereDoNotWaitForAnotherNode(t *testing.T) {
	ran := make(chan struct{})
	b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error { close(ran); return nil }), func(c *Config) {
		c.Remote = func(Entity, *codec.Message, tracing.Span) error {
			select {
			case <-ran:
			case <-time.After(nanotest.Patience):
				t.Error("the call before the message waits with it")
			}
			return nil
		}
	})
	b.start()
	batch := b.Begin()
	batch.Add(b.peer, notify("A.B", ""))
	batch.Add(b.peer, notify("X.Y", ""))
	batch.Submit()
	b.end()
}

// refusing panics when a message is refused, as a logger of the application's may.
type refusing struct{ slog.Handler }

func (r refusing) Handle(ctx context.Context, line slog.Record) error {
	if line.Message == "message refused" {
		panic("the disk is full")
	}
	return r.Handler.Handle(ctx, line)
}

// lanedPeer is a peer whose error answers wait for their turn.
type lanedPeer struct {
	*peer
	lane scheduler.Lane
}

func (l *lanedPeer) Lane() *scheduler.Lane    { return &l.lane }
func (l *lanedPeer) Waiting() <-chan struct{} { return nil }

// A logger that panics costs the message that is logged, also one that names no route of the node.
func TestALoggerMayPanic(t *testing.T) {
	b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error { return nil }), func(c *Config) {
		c.Log = slog.New(refusing{c.Log.Handler()})
	})
	batch := b.Begin()
	batch.Add(&lanedPeer{peer: b.peer}, request(7, "A.C", ""))
	batch.Submit()
	b.finish()
	if f := b.peer.failure(t, 7); f.Code != component.CodeInternal {
		t.Errorf("the client is told %+v", f)
	}
	if !b.log.Has("handler panicked", "A.C", "the disk is full") {
		t.Errorf("the log is %q", b.log.Lines())
	}
}

// A room has had the last messages of a client, and has ended. What the client sends then is
// answered: for the room, and for what nobody has.
func TestRefusalsAfterTheEndOfARoom(t *testing.T) {
	nothing := func(context.Context, *session.Session, []byte) error { return nil }
	b := newBench(t, raw("Room.Say", nothing, component.WithSchedulerName("room")))
	p, room := &lanedPeer{peer: b.peer}, scheduler.New()
	p.s.Set("room", room)
	room.Start()
	send := func(v codec.View) {
		batch := b.Begin()
		batch.Add(p, v)
		batch.Submit()
	}
	send(request(1, "Room.Say", ""))
	finish(room)
	send(request(2, "No.Such", ""))
	send(request(3, "Room.Say", ""))
	send(notify("Room.Say", ""))
	b.finish()
	for mid, want := range map[uint64]string{2: component.CodeNotFound, 3: component.CodeUnavailable} {
		if f := b.peer.failure(t, mid); f.Code != want {
			t.Errorf("request %d: %+v, want %s", mid, f, want)
		}
	}
	if !b.log.Has("message refused", "route=No.Such") {
		t.Errorf("the log is %q", b.log.Lines())
	}
}

// Messages of several sessions come from another node together. An error answer waits for the
// messages of its own session, whatever the others send.
func TestErrorAnswersWaitForTheirOwnSession(t *testing.T) {
	room := scheduler.New()
	nothing := func(context.Context, *session.Session, []byte) error { return nil }
	cs := raw("Room.Say", nothing, component.WithScheduler(room))
	component.HandleRaw(cs, "Node.Do", nothing)
	b := newBench(t, cs)
	p, other := &lanedPeer{peer: b.peer}, &lanedPeer{peer: newPeer()}
	send := func(p Entity, v codec.View) {
		batch := b.BeginMetered()
		batch.Add(other, notify("Node.Do", ""))
		batch.Add(p, v)
		batch.Submit()
	}
	send(p, request(1, "Room.Say", ""))
	send(p, request(2, "No.Such", ""))
	b.finish()
	if len(b.peer.fails[2]) != 0 {
		t.Error("the error answer has overtaken what waits for the room")
	}
	room.Start()
	finish(room)
	b.peer.failure(t, 2)
}

// What clients are told of an error of the framework does not name its package; the log does.
func TestClientsSeeNoPackageNames(t *testing.T) {
	for name, err := range map[string]error{
		"plain":           errGone,
		"wrapped":         fmt.Errorf("join the room: %w", errGone),
		"by the handler":  component.Errorf(component.CodeUnavailable, "node 3: %w", errGone),
		"by two of these": component.Errorf(component.CodeUnavailable, "enter: %w", component.Errorf(component.CodeInvalid, "node 3: %w", errGone)),
	} {
		b := newBench(t, raw("A.B", func(context.Context, *session.Session, []byte) error { return err }))
		b.add(request(7, "A.B", ""))
		b.finish()
		if f := b.peer.failure(t, 7); !strings.Contains(f.Error, "the room has gone") || strings.Contains(f.Error, "cluster") {
			t.Errorf("%s: the client is told %q", name, f.Error)
		}
	}
}

var errGone = fault.New(fault.Unavailable, "cluster: the room has gone")
