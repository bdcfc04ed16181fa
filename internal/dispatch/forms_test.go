package dispatch

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

type Ask struct{ Name string }

type Told struct{ Hello string }

// Forms has a handler of each form.
type Forms struct {
	component.Base
	got seen[string]
}

func (f *Forms) Raw(s *session.Session, data []byte) error {
	f.got.add("Raw " + string(data))
	return s.Response("raw")
}

func (f *Forms) RawContext(ctx context.Context, s *session.Session, data []byte) error {
	f.got.add(fmt.Sprintf("RawContext %s %d", data, f.mid(ctx)))
	return s.Response("raw")
}

func (f *Forms) RawReply(_ *session.Session, data []byte) ([]byte, error) {
	f.got.add("RawReply " + string(data))
	return []byte("raw"), nil
}

func (f *Forms) Typed(s *session.Session, a *Ask) error {
	f.got.add("Typed " + a.Name)
	return s.Response(&Told{a.Name})
}

func (f *Forms) TypedContext(ctx context.Context, s *session.Session, a *Ask) error {
	f.got.add(fmt.Sprintf("TypedContext %s %d", a.Name, f.mid(ctx)))
	return s.Response(&Told{a.Name})
}

func (f *Forms) TypedReply(_ *session.Session, a *Ask) (*Told, error) {
	f.got.add("TypedReply " + a.Name)
	return &Told{a.Name}, nil
}

func (f *Forms) TypedContextReply(ctx context.Context, _ *session.Session, a *Ask) (*Told, error) {
	f.got.add(fmt.Sprintf("TypedContextReply %s %d", a.Name, f.mid(ctx)))
	return &Told{a.Name}, nil
}

func (f *Forms) ValueReply(_ *session.Session, a *Ask) (Told, error) { return Told{a.Name}, nil }

func (f *Forms) NilReply(_ *session.Session, _ *Ask) (*Told, error) { return nil, nil }

func (f *Forms) mid(ctx context.Context) uint64 {
	_, _, mid, _ := CallOf(ctx)
	return mid
}

func formsTable(t testing.TB) (*bench, *Forms) {
	f := new(Forms)
	cs := new(component.Components)
	cs.Register(f)
	component.Handle(cs, "Forms.Generic", func(ctx context.Context, _ *session.Session, a *Ask) (*Told, error) {
		f.got.add(fmt.Sprintf("Generic %s %d", a.Name, f.mid(ctx)))
		return &Told{a.Name}, nil
	})
	component.HandleNotify(cs, "Forms.GenericNotify", func(_ context.Context, s *session.Session, a *Ask) error {
		f.got.add("GenericNotify " + a.Name)
		return s.Response(&Told{a.Name})
	})
	component.HandleRaw(cs, "Forms.GenericRaw", func(_ context.Context, s *session.Session, data []byte) error {
		f.got.add("GenericRaw " + string(data))
		return s.Response("raw")
	})
	return newBench(t, cs), f
}

// Every form of a handler is called with what the client sent, and answers that client's request.
func TestEachForm(t *testing.T) {
	const payload = `{"Name":"Ann"}`
	told := &Told{"Ann"}
	for _, c := range []struct {
		name  string
		saw   string
		reply any
	}{
		{"Raw", "Raw " + payload, "raw"},
		{"RawContext", "RawContext " + payload + " 9", "raw"},
		{"RawReply", "RawReply " + payload, []byte("raw")},
		{"Typed", "Typed Ann", told},
		{"TypedContext", "TypedContext Ann 9", told},
		{"TypedReply", "TypedReply Ann", told},
		{"TypedContextReply", "TypedContextReply Ann 9", told},
		{"ValueReply", "", *told},
		{"Generic", "Generic Ann 9", told},
		{"GenericNotify", "GenericNotify Ann", told},
		{"GenericRaw", "GenericRaw " + payload, "raw"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, f := formsTable(t)
			b.add(request(9, "Forms."+c.name, payload))
			b.finish()
			if got := f.got.list(); c.saw != "" && (len(got) != 1 || got[0] != c.saw) {
				t.Errorf("the handler saw %q, want %q", got, c.saw)
			}
			got := b.peer.Responses()
			if len(got) != 1 || got[0].MID != 9 || !reflect.DeepEqual(got[0].Value, c.reply) {
				t.Errorf("answers %+v, want one of %v", got, c.reply)
			}
			if n := b.Totals().Failed; n != 0 {
				t.Errorf("%d failures", n)
			}
		})
	}
}

// A notify wants no answer: a handler that has one to give must not fail because of that.
func TestNotifyOfAHandlerWithReply(t *testing.T) {
	b, f := formsTable(t)
	b.add(notify("Forms.TypedReply", `{"Name":"Ann"}`))
	b.add(request(0, "Forms.TypedReply", `{"Name":"Ben"}`)) // id 0: no answer wanted
	v := notify("Forms.RawContext", "x")
	v.ID = 5 // a notify bears no id, whatever a hostile decoder said
	b.add(v)
	b.finish()
	if got := f.got.list(); len(got) != 3 || got[2] != "RawContext x 0" {
		t.Errorf("handlers saw %q", got)
	}
	if got := b.peer.Responses(); len(got) != 0 {
		t.Errorf("answers %+v", got)
	}
	if c := b.Totals(); c.Requests != 1 || c.Notifies != 2 {
		t.Errorf("%d requests, %d notifies", c.Requests, c.Notifies)
	}
	if got := b.log.Lines("message failed", "Forms.TypedReply"); len(got) != 0 {
		t.Errorf("logged: %q", got)
	}
}

// A nil reply is a reply, with its type for the serializer: a client that got none would wait for
// ever.
func TestNilReplyIsAnswered(t *testing.T) {
	b, _ := formsTable(t)
	b.add(request(3, "Forms.NilReply", "{}"))
	b.add(notify("Forms.NilReply", "{}"))
	b.finish()
	got := b.peer.Responses()
	if len(got) != 1 || got[0].MID != 3 || got[0].Value != (*Told)(nil) || len(b.peer.fails) != 0 {
		t.Errorf("answers %+v, errors %v", got, b.peer.fails)
	}
}

// A reply that does not reach the client is an error answer, or the client would wait for ever.
func TestReplyThatCannotBeSent(t *testing.T) {
	b, _ := formsTable(t)
	b.peer.refuse = errors.New("does not encode")
	b.add(request(3, "Forms.TypedReply", "{}"))
	b.finish()
	if f := b.peer.failure(t, 3); f.Code != component.CodeInternal {
		t.Errorf("code %q", f.Code)
	}
	if !b.log.Has("message failed", "Forms.TypedReply", "does not encode") {
		t.Error("not in the log")
	}
}

// The read buffer is used again as soon as Add has returned; a handler's payload and arguments are
// its own.
func TestPayloadsAreCopied(t *testing.T) {
	var rawGot, typedGot []byte
	cs := raw("A.Raw", func(_ context.Context, _ *session.Session, data []byte) error { rawGot = data; return nil })
	component.HandleNotify(cs, "A.Typed", func(_ context.Context, _ *session.Session, k *kept) error { typedGot = k.Data; return nil })
	b := newBench(t, cs, func(c *Config) { c.Serializer, c.AliasesInput = keeper{}, true })
	read := []byte("first")
	batch := b.Begin()
	batch.Add(b.peer, codec.View{Type: codec.Notify, Route: []byte("A.Raw"), Data: read})
	batch.Add(b.peer, codec.View{Type: codec.Notify, Route: []byte("A.Typed"), Data: read})
	copy(read, "other")
	batch.Submit()
	b.finish()
	if string(rawGot) != "first" || string(typedGot) != "first" {
		t.Errorf("the raw handler has %q, the typed one %q", rawGot, typedGot)
	}
	if rawGot = append(rawGot, '!'); string(read) != "other" {
		t.Error("appending to the payload wrote into the read buffer")
	}
}

// What a handler's context knows: its own request, also when others came since; and it ends with
// the session.
func TestContext(t *testing.T) {
	type key struct{}
	var kept []context.Context
	b := newBench(t, raw("A.Ctx", func(ctx context.Context, _ *session.Session, _ []byte) error {
		kept = append(kept, context.WithValue(ctx, key{}, "mine"))
		return nil
	}))
	b.add(request(3, "A.Ctx", ""))
	b.add(request(4, "A.Ctx", ""))
	b.add(notify("A.Ctx", ""))
	b.finish()
	for i, want := range []uint64{3, 4, 0} {
		s, route, mid, ok := CallOf(kept[i])
		if !ok || s != b.peer.s || route != "A.Ctx" || mid != want {
			t.Errorf("call %d: session %v, route %q, id %d, %v", i, s, route, mid, ok)
		}
		if kept[i].Value(key{}) != "mine" || kept[i].Err() != nil {
			t.Errorf("call %d: value %v, error %v", i, kept[i].Value(key{}), kept[i].Err())
		}
	}
	session.NewLifetime().Close(b.peer.s)
	if err := context.Cause(kept[0]); !errors.Is(err, session.ErrClosed) {
		t.Errorf("after the session's end the cause is %v", err)
	}
	if _, _, _, ok := CallOf(context.Background()); ok {
		t.Error("a context of nobody knows a call")
	}
}

func TestHasAndNames(t *testing.T) {
	b, _ := formsTable(t)
	for route, want := range map[string]bool{"Forms.Raw": true, "forms.Raw": false, "Forms.raw": false, "Forms": false, "": false, "Forms.Init": false} {
		if b.Has(route) != want {
			t.Errorf("Has(%q) = %v", route, !want)
		}
	}
	var names seen[string]
	for name := range b.routes {
		names.add(name)
	}
	if n := len(names.list()); n != 12 {
		t.Errorf("%d routes: %s", n, strings.Join(names.list(), ", "))
	}
}

// answering is a peer that knows whether its handler has answered.
type answering struct {
	*peer
	Answers
}

func (p *answering) Enter(mid uint64) { p.peer.Enter(mid); p.Answers.Enter(mid) }

func (p *answering) ResponseMid(mid uint64, v any) error {
	p.TakeAnswer(mid)
	return p.peer.ResponseMid(mid, v)
}

// ByItself has handlers that answer by themselves, and return a reply that is nil.
type ByItself struct{ component.Base }

func (*ByItself) Bytes(s *session.Session, _ *Ask) ([]byte, error) {
	return nil, s.ResponseMID(9, "by itself")
}

func (*ByItself) Map(s *session.Session, _ *Ask) (map[string]int, error) {
	return nil, s.ResponseMID(9, "by itself")
}

func (*ByItself) Slice(s *session.Session, _ *Ask) ([]int, error) {
	return nil, s.ResponseMID(9, "by itself")
}

func (*ByItself) Struct(s *session.Session, _ *Ask) (Told, error) {
	return Told{}, s.ResponseMID(9, "by itself")
}

func (*ByItself) Pointer(s *session.Session, _ *Ask) (*Told, error) {
	return nil, s.ResponseMID(9, "by itself")
}

// A handler that has a reply answers by itself and returns nil. Of types whose nil is a value of
// its own that is no second answer either.
func TestHandlerWithReplyThatHasAnswered(t *testing.T) {
	cs := new(component.Components)
	cs.Register(new(ByItself))
	for _, name := range []string{"Bytes", "Map", "Slice", "Struct", "Pointer"} {
		b := newBench(t, cs)
		p := &answering{peer: newPeer()}
		p.s = session.NewWithID(p, 1)
		batch := b.Begin()
		batch.Add(p, request(9, "ByItself."+name, `{}`))
		batch.Submit()
		b.finish()
		if got := p.Responses(); len(got) != 1 || got[0].Value != "by itself" {
			t.Errorf("%s: answers %+v", name, got)
		}
	}
}

// A scheduler that is held up bounds what waits by bytes, so a call says how many it holds.
func TestCallKnowsItsSize(t *testing.T) {
	b, _ := formsTable(t)
	for _, route := range []string{"Forms.Raw", "Forms.Typed"} {
		data := []byte(`{"Name":"` + strings.Repeat("a", 1000) + `"}`)
		c, err := b.prepare(b.peer, b.routes[route], 9, data)
		if err != nil {
			t.Fatal(err)
		}
		if got := scheduler.Sized(c).Size(); got != len(data) {
			t.Errorf("%s: a call of %d bytes says %d", route, len(data), got)
		}
		c.free()
	}
}

// huge is a job that leaves no room for others.
type huge struct{}

func (huge) Run()         {}
func (huge) Name() string { return "huge" }
func (huge) Size() int    { return 1 << 30 }

// far is a client of another gate.
type far struct {
	*peer
	lane  *scheduler.Lane
	spent int
}

func (f *far) Lane() *scheduler.Lane    { return f.lane }
func (f *far) Waiting() <-chan struct{} { return nil }
func (f *far) Spent(cost int)           { f.spent += cost }

// What a gate sends to a backend whose handlers stand still does not fill its memory. The client is
// told, behind the answers to what it sent before, and counts as waiting until then.
func TestMessagesOfAGateWithoutRoomAreRefused(t *testing.T) {
	var got seen[string]
	b := newBench(t, raw("T.Do", func(_ context.Context, s *session.Session, data []byte) error {
		got.add(string(data))
		return s.Response(data)
	}))
	if err := b.sched.PostTo([]*scheduler.Lane{b.sched.NewLane(0)}, []scheduler.Job{huge{}}); err != nil {
		t.Fatal(err)
	}
	p := &far{peer: newPeer(), lane: b.sched.NewLane(0)}
	p.s = session.NewWithID(p, 1)
	batch := b.BeginMetered()
	for i, v := range []codec.View{request(1, "T.Do", "first"), request(2, "T.Do", "second"), notify("T.Do", "third")} {
		batch.AddMetered(p, v, p, 10+i, nil)
	}
	batch.Submit()
	if p.spent != 0 {
		t.Error("what waits has left the queue")
	}
	b.finish()
	if all := got.list(); len(all) != 1 || all[0] != "first" {
		t.Errorf("the handler got %q", all)
	}
	if answers := p.Responses(); len(answers) != 1 || answers[0].MID != 1 {
		t.Errorf("answers %+v", answers)
	}
	if f := p.failure(t, 2); f.Code != component.CodeExhausted {
		t.Errorf("the second request failed with %+v", f)
	}
	if lines := b.log.Lines("message refused", "T.Do", component.CodeExhausted); len(lines) == 0 {
		t.Error("no line tells of it")
	}
	if p.spent != 10+11+12 {
		t.Errorf("%d bytes have left the queue", p.spent)
	}
}
