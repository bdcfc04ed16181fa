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
