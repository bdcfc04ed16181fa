// Package json serializes payloads as JSON, with encoding/json.
//
//	nano.Listen(":3250", nano.WithSerializer(json.NewSerializer()), ...)
//
// Field names, struct tags and errors are those of encoding/json. Fields of a payload that the Go
// type does not have are ignored, so newer clients can talk to older nodes.
package json

import "encoding/json"

// Serializer reads and writes JSON. It has no state: the zero value is ready to use, and its
// methods may be called from any goroutine.
type Serializer struct{}

// NewSerializer returns a Serializer.
func NewSerializer() *Serializer { return new(Serializer) }

// Marshal returns v as JSON.
func (*Serializer) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal reads JSON into v, a pointer that is not nil.
func (*Serializer) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
