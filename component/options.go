package component

import (
	"reflect"

	"github.com/lonng/nano/scheduler"
)

// Option changes how a component, or the service of a function, is served.
type Option func(options *options)

type options struct {
	name      string
	nameFunc  func(string) string
	schedName string
	scheduler scheduler.LocalScheduler
	nodesOnly bool
	pushes    []push
	answers   []answers
}

// push is a route that a service pushes to clients, and what.
type push struct {
	route string
	typ   reflect.Type
}

// answers says what some handlers that return no reply answer.
type answers struct {
	option  string       // its name
	typ     reflect.Type // nil: nothing
	methods []string     // none: all
}

func fold(opts []Option) options {
	var o options
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

// WithName sets the name of a component's service: the part of its routes before the last dot. The
// default, also for "", is the name of its type. It is for components only: the route of a function
// names the service.
func WithName(name string) Option {
	return func(o *options) { o.name = name }
}

// WithNameFunc sets a function that makes the name of a handler, the part of its route after the
// last dot, from the name of its method: strings.ToLower, for example. The default, also for nil,
// is the method's name. It is for components only.
func WithNameFunc(fn func(string) string) Option {
	return func(o *options) { o.nameFunc = fn }
}

// WithSchedulerName runs the handlers on a scheduler of the session: on the
// scheduler.LocalScheduler that the application has stored in the session under name (Session.Set).
// A message of a session without one fails with [CodeNotFound]; one for a closed scheduler fails
// with [CodeUnavailable]. The default, also for "", is [WithScheduler], which is simpler where all
// sessions share a scheduler.
func WithSchedulerName(name string) Option {
	return func(o *options) { o.schedName = name }
}

// WithScheduler runs the handlers on s. The default, also for nil, is the scheduler of the node.
func WithScheduler(s scheduler.LocalScheduler) Option {
	return func(o *options) { o.scheduler = s }
}

// WithNodesOnly lets only nodes call the handlers: by nano.Call, nano.Notify and the methods of
// nano.App. Messages of clients are refused with [CodeRefused], on every node, and so is
// Session.RPC, which speaks for the client. By default, clients can call any route. For a function,
// the option holds for that function only.
func WithNodesOnly() Option {
	return func(o *options) { o.nodesOnly = true }
}

// WithPush says that the service pushes values of type T to clients under route: with
// Session.Push, a group or App.PushTo. Nothing checks it. Descriptions (nano.App.Describe) have
// it, and so does what is generated from them. It may be used more than once.
func WithPush[T any](route string) Option {
	return func(o *options) { o.pushes = append(o.pushes, push{route, payloadType[T]()}) }
}

// WithAnswer says that handlers which return no reply answer requests with values of type T, by
// Session.Response or ResponseMID. methods are the names of their methods; none: all handlers of
// the component that return no reply, or the function. Nothing checks the answers. Descriptions
// have it, see [WithPush].
func WithAnswer[T any](methods ...string) Option {
	return func(o *options) { o.answers = append(o.answers, answers{"WithAnswer", payloadType[T](), methods}) }
}

// WithoutAnswer says that handlers which return no reply answer nothing: they are for notifies. It
// is otherwise like [WithAnswer].
func WithoutAnswer(methods ...string) Option {
	return func(o *options) { o.answers = append(o.answers, answers{"WithoutAnswer", nil, methods}) }
}

// payloadType is []byte, or a pointer, as handlers take and return them.
func payloadType[T any]() reflect.Type {
	t := reflect.TypeFor[T]()
	if t == typeOfBytes || t.Kind() == reflect.Pointer {
		return t
	}
	return reflect.PointerTo(t)
}
