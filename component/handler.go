package component

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/lonng/nano/session"
)

// Handler is the function of one route, ready to be called. It is immutable and may be used by any
// number of goroutines at once.
type Handler struct {
	Receiver reflect.Value  // the component; the zero Value for a function
	Method   reflect.Method // the zero Method for a function
	Type     reflect.Type   // of the argument: a pointer type, or []byte
	IsRawArg bool           // the argument is the payload as it came

	// HasReply says that the function returns a reply, which answers the request.
	HasReply bool
	// Reply is the type of the reply; nil without HasReply. A nil reply is answered as the
	// serializer writes a nil of this type.
	Reply reflect.Type
	// Answers is the type of what a handler without a reply answers by itself (see [WithAnswer]);
	// nil if that is not known.
	Answers reflect.Type
	// AnswersNothing says that a handler without a reply is for notifies (see [WithoutAnswer]).
	AnswersNothing bool
	// NeedsContext says that the function takes a context. Otherwise Call takes a nil one, too.
	NeedsContext bool
	// NodesOnly says that the node refuses clients, see [WithNodesOnly].
	NodesOnly bool
	// New returns a new argument for the serializer to fill: a value of Type, or nil if IsRawArg.
	New func() any
	// Call calls the function with raw if IsRawArg, else with arg, which New has made. The reply is
	// nil without HasReply, with an error, and if the function has returned a nil pointer or
	// interface. Call does not recover from a panic of the function.
	Call func(ctx context.Context, s *session.Session, arg any, raw []byte) (reply any, err error)
}

var (
	typeOfAny     = reflect.TypeFor[any]()
	typeOfBytes   = reflect.TypeFor[[]byte]()
	typeOfContext = reflect.TypeFor[context.Context]()
	typeOfError   = reflect.TypeFor[error]()
	typeOfSession = reflect.TypeFor[*session.Session]()
)

// bind completes h, of which the signature is known already, for the component
// recv.
func (h *Handler) bind(recv reflect.Value) {
	h.Receiver = recv
	h.New = h.maker()
	if h.Call = h.direct(); h.Call == nil {
		h.Call = h.reflected(recv.Method(h.Method.Index))
	}
}

// maker returns what makes an argument.
func (h *Handler) maker() func() any {
	if h.IsRawArg {
		return func() any { return nil }
	}
	elem, named := h.Type.Elem(), h.Type.Name() != ""
	return func() any {
		v := reflect.New(elem)
		if named { // type T *Message
			v = v.Convert(h.Type)
		}
		return v.Interface()
	}
}

func (h *Handler) wrongArgument(arg any) error {
	return fmt.Errorf("%w: %T instead of %s", errArgument, arg, h.Type)
}

// frame holds the arguments of one call by reflection. The context and the
// payload lie in it, and args refers to them there, so that neither is boxed.
type frame struct {
	ctx  context.Context
	raw  []byte
	args [3]reflect.Value
}

// reflected returns Call by reflection, which serves every form.
func (h *Handler) reflected(fn reflect.Value) func(context.Context, *session.Session, any, []byte) (any, error) {
	var (
		withContext = h.NeedsContext
		withReply   = h.HasReply
		isRaw       = h.IsRawArg
		argType     = h.Type
	)
	frames := &sync.Pool{New: func() any {
		f := new(frame)
		f.args[0] = reflect.ValueOf(&f.ctx).Elem()
		if isRaw {
			f.args[2] = reflect.ValueOf(&f.raw).Elem()
		}
		return f
	}}
	return func(ctx context.Context, s *session.Session, arg any, raw []byte) (any, error) {
		if !isRaw && reflect.TypeOf(arg) != argType {
			return nil, h.wrongArgument(arg)
		}
		f := frames.Get().(*frame)
		args := f.args[1:]
		if withContext {
			f.ctx, args = ctx, f.args[:]
		}
		f.args[1] = reflect.ValueOf(s)
		if isRaw {
			f.raw = raw
		} else {
			f.args[2] = reflect.ValueOf(arg)
		}

		out := fn.Call(args)

		f.ctx, f.raw = nil, nil
		f.args[1] = reflect.Value{}
		if !isRaw {
			f.args[2] = reflect.Value{}
		}
		frames.Put(f)

		if err, _ := out[len(out)-1].Interface().(error); err != nil || !withReply {
			return nil, err
		}
		if k := out[0].Kind(); (k == reflect.Pointer || k == reflect.Interface) && out[0].IsNil() {
			return nil, nil
		}
		return out[0].Interface(), nil
	}
}
