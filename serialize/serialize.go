// Package serialize defines a payload format. The packages json and protobuf are two of them; an
// application may have its own:
//
//	type Serializer struct{}
//
//	func (Serializer) Marshal(v any) ([]byte, error)      { return msgpack.Marshal(v) }
//	func (Serializer) Unmarshal(data []byte, v any) error { return msgpack.Unmarshal(data, v) }
//
// A node has one serializer. It does not see payloads that are []byte: those pass as they are.
package serialize

// Marshaler makes the payload of a value.
type Marshaler interface {
	// Marshal returns the payload for v. The bytes are the caller's.
	Marshal(v any) ([]byte, error)
}

// Unmarshaler reads a payload.
type Unmarshaler interface {
	// Unmarshal reads data into v, the pointer that a handler takes. The bytes
	// are borrowed: v must not refer to them after Unmarshal has returned.
	Unmarshal(data []byte, v any) error
}

// Serializer is a payload format. Its methods must be safe for use by any
// number of goroutines at once.
type Serializer interface {
	Marshaler
	Unmarshaler
}
