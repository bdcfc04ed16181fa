package describe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const toDef = "#/$defs/"

// Merge joins the descriptions of several nodes to one of the cluster. A service that several nodes
// run is there once, with the routes and pushes of all. Types of one name that differ get numbers.
// Merge fails if nodes have different serializers, or different payloads for one route or push. The
// serializer of a node without services, such as a gate, says nothing of what others take. The
// arguments stay as they are.
func Merge(all ...*Description) (*Description, error) {
	m := merger{
		out:      &Description{Draft: Draft, Format: Format, Services: []Service{}, Defs: map[string]*Schema{}},
		closures: make(map[string]string),
	}
	out, served := m.out, false
	for i, d := range all {
		d, err := clone(d)
		if err != nil {
			return nil, err
		}
		switch {
		case d.Format != Format:
			return nil, fmt.Errorf("describe: merge: the format is %d, and this program reads %d", d.Format, Format)
		case i == 0, !served && len(d.Services) > 0:
			out.Serializer = d.Serializer
		case len(d.Services) > 0 && d.Serializer != out.Serializer:
			return nil, fmt.Errorf("describe: merge: one node has the serializer %q, another %q", out.Serializer, d.Serializer)
		}
		served = served || len(d.Services) > 0
		m.addDefs(d)
		for _, s := range d.Services {
			if err := m.addService(s); err != nil {
				return nil, err
			}
		}
		out.Elsewhere = append(out.Elsewhere, d.Elsewhere...)
	}
	slices.Sort(out.Elsewhere)
	out.Elsewhere = slices.DeleteFunc(slices.Compact(out.Elsewhere), func(name string) bool { return m.service(name) != nil })
	return out, nil
}

// merger is a description that others are added to.
type merger struct {
	out      *Description
	closures map[string]string // of each definition in out: what closure has said
}

func clone(d *Description) (*Description, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("describe: merge: %w", err)
	}
	c := new(Description)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("describe: merge: %w", err)
	}
	return c, nil
}

// addDefs takes over the definitions of d. One that differs from that of the same name gets the
// next number that is free, and d refers to it by that.
func (m *merger) addDefs(d *Description) {
	names := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(d.Defs)) {
		closure := d.closure(name)
		as := name
		for i := 2; m.out.Defs[as] != nil && m.closures[as] != closure; i++ {
			as = fmt.Sprintf("%s%d", name, i)
		}
		names[toDef+name] = toDef + as
		m.out.Defs[as], m.closures[as] = d.Defs[name], closure
	}
	d.walk(func(s *Schema) {
		if to, ok := names[s.Ref]; ok {
			s.Ref = to
		}
	})
}

// closure is a definition with all that it refers to, as a text that is equal for equal ones.
func (d *Description) closure(name string) string {
	reached := map[string]*Schema{}
	var reach func(name string)
	reach = func(name string) {
		s := d.Defs[name]
		if s == nil || reached[name] != nil {
			return
		}
		reached[name] = s
		s.walk(func(part *Schema) { reach(strings.TrimPrefix(part.Ref, toDef)) })
	}
	reach(name)
	text, err := json.Marshal(reached)
	if err != nil { // what came from JSON can be JSON
		return name
	}
	return name + string(text)
}

// walk calls visit for every schema of the description.
func (d *Description) walk(visit func(*Schema)) {
	for _, s := range d.Defs {
		s.walk(visit)
	}
	for _, svc := range d.Services {
		for _, r := range svc.Routes {
			r.Request.Schema.walk(visit)
			if r.Response != nil {
				r.Response.Schema.walk(visit)
			}
		}
		for _, p := range svc.Pushes {
			p.Payload.Schema.walk(visit)
		}
	}
}

func (s *Schema) walk(visit func(*Schema)) {
	if s == nil {
		return
	}
	visit(s)
	for _, part := range append([]*Schema{s.Items, s.PropertyNames, s.AdditionalProperties, s.Not}, s.AnyOf...) {
		part.walk(visit)
	}
	for _, p := range s.Properties {
		p.Schema.walk(visit)
	}
}

func equal(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func (m *merger) service(name string) *Service {
	for i := range m.out.Services {
		if m.out.Services[i].Name == name {
			return &m.out.Services[i]
		}
	}
	return nil
}

func (m *merger) addService(s Service) error {
	there := m.service(s.Name)
	if there == nil {
		m.out.Services = append(m.out.Services, s)
		return nil
	}
	for _, r := range s.Routes {
		at := slices.IndexFunc(there.Routes, func(o Route) bool { return o.Route == r.Route })
		switch {
		case at < 0:
			there.Routes = append(there.Routes, r)
		case !equal(there.Routes[at], r):
			return fmt.Errorf("describe: merge: two nodes have different handlers of the route %q", r.Route)
		}
	}
	for _, p := range s.Pushes {
		at := slices.IndexFunc(there.Pushes, func(o Push) bool { return o.Route == p.Route })
		switch {
		case at < 0:
			there.Pushes = append(there.Pushes, p)
		case !equal(there.Pushes[at], p):
			return fmt.Errorf("describe: merge: two nodes have different pushes of the route %q", p.Route)
		}
	}
	slices.SortFunc(there.Routes, func(a, b Route) int { return strings.Compare(a.Route, b.Route) })
	slices.SortFunc(there.Pushes, func(a, b Push) int { return strings.Compare(a.Route, b.Route) })
	return nil
}
