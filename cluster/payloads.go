package cluster

import (
	"cmp"
	stdjson "encoding/json"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/json"
)

// EncodeRequest returns the payload that a client sends to a route of this node. text is the
// payload as JSON, of the schema that Node.Describe has for it; for a raw handler it is the
// payload.
func (i Inspector) EncodeRequest(route string, text []byte) ([]byte, error) {
	h, err := i.handler(route)
	if err != nil {
		return nil, err
	}
	return encode(i.n.set.Load().table.Serializer, h.Type, text)
}

// DecodeAnswer returns the answer of a route of this node as JSON, of the schema that Node.Describe
// has for it; of a raw answer, and of one whose type is not known, the error has the code
// "not_found".
func (i Inspector) DecodeAnswer(route string, payload []byte) ([]byte, error) {
	h, err := i.handler(route)
	if err != nil {
		return nil, err
	}
	return decode(i.n.set.Load().table.Serializer, cmp.Or(h.Reply, h.Answers), payload)
}

// DecodePush is DecodeAnswer for what a component of this node pushes to a route, see
// component.WithPush.
func (i Inspector) DecodePush(route string, payload []byte) ([]byte, error) {
	services, err := i.services()
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		if t := s.Pushes[route]; t != nil {
			return decode(i.n.set.Load().table.Serializer, t, payload)
		}
	}
	return nil, component.Errorf(component.CodeNotFound, "the node does not say what it pushes to %q", route)
}

func (i Inspector) services() ([]*component.Service, error) {
	if err := i.n.notStarted(); err != nil {
		return nil, err
	}
	return i.n.set.Load().components.Services()
}

func (i Inspector) handler(route string) (*component.Handler, error) {
	name, err := dispatch.ServiceOf(route)
	if err != nil {
		return nil, err
	}
	services, err := i.services()
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		if s.Name == name {
			if h := s.Handlers[route[len(name)+1:]]; h != nil {
				return h, nil
			}
		}
	}
	return nil, component.Errorf(component.CodeNotFound, "the node has no handler for route %q", route)
}

// encode makes a payload of type t of its JSON.
func encode(s serialize.Serializer, t reflect.Type, text []byte) ([]byte, error) {
	if t == typeOfBytes {
		return text, nil
	}
	v := newOf(t)
	var err error
	if m := messageFor(s, v); m != nil {
		err = protojson.Unmarshal(text, m)
	} else {
		err = stdjson.Unmarshal(text, v)
	}
	if err != nil {
		return nil, component.Errorf(component.CodeInvalid, "the JSON is not what %v takes: %w", t, err)
	}
	payload, err := s.Marshal(v)
	if err != nil {
		return nil, component.Errorf(component.CodeInvalid, "%v cannot be a payload: %w", t, err)
	}
	return payload, nil
}

// decode makes JSON of a payload of type t.
func decode(s serialize.Serializer, t reflect.Type, payload []byte) ([]byte, error) {
	if t == nil || t == typeOfBytes {
		return nil, component.Errorf(component.CodeNotFound, "the node does not say what the payload is")
	}
	v := newOf(t)
	if err := s.Unmarshal(payload, v); err != nil {
		return nil, component.Errorf(component.CodeInvalid, "the payload is no %v: %w", t, err)
	}
	var text []byte
	var err error
	if m := messageFor(s, v); m != nil {
		text, err = protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	} else {
		text, err = stdjson.Marshal(v)
	}
	if err != nil {
		return nil, component.Errorf(component.CodeInvalid, "the %v cannot be JSON: %w", t, err)
	}
	return text, nil
}

var typeOfBytes = reflect.TypeFor[[]byte]()

// newOf returns a pointer to a new value of t, or of what t points to.
func newOf(t reflect.Type) any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return reflect.New(t).Interface()
}

// messageFor returns v as the protobuf message whose JSON form descriptions have; nil for a value
// that they describe as encoding/json writes it.
func messageFor(s serialize.Serializer, v any) proto.Message {
	if _, ok := s.(*json.Serializer); ok {
		return nil
	}
	switch m := v.(type) {
	case proto.Message:
		return m
	case protoadapt.MessageV1:
		return protoadapt.MessageV2Of(m)
	}
	return nil
}
