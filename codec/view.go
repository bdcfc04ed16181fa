package codec

import (
	"encoding/binary"
	"fmt"
)

// View is a message that was parsed in place: Route and Data lie in the bytes
// that were given to [ParseMessage], and are valid and unchanged only as long as
// those are. Their capacity ends where they end.
type View struct {
	Type       Type
	Err        bool   // a response whose payload is an error
	Gzip       bool   // the payload is gzip
	Compressed bool   // Code stands for the route; Route is nil
	Code       uint16 // meaningful if Compressed
	ID         uint64 // of requests and responses
	Route      []byte // as sent; nil if Compressed, and in responses
	Data       []byte // payload, never nil
}

// ParseMessage reads the body of a data packet. It allocates nothing and never
// reads past b. Everything malformed is [ErrMessageInvalid]: an empty body, a type
// above [Push], an id that is cut off or does not fit 64 bits, a route that is cut
// off. Bits without a meaning, and bits that mean nothing in a message of that
// type, are ignored. Whether a code is known shows in [View.RouteString].
func ParseMessage(b []byte) (View, error) {
	if len(b) == 0 {
		return View{}, malformed("empty body")
	}
	flag := b[0]
	v := View{
		Type: Type(flag >> typeShift & typeMask),
		Gzip: flag&byte(FlagGzip) != 0,
	}
	if v.Type > Push {
		return View{}, fmt.Errorf("%w: type %d", ErrMessageInvalid, byte(v.Type))
	}
	rest := b[1:]

	if v.Type.hasID() {
		id, n := binary.Uvarint(rest)
		if n <= 0 {
			return View{}, idError(n)
		}
		v.ID, rest = id, rest[n:]
	}
	switch {
	case !v.Type.hasRoute():
		v.Err = flag&byte(FlagError) != 0
	case flag&bitCompressed != 0:
		if len(rest) < 2 {
			return View{}, malformed("cut off inside the route code")
		}
		v.Compressed = true
		v.Code, rest = binary.BigEndian.Uint16(rest), rest[2:]
	default:
		if len(rest) == 0 {
			return View{}, malformed("no route")
		}
		end := 1 + int(rest[0])
		if end > len(rest) {
			return View{}, malformed("cut off inside the route")
		}
		v.Route, rest = rest[1:end:end], rest[end:]
	}
	v.Data = rest[:len(rest):len(rest)]
	return v, nil
}

// RouteString returns the route as a string, empty for a response. It allocates
// only for a route that was written out. A code that d does not have is
// [ErrRouteCode].
func (v View) RouteString(d *Dictionary) (string, error) {
	if !v.Compressed {
		return string(v.Route), nil
	}
	if route, ok := d.Route(v.Code); ok {
		return route, nil
	}
	return "", fmt.Errorf("%w: %d", ErrRouteCode, v.Code)
}

// Message returns a copy that owns its parts. The error is that of
// [View.RouteString].
func (v View) Message(d *Dictionary) (*Message, error) {
	route, err := v.RouteString(d)
	if err != nil {
		return nil, err
	}
	data := make([]byte, len(v.Data))
	copy(data, v.Data)
	return &Message{
		Type:  v.Type,
		ID:    v.ID,
		Route: route,
		Data:  data,
		Err:   v.Err,
		Gzip:  v.Gzip,
	}, nil
}

func malformed(what string) error {
	return fmt.Errorf("%w: %s", ErrMessageInvalid, what)
}

// idError tells the two ways apart in which binary.Uvarint fails.
func idError(n int) error {
	if n == 0 {
		return malformed("cut off inside the id")
	}
	return malformed("id of more than 64 bits")
}
