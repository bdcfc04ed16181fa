package component

import (
	"fmt"
	"reflect"
	"slices"
)

// wantedForm describes the forms of a handler in error messages.
const wantedForm = "func([context.Context,] *session.Session, []byte or a pointer) ([reply,] error)"

// lifecycle are the methods of Component, which are never handlers.
var lifecycle = reflect.TypeFor[Component]()

// inspect returns the methods of t that are handlers, in the order of their
// names, and for the other exported ones what is wrong with them. Of those,
// misses are the ones that look as if they were meant to be handlers.
func inspect(t reflect.Type) (found []*Handler, refused, misses []string) {
	for i := range t.NumMethod() {
		m := t.Method(i)
		if _, ok := lifecycle.MethodByName(m.Name); ok {
			continue
		}
		h, problem := signature(m)
		if problem != "" {
			line := fmt.Sprintf("%s: %s", m.Name, problem)
			refused = append(refused, line)
			if isMeant(m) && !isBorrowed(t, m) {
				misses = append(misses, line)
			}
			continue
		}
		found = append(found, h)
	}
	return found, refused, misses
}

// isMeant reports whether a method that is no handler takes what handlers take:
// others are the application's own business.
func isMeant(m reflect.Method) bool {
	in, _ := types(m.Type)
	return slices.ContainsFunc(in[1:], func(t reflect.Type) bool {
		return t == typeOfSession || t == typeOfSession.Elem() || t == typeOfContext
	})
}

// isBorrowed reports whether m comes from an embedded type of another package, such as nano.Group:
// its form is not the application's mistake.
func isBorrowed(t reflect.Type, m reflect.Method) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	in, out := types(m.Type)
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		from, receivers := f.Type, 1
		if from.Kind() == reflect.Pointer {
			from = from.Elem()
		}
		if !f.Anonymous || from.PkgPath() == t.PkgPath() {
			return false
		}
		if from.Kind() == reflect.Interface {
			receivers = 0
		} else {
			from = reflect.PointerTo(from)
		}
		its, ok := from.MethodByName(m.Name)
		if !ok {
			return false
		}
		itsIn, itsOut := types(its.Type)
		return slices.Equal(itsIn[receivers:], in[1:]) && slices.Equal(itsOut, out) // else t has another one of that name
	})
}

// signature returns the handler that m is, or what is wrong with m.
func signature(m reflect.Method) (h *Handler, problem string) {
	in, out := types(m.Type)
	in = in[1:] // the receiver
	h = &Handler{Method: m}
	if len(in) > 0 && in[0] == typeOfContext {
		h.NeedsContext = true
		in = in[1:]
	}
	switch {
	case m.Type.IsVariadic():
		return nil, "takes a variable number of parameters"
	case !slices.Contains(in, typeOfSession):
		return nil, "takes no *session.Session"
	case in[0] != typeOfSession:
		return nil, fmt.Sprintf("takes %s where *session.Session is to be", in[0])
	case len(in) == 1:
		return nil, "takes no argument after the session"
	case len(in) > 2:
		return nil, "takes more than one argument after the session"
	}
	h.Type = in[1]
	h.IsRawArg = h.Type == typeOfBytes
	if !h.IsRawArg && h.Type.Kind() != reflect.Pointer {
		return nil, fmt.Sprintf("takes %s as its argument, which is neither []byte nor a pointer", h.Type)
	}
	switch {
	case len(out) == 0:
		return nil, "returns no error"
	case out[len(out)-1] != typeOfError:
		return nil, fmt.Sprintf("returns %s where error is to be", out[len(out)-1])
	case len(out) > 2:
		return nil, "returns more than a reply and an error"
	}
	if h.HasReply = len(out) == 2; h.HasReply {
		h.Reply = out[0]
	}
	return h, ""
}

// types returns the types of the parameters and the results of a func.
func types(fn reflect.Type) (in, out []reflect.Type) {
	for i := range fn.NumIn() {
		in = append(in, fn.In(i))
	}
	for i := range fn.NumOut() {
		out = append(out, fn.Out(i))
	}
	return in, out
}
