package component

// Component is a part of an application: its handlers, and the four moments of
// its life. The node calls Init and AfterInit when it starts and
// BeforeShutdown and Shutdown when it stops, each for one component at a time:
// the first two in the order of registration, the others in reverse. It calls
// them on goroutines of its own, not on the scheduler: Init and AfterInit run
// before the first handler, but handlers and timers may run beside the other two.
type Component interface {
	// Init is called before the node serves anybody.
	Init()
	// AfterInit is called when Init of all components has returned.
	AfterInit()
	// BeforeShutdown is called when the node has begun to stop. The sessions
	// are there still, and what is sent to them arrives.
	BeforeShutdown()
	// Shutdown is called when BeforeShutdown of all components has returned.
	Shutdown()
}

// Base is a Component that does nothing. Embedding it leaves the methods to
// write that are needed.
type Base struct{}

// Init does nothing.
func (*Base) Init() {}

// AfterInit does nothing.
func (*Base) AfterInit() {}

// BeforeShutdown does nothing.
func (*Base) BeforeShutdown() {}

// Shutdown does nothing.
func (*Base) Shutdown() {}

// CompWithOptions is a component and what it was registered with.
type CompWithOptions struct {
	Comp Component
	Opts []Option
}

// Components is what an application registers with a node: components, and
// functions by [Handle] and its like. The zero value is empty and ready. It is
// filled by one goroutine, before the node starts.
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

// Register adds a component. What is wrong with it is reported when the node
// starts.
func (cs *Components) Register(c Component, options ...Option) {
	cs.entries = append(cs.entries, entry{comp: c, opts: options})
}

// List returns the components in the order in which they were registered;
// functions are not among them.
func (cs *Components) List() []CompWithOptions {
	var list []CompWithOptions
	for _, e := range cs.entries {
		if e.handler == nil {
			list = append(list, CompWithOptions{Comp: e.comp, Opts: e.opts})
		}
	}
	return list
}
