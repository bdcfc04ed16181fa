package component_test

import (
	"context"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

type ping struct{ N int }
type pong struct{ N int }

var fixed = new(pong)

// Forms has a method of each form that reflection finds.
type Forms struct{ component.Base }

func (*Forms) Raw(*session.Session, []byte) error                       { return nil }
func (*Forms) RawCtx(context.Context, *session.Session, []byte) error   { return nil }
func (*Forms) RawReply(_ *session.Session, data []byte) ([]byte, error) { return data, nil }
func (*Forms) RawPointerReply(*session.Session, []byte) (*pong, error)  { return fixed, nil }
func (*Forms) Typed(*session.Session, *ping) error                      { return nil }
func (*Forms) TypedCtx(context.Context, *session.Session, *ping) error  { return nil }
func (*Forms) TypedReply(*session.Session, *ping) (*pong, error)        { return fixed, nil }
func (*Forms) TypedBytesReply(*session.Session, *ping) ([]byte, error)  { return nil, nil }
func (*Forms) TypedValueReply(*session.Session, *ping) (pong, error)    { return pong{1}, nil }
func (*Forms) TypedAnyReply(*session.Session, *ping) (any, error)       { return fixed, nil }
func (*Forms) RawCtxReply(_ context.Context, _ *session.Session, data []byte) ([]byte, error) {
	return data, nil
}
func (*Forms) TypedCtxReply(context.Context, *session.Session, *ping) (*pong, error) {
	return fixed, nil
}

// forms returns the handlers of all forms by name.
func forms(tb testing.TB) map[string]*component.Handler {
	tb.Helper()
	cs := &component.Components{}
	cs.Register(&Forms{})
	component.Handle(cs, "Forms.Generic", func(context.Context, *session.Session, *ping) (*pong, error) { return fixed, nil })
	component.HandleNotify(cs, "Forms.GenericNotify", func(context.Context, *session.Session, *ping) error { return nil })
	component.HandleRaw(cs, "Forms.GenericRaw", func(context.Context, *session.Session, []byte) error { return nil })
	services, err := cs.Services()
	if err != nil {
		tb.Fatal(err)
	}
	return services[0].Handlers
}

// BenchmarkCall is what a message pays for the way to its handler, beside
// being read: the argument of a typed handler is made once, before.
func BenchmarkCall(b *testing.B) {
	handlers := forms(b)
	for _, name := range []string{
		"Raw", "RawCtx", "RawReply", "RawCtxReply", "RawPointerReply", "GenericRaw",
		"Typed", "TypedCtx", "TypedReply", "TypedCtxReply", "TypedBytesReply", "TypedValueReply", "TypedAnyReply",
		"Generic", "GenericNotify",
	} {
		h := handlers[name]
		b.Run(name, func(b *testing.B) {
			ctx, s, arg, raw := context.Background(), session.NewWithID(nil, 1), h.New(), []byte("payload")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Call(ctx, s, arg, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNew is the argument itself: the one allocation that is the message.
func BenchmarkNew(b *testing.B) {
	handlers := forms(b)
	for _, name := range []string{"Raw", "Typed", "Generic"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = handlers[name].New()
			}
		})
	}
}
