// Package protobuf serializes payloads with Protocol Buffers: handlers take and return pointers to
// generated messages.
//
//	nano.Listen(":3250", nano.WithSerializer(protobuf.NewSerializer()), ...)
//
// Messages of older generators work too: those of github.com/golang/protobuf before 1.4, which have
// no methods but Reset, String and ProtoMessage.
package protobuf

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/lonng/nano/internal/fault"
)

// ErrWrongValueType is returned for a value that is no protobuf message. The error that wraps it
// names the value's type.
var ErrWrongValueType = fault.New(fault.Invalid, "protobuf: the value is not a protobuf message")

// Serializer reads and writes the wire format of messages. It has no state: the zero value is ready
// to use, and its methods may be called from any goroutine.
type Serializer struct{}

// NewSerializer returns a Serializer.
func NewSerializer() *Serializer { return new(Serializer) }

// Marshal returns the wire format of v, a message. A nil pointer to a message counts as an empty
// message.
func (*Serializer) Marshal(v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

// Unmarshal reads the wire format into v, a message. It replaces everything that v held.
func (*Serializer) Unmarshal(data []byte, v any) error {
	m, err := message(v)
	if err != nil {
		return err
	}
	if !m.ProtoReflect().IsValid() {
		return fmt.Errorf("%w: nil %T", ErrWrongValueType, v)
	}
	return proto.Unmarshal(data, m)
}

func message(v any) (proto.Message, error) {
	switch m := v.(type) {
	case proto.Message:
		return m, nil
	case protoadapt.MessageV1:
		return protoadapt.MessageV2Of(m), nil
	default:
		return nil, fmt.Errorf("%w: %T", ErrWrongValueType, v)
	}
}
