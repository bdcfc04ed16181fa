package schema

import (
	"encoding"
	"encoding/json"
	"math/big"
	"reflect"
	"strconv"
	"time"

	"github.com/lonng/nano/describe"
)

var (
	typeOfSchemer     = reflect.TypeFor[describe.Schemer]()
	typeOfMarshaler   = reflect.TypeFor[json.Marshaler]()
	typeOfUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	typeOfText        = reflect.TypeFor[encoding.TextMarshaler]()
	typeOfFromText    = reflect.TypeFor[encoding.TextUnmarshaler]()
	typeOfTime        = reflect.TypeFor[time.Time]()
	typeOfDuration    = reflect.TypeFor[time.Duration]()
	typeOfNumber      = reflect.TypeFor[json.Number]()
	typeOfRaw         = reflect.TypeFor[json.RawMessage]()
	typeOfBig         = reflect.TypeFor[big.Int]()
)

func typed(names ...string) *describe.Schema { return &describe.Schema{Type: names} }

// of returns the schema of a type. A nil slice, map or pointer is not in it: nullable adds that
// where it can be.
func (b *Builder) of(t reflect.Type) *describe.Schema {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		return b.of(t.Elem())
	}
	switch t {
	case typeOfTime:
		return &describe.Schema{Type: describe.Types{"string"}, Format: "date-time"}
	case typeOfDuration:
		return &describe.Schema{Type: describe.Types{"integer"}, Format: "int64", Description: "nanoseconds"}
	case typeOfNumber:
		return typed("number")
	case typeOfRaw:
		return new(describe.Schema)
	case typeOfBig:
		return typed("integer")
	}
	if t.Name() == "" || t.PkgPath() == "" {
		return b.content(t)
	}
	d := b.types[t]
	if d == nil {
		if !b.isDefinition(t) {
			return b.content(t)
		}
		d = &definition{schema: new(describe.Schema), order: len(b.types)}
		b.types[t] = d // before its fields, which may be of this type
		*d.schema = *b.content(t)
	}
	use := &describe.Schema{Ref: "#"} // until Defs knows the name
	d.uses = append(d.uses, use)
	return use
}

// isDefinition reports whether a named type is worth a definition: it has parts, may hold itself,
// or says its schema.
func (b *Builder) isDefinition(t reflect.Type) bool {
	switch {
	case is(t, typeOfSchemer):
		return true
	case is(t, typeOfMarshaler), is(t, typeOfUnmarshaler), is(t, typeOfText), is(t, typeOfFromText):
		return false
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Pointer:
		return true
	}
	return false
}

// is reports whether a type or a pointer to it implements an interface. Payloads are pointers, so
// encoding/json finds the methods of both.
func is(t, an reflect.Type) bool {
	return t.Kind() != reflect.Interface && (t.Implements(an) || reflect.PointerTo(t).Implements(an))
}

// content returns the schema of a type itself, not a reference to it.
func (b *Builder) content(t reflect.Type) *describe.Schema {
	switch {
	case is(t, typeOfSchemer):
		return own(t)
	case is(t, typeOfMarshaler), is(t, typeOfUnmarshaler):
		return &describe.Schema{Description: "as " + t.String() + " marshals itself"}
	case is(t, typeOfText), is(t, typeOfFromText):
		return typed("string")
	}
	switch t.Kind() {
	case reflect.Bool:
		return typed("boolean")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return signed(t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return unsigned(t.Bits())
	case reflect.Float32, reflect.Float64:
		return typed("number")
	case reflect.String:
		return typed("string")
	case reflect.Interface:
		return new(describe.Schema)
	case reflect.Pointer: // type T *Message
		return b.of(t.Elem())
	case reflect.Struct:
		return b.object(t)
	case reflect.Map:
		return b.mapping(t)
	case reflect.Slice:
		if isBase64(t) {
			return &describe.Schema{Type: describe.Types{"string"}, ContentEncoding: "base64"}
		}
		return &describe.Schema{Type: describe.Types{"array"}, Items: b.nullable(t.Elem())}
	case reflect.Array:
		n := t.Len()
		return &describe.Schema{Type: describe.Types{"array"}, Items: b.nullable(t.Elem()), MinItems: n, MaxItems: &n}
	}
	return impossible(t)
}

// own asks a type for its schema. One that panics says nothing.
func own(t reflect.Type) (s *describe.Schema) {
	defer func() {
		if v := recover(); v != nil || s == nil {
			s = new(describe.Schema)
		}
	}()
	return reflect.New(t).Interface().(describe.Schemer).JSONSchema()
}

// impossible is the schema of a type that encoding/json refuses.
func impossible(t reflect.Type) *describe.Schema {
	return &describe.Schema{Not: &describe.Schema{}, Description: t.String() + " cannot be JSON"}
}

func signed(bits int) *describe.Schema {
	s := typed("integer")
	if bits == 64 {
		s.Format = "int64"
		return s
	}
	s.Minimum = number(-1 << (bits - 1))
	s.Maximum = number(1<<(bits-1) - 1)
	return s
}

func unsigned(bits int) *describe.Schema {
	s := typed("integer")
	s.Minimum = "0"
	if bits == 64 {
		s.Format = "uint64"
		return s
	}
	s.Maximum = number(1<<bits - 1)
	return s
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// isBase64 reports whether encoding/json writes a slice as base64.
func isBase64(t reflect.Type) bool {
	e := t.Elem()
	return e.Kind() == reflect.Uint8 && !is(e, typeOfMarshaler) && !is(e, typeOfText)
}

// nullable returns the schema of a type where a nil of it is null.
func (b *Builder) nullable(t reflect.Type) *describe.Schema {
	s := b.of(t)
	if !canBeNull(t) {
		return s
	}
	return orNull(s)
}

func canBeNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer:
		return true
	case reflect.Slice, reflect.Map: // one that marshals itself says what nil is
		return !is(t, typeOfMarshaler) && !is(t, typeOfText) && !is(t, typeOfSchemer)
	}
	return false
}

func orNull(s *describe.Schema) *describe.Schema {
	switch {
	case len(s.Type) > 0 && len(s.Enum) == 0:
		s.Type = append(s.Type[:len(s.Type):len(s.Type)], "null")
		return s
	case isAny(s):
		return s
	}
	return &describe.Schema{AnyOf: []*describe.Schema{s, typed("null")}}
}

// isAny reports whether a schema allows everything already.
func isAny(s *describe.Schema) bool {
	return s.Ref == "" && len(s.Type) == 0 && len(s.Enum) == 0 && len(s.AnyOf) == 0 && s.Not == nil
}

func (b *Builder) mapping(t reflect.Type) *describe.Schema {
	s := &describe.Schema{Type: describe.Types{"object"}, AdditionalProperties: b.nullable(t.Elem())}
	switch key := t.Key(); {
	case key.Kind() == reflect.String, is(key, typeOfText):
	case key.Kind() >= reflect.Int && key.Kind() <= reflect.Int64:
		s.PropertyNames = &describe.Schema{Pattern: `^-?[0-9]+$`}
	case key.Kind() >= reflect.Uint && key.Kind() <= reflect.Uintptr:
		s.PropertyNames = &describe.Schema{Pattern: `^[0-9]+$`}
	default:
		return impossible(t)
	}
	return s
}

func (b *Builder) object(t reflect.Type) *describe.Schema {
	s := typed("object")
	for _, f := range fields(t) {
		var of *describe.Schema
		switch {
		case f.quoted:
			of = quoted(f.typ)
			if f.typ.Kind() == reflect.Pointer && !f.optional {
				of = orNull(of)
			}
		case f.optional:
			of = b.of(f.typ)
		default:
			of = b.nullable(f.typ)
		}
		s.Properties = append(s.Properties, describe.Property{Name: f.name, Schema: of})
		if !f.optional {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

// quoted is the schema of a field whose tag has the option string.
func quoted(t reflect.Type) *describe.Schema {
	s := typed("string")
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k := t.Kind(); {
	case k == reflect.Bool:
		s.Enum = []any{"true", "false"}
	case k >= reflect.Int && k <= reflect.Int64:
		s.Pattern = `^-?[0-9]+$`
	case k >= reflect.Uint && k <= reflect.Uintptr:
		s.Pattern = `^[0-9]+$`
	case k == reflect.String:
		s.Pattern = `^".*"$`
	}
	return s
}
