// Package json is the payload format JSON, as encoding/json reads and writes
// it.
//
//	nano.Listen(":3250", nano.WithSerializer(json.NewSerializer()), ...)
//
// Field names, struct tags and errors are those of encoding/json. Unknown
// fields of a payload are ignored, so that newer clients can talk to older
// nodes.
package json

import "encoding/json"

// Serializer is the format. It has no state: the zero value is ready, and its
// methods may be called from any goroutine.
type Serializer struct{}

// NewSerializer returns a Serializer.
func NewSerializer() *Serializer { return new(Serializer) }

// Marshal returns v as JSON.
func (*Serializer) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal reads JSON into v, which must be a pointer and not nil.
func (*Serializer) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
