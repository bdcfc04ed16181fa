package component

import "github.com/lonng/nano/scheduler"

// Option changes how a component, or the service of a function, is served.
type Option func(options *options)

type options struct {
	name      string
	nameFunc  func(string) string
	schedName string
	scheduler scheduler.LocalScheduler
	nodesOnly bool
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

// WithName sets the name of a component's service: the part of its routes
// before the last dot. The default, also for "", is the name of its type. It
// is for components, not for functions, whose route says it.
func WithName(name string) Option {
	return func(o *options) { o.name = name }
}

// WithNameFunc makes the name of a handler, the part of its route after the
// last dot, from the name of its method: strings.ToLower, for instance. The
// default, also for nil, is the method's name. It is for components, not for
// functions.
func WithNameFunc(fn func(string) string) Option {
	return func(o *options) { o.nameFunc = fn }
}

// WithSchedulerName has the handlers run on a scheduler that each session
// brings: the scheduler.LocalScheduler that the application has put into the
// session under name (Session.Set). A message of a session without one fails,
// as in v0.5, with [CodeNotFound]; one for a scheduler that was closed with
// [CodeUnavailable]. The default, also for "", is not to look. Where the scheduler is
// the same for all sessions [WithScheduler] is simpler.
func WithSchedulerName(name string) Option {
	return func(o *options) { o.schedName = name }
}

// WithScheduler runs the handlers on s. The default, also for nil, is the
// scheduler of the node.
func WithScheduler(s scheduler.LocalScheduler) Option {
	return func(o *options) { o.scheduler = s }
}

// WithNodesOnly has the handlers serve other nodes only, and this one: they are
// reached by nano.Call and Notify and their like, in the name of a node. What a
// client sends is refused with [CodeRefused], be it connected here or behind a
// gate, and so is Session.RPC, which speaks for the client. The default is that
// clients can name any route. With a function it is about that function only.
func WithNodesOnly() Option {
	return func(o *options) { o.nodesOnly = true }
}
