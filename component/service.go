package component

import (
	"errors"
	"fmt"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/lonng/nano/scheduler"
)

// Service holds the handlers that share the first part of their routes. One goroutine builds it;
// then it is immutable.
type Service struct {
	Name      string                   // the part of the routes before the last dot
	Type      reflect.Type             // of the component; nil for a service of functions only
	Receiver  reflect.Value            // the component; the zero Value for a service of functions only
	Handlers  map[string]*Handler      // by the part of the route after the last dot
	SchedName string                   // see [WithSchedulerName]
	Scheduler scheduler.LocalScheduler // see [WithScheduler]

	// Pushes are the types of what the service pushes to clients, by route; see [WithPush].
	Pushes map[string]reflect.Type

	// Misses names the exported methods that take a session or a context but are no handlers, and
	// says why. It is "" if there are none. Methods of embedded types of other packages are not
	// among them. A node logs it at its start.
	Misses string

	nameFunc  func(string) string
	nodesOnly bool
	declared  options // what WithPush, WithAnswer and WithoutAnswer have said
}

// NewService returns the service of a component. Its handlers, and errors of the component, are
// found by [Service.ExtractHandler].
func NewService(comp Component, opts []Option) *Service {
	o := fold(opts)
	s := &Service{
		Name:      o.name,
		Type:      reflect.TypeOf(comp),
		Receiver:  reflect.ValueOf(comp),
		SchedName: o.schedName,
		Scheduler: o.scheduler,
		nameFunc:  o.nameFunc,
		nodesOnly: o.nodesOnly,
		declared:  o,
	}
	if s.Name == "" {
		s.Name = typeName(s.Type)
	}
	return s
}

// typeName is the name of t or of what it points to, "" if there is none.
func typeName(t reflect.Type) string {
	if t == nil {
		return ""
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// ExtractHandler fills Handlers with the methods that are handlers. It returns an error, which
// names all faults, if the component is nil, if its type has no exported name, if no method is a
// handler (the error lists each exported method and why it is none), or if two handlers get the
// same name.
func (s *Service) ExtractHandler() error {
	if s.Type == nil || s.Type.Kind() == reflect.Pointer && s.Receiver.IsNil() {
		return errors.New("component: the component is nil")
	}
	name := typeName(s.Type)
	if name == "" {
		return fmt.Errorf("component: type %s has no name", s.Type)
	}
	if !token.IsExported(name) {
		return fmt.Errorf("component: type %s is not exported", s.Type)
	}

	found, refused, misses := inspect(s.Type)
	if len(found) == 0 {
		return s.noHandlers(refused)
	}
	s.noteMisses(found, misses)
	handlers := make(map[string]*Handler, len(found))
	var errs []error
	for _, h := range found {
		name := h.Method.Name
		if s.nameFunc != nil {
			name = s.nameFunc(name)
		}
		if err := checkRoute(s.Name, name); err != nil {
			errs = append(errs, fmt.Errorf("component: method %s of %s: %w", h.Method.Name, s.Type, err))
			continue
		}
		if other := handlers[name]; other != nil {
			errs = append(errs, fmt.Errorf("component: methods %s and %s of %s are both named %q",
				other.Method.Name, h.Method.Name, s.Type, name))
			continue
		}
		h.bind(s.Receiver)
		h.NodesOnly = s.nodesOnly
		handlers[name] = h
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.Handlers = handlers
	return s.declare(s.declared, found)
}

// noteMisses fills in Misses. Handlers of a pointer are missed, too, where a value was registered.
func (s *Service) noteMisses(found []*Handler, misses []string) {
	if s.Type.Kind() != reflect.Pointer {
		all, _, _ := inspect(reflect.PointerTo(s.Type))
		for _, h := range all {
			if !slices.ContainsFunc(found, func(f *Handler) bool { return f.Method.Name == h.Method.Name }) {
				misses = append(misses, h.Method.Name+": has a pointer receiver: register a pointer")
			}
		}
	}
	if len(misses) > 0 {
		s.Misses = strings.Join(misses, "; ") + "; wanted is " + wantedForm
	}
}

func (s *Service) noHandlers(refused []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "component: type %s has no usable method; wanted is %s", s.Type, wantedForm)
	for _, line := range refused {
		b.WriteString("\n\t")
		b.WriteString(line)
	}
	if s.Type.Kind() != reflect.Pointer {
		if found, _, _ := inspect(reflect.PointerTo(s.Type)); len(found) != 0 {
			fmt.Fprintf(&b, "\n\t%s has a usable method: register a pointer", found[0].Method.Name)
		}
	}
	return errors.New(b.String())
}

// checkRoute checks the two parts of a route.
func checkRoute(service, method string) error {
	switch {
	case service == "":
		return errors.New("the service has no name")
	case method == "":
		return errors.New("the handler has no name")
	case strings.Contains(method, "."):
		return fmt.Errorf("the handler's name %q has a dot, so that no route leads to it", method)
	case strings.TrimSpace(service) != service || strings.TrimSpace(method) != method:
		return fmt.Errorf("there are blanks around a part of the route %q", service+"."+method)
	case len(service)+1+len(method) > maxRoute:
		return fmt.Errorf("the route %q is over %d bytes", service+"."+method, maxRoute)
	}
	return nil
}

// maxRoute is how many bytes of a route fit into a message.
const maxRoute = 255

// Services builds the services of all that was registered, in the order of registration. Functions
// join the service that their route names. Each call returns new services, so that a node can be
// started again.
//
// The error joins all faults: those that ExtractHandler finds in each component, bad routes, two
// services of one name, two handlers of one route, and contradicting options.
func (cs *Components) Services() ([]*Service, error) {
	b := builder{byName: make(map[string]*Service)}
	for _, e := range cs.entries {
		var err error
		if e.handler == nil {
			err = b.component(e)
		} else {
			err = b.function(e)
		}
		if err != nil {
			b.errs = append(b.errs, err)
		}
	}
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	return b.services, nil
}

type builder struct {
	services []*Service
	byName   map[string]*Service
	errs     []error
}

func (b *builder) component(e entry) error {
	s := NewService(e.comp, e.opts)
	if err := s.ExtractHandler(); err != nil {
		return err
	}
	there := b.byName[s.Name]
	switch {
	case there == nil:
		b.add(s)
		return nil
	case there.Type != nil:
		return fmt.Errorf("component: %s and %s are both the service %q (WithName gives another name)", there.Type, s.Type, s.Name)
	}
	// Functions came first: theirs is the place in the order.
	for route, t := range s.Pushes {
		if err := there.push(route, t); err != nil {
			return err
		}
	}
	there.Type, there.Receiver, there.nameFunc, there.Misses = s.Type, s.Receiver, s.nameFunc, s.Misses
	errs := []error{there.schedule(s.SchedName, s.Scheduler)}
	for _, name := range slices.Sorted(maps.Keys(s.Handlers)) {
		errs = append(errs, there.put(name, s.Handlers[name]))
	}
	return errors.Join(errs...)
}

func (b *builder) function(e entry) error {
	dot := strings.LastIndexByte(e.route, '.')
	if dot < 0 {
		return fmt.Errorf("component: route %q is not of the form Service.Method", e.route)
	}
	service, method := e.route[:dot], e.route[dot+1:]
	if err := checkRoute(service, method); err != nil {
		return fmt.Errorf("component: route %q: %w", e.route, err)
	}
	if e.handler.Call == nil {
		return fmt.Errorf("component: route %q: the function is nil", e.route)
	}
	o := fold(e.opts)
	if o.name != "" || o.nameFunc != nil {
		return fmt.Errorf("component: route %q: WithName and WithNameFunc are for components", e.route)
	}
	s := b.byName[service]
	if s == nil {
		s = &Service{Name: service, Handlers: make(map[string]*Handler)}
		b.add(s)
	}
	h := *e.handler // a copy, which the options may change
	return errors.Join(s.schedule(o.schedName, o.scheduler), s.put(method, &h), s.declare(o, []*Handler{&h}))
}

func (b *builder) add(s *Service) {
	b.services = append(b.services, s)
	b.byName[s.Name] = s
}

func (s *Service) put(name string, h *Handler) error {
	if s.Handlers[name] != nil {
		return fmt.Errorf("component: two handlers of the route %q", s.Name+"."+name)
	}
	s.Handlers[name] = h
	return nil
}

// schedule takes over where one more registration wants the service to run.
func (s *Service) schedule(name string, on scheduler.LocalScheduler) error {
	if name != "" {
		if s.SchedName != "" && s.SchedName != name {
			return fmt.Errorf("component: the service %q has two scheduler names, %q and %q", s.Name, s.SchedName, name)
		}
		s.SchedName = name
	}
	if on != nil {
		if s.Scheduler != nil && !same(s.Scheduler, on) {
			return fmt.Errorf("component: the service %q has two schedulers", s.Name)
		}
		s.Scheduler = on
	}
	return nil
}

func same(a, b scheduler.LocalScheduler) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}
