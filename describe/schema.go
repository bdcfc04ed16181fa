package describe

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Schema is a JSON Schema: the part of draft 2020-12 that describes Go types and protobuf messages.
// The zero value allows everything.
//
// Where a Go type could be read in two ways: a field is required unless its tag has omitempty or
// omitzero; and a slice, map or pointer without those may be null, since that is how encoding/json
// writes nil.
type Schema struct {
	Ref         string `json:"$ref,omitempty"` // "#/$defs/" and a name of Description.Defs
	Description string `json:"description,omitempty"`

	Type  Types     `json:"type,omitempty"` // none: any type
	Enum  []any     `json:"enum,omitempty"`
	AnyOf []*Schema `json:"anyOf,omitempty"`

	// Format is date-time, int64 or uint64: the last two are integers that may be too large for a
	// float64.
	Format          string      `json:"format,omitempty"`
	Pattern         string      `json:"pattern,omitempty"`
	ContentEncoding string      `json:"contentEncoding,omitempty"` // base64
	Minimum         json.Number `json:"minimum,omitempty"`
	Maximum         json.Number `json:"maximum,omitempty"`

	Items    *Schema `json:"items,omitempty"`
	MinItems int     `json:"minItems,omitempty"`
	MaxItems *int    `json:"maxItems,omitempty"`

	Properties           Properties `json:"properties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	PropertyNames        *Schema    `json:"propertyNames,omitempty"`
	AdditionalProperties *Schema    `json:"additionalProperties,omitempty"`

	Not *Schema `json:"not,omitempty"`
}

// Schemer is a type that says its own schema: one that marshals itself, or whose values are few. It
// is called on a zero value.
//
//	func (Color) JSONSchema() *describe.Schema {
//		return &describe.Schema{Type: describe.Types{"string"}, Enum: []any{"red", "green"}}
//	}
type Schemer interface {
	JSONSchema() *Schema
}

// Types are names of JSON types, one of which a value has. In JSON, one type is a string, and
// several are an array.
type Types []string

// MarshalJSON writes one type as a string.
func (t Types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// UnmarshalJSON reads a string or an array of strings.
func (t *Types) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = Types{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// Property is a property of an object.
type Property struct {
	Name   string
	Schema *Schema
}

// Properties are the properties of an object in the order of its fields. In JSON they are an object
// in that order.
type Properties []Property

// Get returns the schema of a property; nil if there is none of that name.
func (p Properties) Get(name string) *Schema {
	for _, f := range p {
		if f.Name == name {
			return f.Schema
		}
	}
	return nil
}

// MarshalJSON writes an object.
func (p Properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		schema, err := json.Marshal(f.Schema)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(schema)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object and keeps the order of its properties.
func (p *Properties) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil {
		return err
	} else if open != json.Delim('{') {
		return fmt.Errorf("describe: properties are %v, not an object", open)
	}
	*p = nil
	for dec.More() {
		name, err := dec.Token() // in an object, a string
		if err != nil {
			return err
		}
		f := Property{Name: fmt.Sprint(name), Schema: new(Schema)}
		if err := dec.Decode(f.Schema); err != nil {
			return fmt.Errorf("describe: property %q: %w", f.Name, err)
		}
		*p = append(*p, f)
	}
	return nil
}
