package gen

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/lonng/nano/describe"
)

// Check returns what is wrong with a description that comes from elsewhere. One that passes can be
// given to the other functions: it lacks no part, and its names do not end a comment or a string of
// the code that is made of it, nor do anything to a terminal.
func Check(d *describe.Description) error {
	c := checker{defs: d.Defs}
	for name, s := range d.Defs {
		c.name("a definition", name)
		c.schema(name, s)
	}
	for _, s := range d.Services {
		c.name("a service", s.Name)
		c.name("a service's type", s.Type)
		for i := range s.Routes {
			r := &s.Routes[i]
			c.name("a route", r.Route)
			c.payload(r.Route, r.Request)
			if r.Response != nil {
				c.payload(r.Route, *r.Response)
			}
		}
		for _, p := range s.Pushes {
			c.name("a push", p.Route)
			c.payload(p.Route, p.Payload)
		}
	}
	for _, name := range d.Elsewhere {
		c.name("a service elsewhere", name)
	}
	c.name("the serializer", d.Serializer)
	return c.err
}

// checker keeps the first mistake.
type checker struct {
	defs map[string]*describe.Schema
	err  error
}

func (c *checker) bad(format string, a ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("the description is malformed: "+format, a...)
	}
}

func (c *checker) name(what, name string) {
	if strings.ContainsFunc(name, func(r rune) bool { return r == '`' || !unicode.IsPrint(r) }) {
		c.bad("%s is called %q", what, name)
	}
}

func (c *checker) payload(route string, p describe.Payload) {
	if p.Schema != nil {
		c.schema(route, p.Schema)
	}
	c.name("the Go type of "+route, p.Go)
}

// schema checks one that must be there, and its parts.
func (c *checker) schema(in string, s *describe.Schema) {
	if s == nil {
		c.bad("%s has a part without a schema", in)
		return
	}
	if s.Ref != "" && c.defs[strings.TrimPrefix(s.Ref, toDef)] == nil {
		c.bad("%s refers to %q, which is not there", in, s.Ref)
	}
	if s.MinItems < 0 || s.MaxItems != nil && *s.MaxItems < 0 {
		c.bad("%s has an array with fewer than 0 elements", in)
	}
	for _, t := range s.Type {
		c.name("a type in "+in, t)
	}
	for _, part := range s.AnyOf {
		c.schema(in, part)
	}
	for _, p := range s.Properties {
		c.name("a property of "+in, p.Name)
		c.schema(in, p.Schema)
	}
	for _, part := range []*describe.Schema{s.Items, s.PropertyNames, s.AdditionalProperties, s.Not} {
		if part != nil {
			c.schema(in, part)
		}
	}
}
