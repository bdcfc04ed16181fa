package component_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

type (
	in       struct{ Text string }
	out      struct{ Text string }
	namedIn  *in
	namedOut *out
)

// noContext is what a node may pass where NeedsContext is false.
var noContext context.Context

// call is what a handler saw.
type call struct {
	ctx  context.Context
	s    *session.Session
	data string
	err  error // what it is to return
}

func (c *call) raw(ctx context.Context, s *session.Session, b []byte) string {
	c.ctx, c.s, c.data = ctx, s, string(b)
	runtime.GC() // what a call passed past the collector's eyes would be lost here
	return c.data
}

func (c *call) typed(ctx context.Context, s *session.Session, p *in) string {
	return c.raw(ctx, s, []byte(p.Text))
}

// All has a method of every form.
type All struct {
	component.Base
	call
}

func (a *All) R(s *session.Session, b []byte) error {
	a.raw(noContext, s, b)
	return a.err
}

func (a *All) RC(ctx context.Context, s *session.Session, b []byte) error {
	a.raw(ctx, s, b)
	return a.err
}

func (a *All) RB(s *session.Session, b []byte) ([]byte, error) {
	return []byte(a.raw(noContext, s, b)), a.err
}

func (a *All) RCB(ctx context.Context, s *session.Session, b []byte) ([]byte, error) {
	return []byte(a.raw(ctx, s, b)), a.err
}

func (a *All) RP(s *session.Session, b []byte) (*out, error) {
	return &out{a.raw(noContext, s, b)}, a.err
}

func (a *All) RV(s *session.Session, b []byte) (out, error) {
	return out{a.raw(noContext, s, b)}, a.err
}

func (a *All) RCV(ctx context.Context, s *session.Session, b []byte) (out, error) {
	return out{a.raw(ctx, s, b)}, a.err
}

func (a *All) T(s *session.Session, p *in) error {
	a.typed(noContext, s, p)
	return a.err
}

func (a *All) TC(ctx context.Context, s *session.Session, p *in) error {
	a.typed(ctx, s, p)
	return a.err
}

func (a *All) TB(s *session.Session, p *in) ([]byte, error) {
	return []byte(a.typed(noContext, s, p)), a.err
}

func (a *All) TP(s *session.Session, p *in) (*out, error) {
	return &out{a.typed(noContext, s, p)}, a.err
}

func (a *All) TCP(ctx context.Context, s *session.Session, p *in) (*out, error) {
	return &out{a.typed(ctx, s, p)}, a.err
}

func (a *All) TA(s *session.Session, p *in) (any, error) {
	return a.typed(noContext, s, p), a.err
}

func (a *All) TV(s *session.Session, p *in) (out, error) {
	return out{a.typed(noContext, s, p)}, a.err
}

func (a *All) TCV(ctx context.Context, s *session.Session, p *in) (out, error) {
	return out{a.typed(ctx, s, p)}, a.err
}

func (a *All) TS(s *session.Session, p *in) (interface{ String() string }, error) {
	return bytes.NewBufferString(a.typed(noContext, s, p)), a.err
}

func (a *All) TN(s *session.Session, p namedIn) (namedOut, error) {
	return &out{a.typed(noContext, s, p)}, a.err
}

// ByValue has the same handlers, promoted through a pointer to a receiver that
// is no pointer, which is called in another way.
type ByValue struct{ *All }

// Promoted has the same handlers again, through an embedded value that is not
// at the start of the struct.
type Promoted struct {
	_ int
	All
}

func handlers(t *testing.T, c component.Component, opts ...component.Option) map[string]*component.Handler {
	t.Helper()
	s := component.NewService(c, opts)
	if err := s.ExtractHandler(); err != nil {
		t.Fatal(err)
	}
	return s.Handlers
}

func text(reply any) string {
	switch r := reply.(type) {
	case []byte:
		return string(r)
	case string:
		return r
	case *out:
		return r.Text
	case namedOut:
		return r.Text
	case out:
		return r.Text
	case interface{ String() string }:
		return r.String()
	default:
		return ""
	}
}

// Every form gets what was sent and returns what it answers, however it is
// called.
func TestEveryForm(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, 1)
	refusal := errors.New("refused")
	all, inner, promoted := &All{}, &All{}, &Promoted{}
	for name, c := range map[string]struct {
		comp component.Component
		saw  *call
	}{
		"pointer":  {all, &all.call},
		"value":    {ByValue{inner}, &inner.call},
		"promoted": {promoted, &promoted.call},
	} {
		hs := handlers(t, c.comp)
		if len(hs) != 17 {
			t.Errorf("%s: %d handlers, want 17", name, len(hs))
		}
		for method, h := range hs {
			t.Run(name+"/"+method, func(t *testing.T) {
				s := session.New(nil)
				raw, typed := strings.HasPrefix(method, "R"), strings.HasPrefix(method, "T")
				withContext := strings.Contains(method, "C")
				withReply := len(strings.TrimRight(method, "C")) > 1
				if h.IsRawArg != raw || h.NeedsContext != withContext || h.HasReply != withReply {
					t.Fatalf("raw %v, context %v, reply %v", h.IsRawArg, h.NeedsContext, h.HasReply)
				}
				arg := h.New()
				switch p := arg.(type) {
				case *in:
					p.Text = "hello"
				case namedIn:
					p.Text = "hello"
				case nil:
					if typed {
						t.Fatal("no argument was made")
					}
				}
				if typed && reflect.TypeOf(arg) != h.Type {
					t.Fatalf("New made a %T, the method takes a %s", arg, h.Type)
				}
				for range 2 { // the second one with reused frames
					*c.saw = call{}
					reply, err := h.Call(ctx, s, arg, []byte("hello"))
					if err != nil {
						t.Fatal(err)
					}
					if c.saw.s != s || c.saw.data != "hello" || withContext && c.saw.ctx != ctx {
						t.Errorf("the method saw %+v", c.saw)
					}
					if withReply && text(reply) != "hello" || !withReply && reply != nil {
						t.Errorf("reply %#v", reply)
					}
					if method == "TP" || method == "TCP" {
						if _, ok := reply.(*out); !ok {
							t.Errorf("reply of type %T", reply)
						}
					}
				}
				*c.saw = call{err: refusal}
				if reply, err := h.Call(ctx, s, arg, nil); !errors.Is(err, refusal) || reply != nil {
					t.Errorf("with an error: %v, %v", reply, err)
				}
				*c.saw = call{}
				if !withContext {
					if _, err := h.Call(noContext, s, arg, nil); err != nil {
						t.Errorf("without a context: %v", err)
					}
				}
			})
		}
	}
}

// A serializer's or a node's mistake is an error, not the end of the process.
func TestWrongArgument(t *testing.T) {
	hs := handlers(t, &All{})
	cs := &component.Components{}
	component.Handle(cs, "G.Reply", func(context.Context, *session.Session, *in) (*out, error) { return nil, nil })
	component.HandleNotify(cs, "G.Notify", func(context.Context, *session.Session, *in) error { return nil })
	services, err := cs.Services()
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*component.Handler{
		"direct": hs["T"], "reflected": hs["TV"],
		"generic": services[0].Handlers["Reply"], "notify": services[0].Handlers["Notify"],
	} {
		for _, arg := range []any{nil, in{}, &out{}, "x"} {
			if _, err := h.Call(t.Context(), session.New(nil), arg, nil); err == nil {
				t.Errorf("%s took a %T", name, arg)
			}
		}
	}
}

// Nil has replies that are nothing.
type Nil struct{ component.Base }

func (*Nil) Pointer(*session.Session, []byte) (*out, error)                          { return nil, nil }
func (*Nil) Interface(*session.Session, []byte) (any, error)                         { return nil, nil }
func (*Nil) Stringer(*session.Session, []byte) (interface{ String() string }, error) { return nil, nil }
func (*Nil) Named(*session.Session, []byte) (namedOut, error)                        { return nil, nil }
func (*Nil) CtxPointer(context.Context, *session.Session, []byte) (*out, error)      { return nil, nil }
func (*Nil) CtxNamed(context.Context, *session.Session, *in) (namedOut, error)       { return nil, nil }

// A handler that answers later returns nothing now, and the node sees that.
func TestNilReply(t *testing.T) {
	cs := &component.Components{}
	cs.Register(&Nil{})
	component.Handle(cs, "Nil.Generic", func(context.Context, *session.Session, *in) (*out, error) { return nil, nil })
	services, err := cs.Services()
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range services[0].Handlers {
		if reply, err := h.Call(t.Context(), session.New(nil), h.New(), nil); reply != nil || err != nil {
			t.Errorf("%s: %#v, %v", name, reply, err)
		}
	}
}

// A panic costs one call: the next one works, whatever the frame held.
func TestPanicGoesThrough(t *testing.T) {
	for _, method := range []string{"T", "TV"} {
		h := handlers(t, &All{})[method]
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = h.Call(noContext, session.New(nil), (*in)(nil), nil)
		}()
		if _, err := h.Call(noContext, session.New(nil), &in{"x"}, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestHandlersAreConcurrent(t *testing.T) {
	t.Parallel()
	for name, h := range forms(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan error, 4)
			for range cap(done) {
				go func() {
					var err error
					for range 200 {
						if _, e := h.Call(t.Context(), session.NewWithID(nil, 1), h.New(), []byte("x")); e != nil {
							err = e
						}
					}
					done <- err
				}()
			}
			for range cap(done) {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// What a player's message costs on its way to the handler.
func TestAllocations(t *testing.T) {
	handlers := forms(t)
	for name, want := range map[string]float64{
		"Raw": 0, "RawCtx": 0, "GenericRaw": 0, "RawPointerReply": 0,
		"Typed": 0, "TypedCtx": 0, "TypedReply": 0, "TypedCtxReply": 0, "TypedAnyReply": 0,
		"Generic": 0, "GenericNotify": 0,
		"RawReply": 1, "RawCtxReply": 1, // the slice into an interface
	} {
		h := handlers[name]
		ctx, s, arg, raw := t.Context(), session.NewWithID(nil, 1), h.New(), []byte("payload")
		if got := testing.AllocsPerRun(100, func() { _, _ = h.Call(ctx, s, arg, raw) }); got > want {
			t.Errorf("%s: %v allocations a call, want %v", name, got, want)
		}
	}
}
