package dispatch

import (
	"fmt"
	"runtime/debug"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/session"
)

// Serialize makes the payload of v. A []byte is a payload already and is returned as it is. A
// panic of the application's serializer is an error.
func Serialize(with serialize.Marshaler, v any) (payload []byte, err error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("dispatch: serializer panicked on a %T: %v", v, p)
		}
	}()
	if payload, err = with.Marshal(v); err != nil {
		return nil, fmt.Errorf("dispatch: serialize %T: %w", v, err)
	}
	return payload, nil
}

// Filter runs the filters of one direction. A Channel of the application's own may panic, as its
// filters may: that is a [pipeline.PanicError].
func Filter(through pipeline.Channel, s *session.Session, m *codec.Message) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &pipeline.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return through.Process(s, m)
}
