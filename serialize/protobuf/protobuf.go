// Package protobuf is the payload format of Protocol Buffers: handlers take
// and return pointers to generated messages.
//
//	nano.Listen(":3250", nano.WithSerializer(protobuf.NewSerializer()), ...)
//
// Messages of older generators (those of github.com/golang/protobuf before
// 1.4, with Reset, String and ProtoMessage only) work too.
package protobuf

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/lonng/nano/internal/fault"
)

// ErrWrongValueType is returned for a value that is not a protobuf message,
// wrapped with its type.
var ErrWrongValueType = fault.New(fault.Invalid, "protobuf: the value is not a protobuf message")

// Serializer is the format. It has no state: the zero value is ready, and its
// methods may be called from any goroutine.
type Serializer struct{}

// NewSerializer returns a Serializer.
func NewSerializer() *Serializer { return new(Serializer) }

// Marshal returns the wire format of v, a message. A nil pointer to a message
// is an empty one.
func (*Serializer) Marshal(v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

// Unmarshal reads the wire format into v, a message, of which all former
// content is gone.
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
