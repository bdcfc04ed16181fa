package schema

import (
	"reflect"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lonng/nano/describe"
)

// message returns the schema of a message as protojson writes it. A type that looks like a message
// and has no descriptor allows everything.
func (b *Builder) message(t reflect.Type) (s *describe.Schema) {
	defer func() {
		if recover() != nil {
			s = &describe.Schema{Description: t.String() + " has no usable descriptor"}
		}
	}()
	var m proto.Message
	switch v := reflect.New(t.Elem()).Interface().(type) {
	case proto.Message:
		m = v
	case protoadapt.MessageV1:
		m = protoadapt.MessageV2Of(v)
	}
	return b.descriptor(m.ProtoReflect().Descriptor())
}

// descriptor returns a reference to the definition of a message, or what a well-known one is.
func (b *Builder) descriptor(md protoreflect.MessageDescriptor) *describe.Schema {
	if s := b.wellKnown(md); s != nil {
		return s
	}
	name := string(md.FullName())
	if b.messages[name] == nil {
		s := typed("object")
		b.messages[name] = s // before its fields, which may be of this type
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			s.Properties = append(s.Properties, describe.Property{Name: fd.JSONName(), Schema: b.property(fd)})
			if fd.Cardinality() == protoreflect.Required {
				s.Required = append(s.Required, fd.JSONName())
			}
		}
	}
	return &describe.Schema{Ref: "#/$defs/" + name}
}

func (b *Builder) property(fd protoreflect.FieldDescriptor) *describe.Schema {
	switch {
	case fd.IsMap():
		s := &describe.Schema{Type: describe.Types{"object"}, AdditionalProperties: b.value(fd.MapValue())}
		switch fd.MapKey().Kind() {
		case protoreflect.StringKind:
		case protoreflect.BoolKind:
			s.PropertyNames = &describe.Schema{Enum: []any{"true", "false"}}
		default:
			s.PropertyNames = &describe.Schema{Pattern: `^-?[0-9]+$`}
		}
		return s
	case fd.IsList():
		return &describe.Schema{Type: describe.Types{"array"}, Items: b.value(fd)}
	}
	s := b.value(fd)
	if one := fd.ContainingOneof(); one != nil && !one.IsSynthetic() {
		var names []string
		for i := range one.Fields().Len() {
			names = append(names, one.Fields().Get(i).JSONName())
		}
		s.Description = "only one of " + strings.Join(names, ", ")
	}
	return s
}

func (b *Builder) value(fd protoreflect.FieldDescriptor) *describe.Schema {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return typed("boolean")
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return signed(32)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return unsigned(32)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return &describe.Schema{Type: describe.Types{"string"}, Format: "int64", Pattern: `^-?[0-9]+$`}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return &describe.Schema{Type: describe.Types{"string"}, Format: "uint64", Pattern: `^[0-9]+$`}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return float()
	case protoreflect.BytesKind:
		return &describe.Schema{Type: describe.Types{"string"}, ContentEncoding: "base64"}
	case protoreflect.EnumKind:
		return enum(fd.Enum())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return b.descriptor(fd.Message())
	}
	return typed("string")
}

func float() *describe.Schema {
	notNumbers := &describe.Schema{Type: describe.Types{"string"}, Enum: []any{"NaN", "Infinity", "-Infinity"}}
	return &describe.Schema{AnyOf: []*describe.Schema{typed("number"), notNumbers}}
}

// enum is the names of an enumeration. Numbers that it does not have are left out, although a newer
// node may send one.
func enum(ed protoreflect.EnumDescriptor) *describe.Schema {
	if ed.FullName() == "google.protobuf.NullValue" {
		return typed("null")
	}
	s := typed("string")
	for i := range ed.Values().Len() {
		s.Enum = append(s.Enum, string(ed.Values().Get(i).Name()))
	}
	return s
}

// wellKnown returns the schema of a message that protojson writes in a way of its own; nil for
// others.
func (b *Builder) wellKnown(md protoreflect.MessageDescriptor) *describe.Schema {
	name, ok := strings.CutPrefix(string(md.FullName()), "google.protobuf.")
	if !ok {
		return nil
	}
	switch name {
	case "Timestamp":
		return &describe.Schema{Type: describe.Types{"string"}, Format: "date-time"}
	case "Duration":
		return &describe.Schema{Type: describe.Types{"string"}, Pattern: `^-?[0-9]+(\.[0-9]{1,9})?s$`, Description: "seconds, such as 1.5s"}
	case "FieldMask":
		return typed("string")
	case "Struct":
		return &describe.Schema{Type: describe.Types{"object"}, AdditionalProperties: new(describe.Schema)}
	case "ListValue":
		return typed("array")
	case "Value":
		return new(describe.Schema)
	case "Any":
		return &describe.Schema{
			Type:                 describe.Types{"object"},
			Properties:           describe.Properties{{Name: "@type", Schema: typed("string")}},
			AdditionalProperties: new(describe.Schema),
		}
	case "DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue", "BytesValue":
		return b.value(md.Fields().ByName("value"))
	}
	return nil
}
