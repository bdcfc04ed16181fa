package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/describe"
	"github.com/lonng/nano/internal/schema"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
)

// description is what Node.Describe returns.
func description(n *Node) (*describe.Description, error) {
	components, serializer := n.Options.Components, n.Options.Serializer
	var elsewhere []string
	if n.ready.Load() {
		set := n.set.Load()
		components, serializer = set.components, set.table.Serializer
		own := n.Handler().LocalService()
		elsewhere = slices.DeleteFunc(n.Handler().RemoteService(), func(s string) bool { return slices.Contains(own, s) })
	}
	if components == nil {
		components = new(component.Components)
	}
	services, err := components.Services()
	if err != nil {
		return nil, fmt.Errorf("cluster: describe the node: %w", err)
	}
	d := &describe.Description{
		Draft: describe.Draft, Format: describe.Format,
		Serializer: serializerName(serializer), Services: []describe.Service{}, Elsewhere: elsewhere,
	}
	b := schema.New(d.Serializer)
	for _, s := range services {
		d.Services = append(d.Services, describeService(b, s))
	}
	d.Defs = b.Defs()
	return d, nil
}

func serializerName(s serialize.Serializer) string {
	switch s.(type) {
	case nil, *protobuf.Serializer:
		return describe.Protobuf
	case *json.Serializer:
		return describe.JSON
	}
	return fmt.Sprintf("%T", s)
}

func describeService(b *schema.Builder, s *component.Service) describe.Service {
	out := describe.Service{Name: s.Name, Routes: []describe.Route{}}
	if s.Type != nil {
		out.Type = s.Type.String()
	}
	for _, name := range slices.Sorted(maps.Keys(s.Handlers)) {
		out.Routes = append(out.Routes, describeRoute(b, s.Name+"."+name, s.Handlers[name]))
	}
	for _, route := range slices.Sorted(maps.Keys(s.Pushes)) {
		out.Pushes = append(out.Pushes, describe.Push{Route: route, Payload: b.Payload(s.Pushes[route])})
	}
	return out
}

func describeRoute(b *schema.Builder, name string, h *component.Handler) describe.Route {
	r := describe.Route{Route: name, Form: describe.FormUnknown, Request: b.Payload(h.Type), NodesOnly: h.NodesOnly}
	switch answers := cmp.Or(h.Reply, h.Answers); {
	case answers != nil:
		p := b.Payload(answers)
		r.Form, r.Response = describe.FormRequest, &p
	case h.AnswersNothing:
		r.Form = describe.FormNotify
	}
	return r
}
