package component

import (
	"context"
	"reflect"
	"unsafe"

	"github.com/lonng/nano/session"
)

// A call by reflection costs some 300 ns and two to four allocations, which
// is more than all else that a small message pays for its dispatch. This file
// calls methods without it. It is the only place in the package that uses
// unsafe, and it rests on one thing: all pointers, whatever they point to, are
// passed and returned in the same way, so that a
//
//	func(*Room, *session.Session, *Join) (*Joined, error)
//
// may be called as a
//
//	func(unsafe.Pointer, *session.Session, unsafe.Pointer) (unsafe.Pointer, error)
//
// What else a signature may hold is written out with its own type. A form that
// is not among these returns nil from direct, and is called by reflection.

// word stands for a pointer to a type that is known at run time only.
type word = unsafe.Pointer

// invoke calls a method with an argument of type A, []byte or word.
type invoke[A any] func(ctx context.Context, s *session.Session, arg A) (reply any, err error)

// direct returns Call without reflection, nil if there is none for the form.
func (h *Handler) direct() func(context.Context, *session.Session, any, []byte) (any, error) {
	if h.Receiver.Kind() != reflect.Pointer {
		return nil
	}
	if h.IsRawArg {
		f := direct[[]byte](h)
		if f == nil {
			return nil
		}
		return func(ctx context.Context, s *session.Session, _ any, raw []byte) (any, error) {
			return f(ctx, s, raw)
		}
	}
	f := direct[word](h)
	if f == nil {
		return nil
	}
	return func(ctx context.Context, s *session.Session, arg any, _ []byte) (any, error) {
		if reflect.TypeOf(arg) != h.Type {
			return nil, h.wrongArgument(arg)
		}
		return f(ctx, s, reflect.ValueOf(arg).UnsafePointer())
	}
}

func direct[A any](h *Handler) invoke[A] {
	if !h.HasReply {
		return withoutReply[A](h)
	}
	switch t := h.Method.Type.Out(0); {
	case t == typeOfBytes:
		return withReply[A](h, func(b []byte) any { return b })
	case t == typeOfAny:
		return withReply[A](h, func(v any) any { return v })
	case t.Kind() == reflect.Pointer && t.Name() == "":
		elem := t.Elem()
		return withReply[A](h, func(p word) any {
			if p == nil {
				return nil
			}
			return reflect.NewAt(elem, p).Interface()
		})
	}
	return nil
}

func withoutReply[A any](h *Handler) invoke[A] {
	recv := h.Receiver.UnsafePointer()
	if h.NeedsContext {
		f := as[func(word, context.Context, *session.Session, A) error](h.Method.Func)
		return func(ctx context.Context, s *session.Session, arg A) (any, error) {
			return nil, f(recv, ctx, s, arg)
		}
	}
	f := as[func(word, *session.Session, A) error](h.Method.Func)
	return func(_ context.Context, s *session.Session, arg A) (any, error) {
		return nil, f(recv, s, arg)
	}
}

func withReply[A, R any](h *Handler, box func(R) any) invoke[A] {
	recv := h.Receiver.UnsafePointer()
	if h.NeedsContext {
		f := as[func(word, context.Context, *session.Session, A) (R, error)](h.Method.Func)
		return func(ctx context.Context, s *session.Session, arg A) (any, error) {
			reply, err := f(recv, ctx, s, arg)
			if err != nil {
				return nil, err
			}
			return box(reply), nil
		}
	}
	f := as[func(word, *session.Session, A) (R, error)](h.Method.Func)
	return func(_ context.Context, s *session.Session, arg A) (any, error) {
		reply, err := f(recv, s, arg)
		if err != nil {
			return nil, err
		}
		return box(reply), nil
	}
}

// as returns the func in fn as an F, which must differ from its type in
// pointers only.
func as[F any](fn reflect.Value) F {
	p := reflect.New(fn.Type())
	p.Elem().Set(fn)
	return *(*F)(p.UnsafePointer())
}
