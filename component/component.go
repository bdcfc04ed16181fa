package component

// Component is a part of an application: its handlers, and four hooks. The node calls Init and
// AfterInit when it starts, in the order of registration, and BeforeShutdown and Shutdown when it
// stops, in reverse; each hook for one component at a time. Hooks do not run on the scheduler: Init
// and AfterInit run before the first handler, but handlers and timers may run at the same time as
// the other two.
type Component interface {
	// Init is called before the node serves anybody.
	Init()
	// AfterInit is called when Init of all components has returned.
	AfterInit()
	// BeforeShutdown is called when the node begins to stop. The sessions still exist, and what is
	// sent to them arrives.
	BeforeShutdown()
	// Shutdown is called when BeforeShutdown of all components has returned.
	Shutdown()
}

// Base is a Component that does nothing. Embed it, and write only the hooks that you need.
type Base struct{}

// Init does nothing.
func (*Base) Init() {}

// AfterInit does nothing.
func (*Base) AfterInit() {}

// BeforeShutdown does nothing.
func (*Base) BeforeShutdown() {}

// Shutdown does nothing.
func (*Base) Shutdown() {}

// CompWithOptions is a component and its options.
type CompWithOptions struct {
	Comp Component
	Opts []Option
}

// Components is what an application registers with a node: components, and functions by [Handle],
// [HandleNotify] and [HandleRaw]. The zero value is empty and ready. One goroutine fills it, before
// the node starts.
type Components struct {
	entries []entry
}

// entry is one registration: a component, or one function with its route.
type entry struct {
	comp    Component
	route   string
	handler *Handler // nil for a component
	opts    []Option
}

// Register adds a component. The start of the node reports what is wrong with it.
func (cs *Components) Register(c Component, options ...Option) {
	cs.entries = append(cs.entries, entry{comp: c, opts: options})
}

// List returns the components in the order of registration, without the functions.
func (cs *Components) List() []CompWithOptions {
	var list []CompWithOptions
	for _, e := range cs.entries {
		if e.handler == nil {
			list = append(list, CompWithOptions{Comp: e.comp, Opts: e.opts})
		}
	}
	return list
}
