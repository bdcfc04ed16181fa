package cluster

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/serialize/protobuf"
)

// warn tells the programmer at the start what is allowed and most likely a mistake: nobody may
// notice it later. For who debugs it lists the routes.
func (s *settings) warn(name string, services []*component.Service) {
	log := s.log // all of it comes from the program itself: nothing to limit
	var unfit []string
	for _, c := range services {
		if c.Misses != "" {
			log.Warn("methods of a component are no handlers", "component", c.Name, "methods", c.Misses)
		}
		for _, method := range slices.Sorted(maps.Keys(c.Handlers)) {
			h, route := c.Handlers[method], c.Name+"."+method
			log.Debug("route served", "route", route, "argument", h.Type.String())
			if s.serializerUnset && !h.IsRawArg && !isProtobuf(h.New()) {
				unfit = append(unfit, route)
			}
		}
	}
	if len(unfit) > 0 {
		log.Warn("handlers take no protobuf messages, but the serializer is protobuf, which is the default: for JSON use nano.WithSerializer(json.NewSerializer())",
			"routes", strings.Join(unfit, ", "))
	}
	if len(services) == 0 && len(s.endpoints) == 0 && !s.clustered {
		log.Warn("node has neither clients nor components nor a cluster: see WithComponents, WithClientAddr and WithMaster", "name", name)
	}
}

// isProtobuf tells whether the serializer that is the default can read a payload into arg.
func isProtobuf(arg any) bool {
	err := protobuf.NewSerializer().Unmarshal(nil, arg)
	return !errors.Is(err, protobuf.ErrWrongValueType)
}
