package component

import (
	"fmt"
	"reflect"
	"slices"
)

// declare notes what options say about the pushes of the service and the answers of its handlers.
// The handlers are those of one component, or one function.
func (s *Service) declare(o options, handlers []*Handler) error {
	for _, p := range o.pushes {
		if err := s.push(p.route, p.typ); err != nil {
			return err
		}
	}
	for _, a := range o.answers {
		if err := s.answer(a, handlers); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) push(route string, t reflect.Type) error {
	switch was := s.Pushes[route]; {
	case route == "" || len(route) > maxRoute:
		return fmt.Errorf("component: service %q: WithPush: the route %.40q has %d bytes, and may have 1 to %d", s.Name, route, len(route), maxRoute)
	case was != nil && was != t:
		return fmt.Errorf("component: service %q: WithPush: the route %q has two types, %s and %s", s.Name, route, was, t)
	case s.Pushes == nil:
		s.Pushes = make(map[string]reflect.Type)
	}
	s.Pushes[route] = t
	return nil
}

func (s *Service) answer(a answers, handlers []*Handler) error {
	for _, name := range a.methods {
		at := slices.IndexFunc(handlers, func(h *Handler) bool { return h.Method.Name == name })
		switch {
		case name == "" || at < 0:
			return fmt.Errorf("component: service %q: %s(%q): there is no such handler", s.Name, a.option, name)
		case handlers[at].HasReply:
			return fmt.Errorf("component: service %q: %s(%q): the handler returns its reply", s.Name, a.option, name)
		}
	}
	for _, h := range handlers {
		if h.HasReply || len(a.methods) > 0 && !slices.Contains(a.methods, h.Method.Name) {
			continue
		}
		h.Answers, h.AnswersNothing = a.typ, a.typ == nil
	}
	return nil
}
