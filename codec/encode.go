package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// AppendMessage appends m, as the body of a data packet, to dst and returns the
// longer slice. It allocates only to grow dst. The route is compressed if d has it.
// Parts that a message of that type does not have are left out: the route of a
// response, the id of a notify or a push.
//
// Errors leave dst as it was: [ErrRouteTooLong], and [ErrMessageInvalid] for a type
// that is none and for Err on anything but a response. The size of the payload is
// not checked here but where the packet is made.
func AppendMessage(dst []byte, m *Message, d *Dictionary) ([]byte, error) {
	h, err := newHead(m.Type, m.ID, m.Route, m.flags(), d)
	if err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, h.size+len(m.Data))
	return append(h.append(dst, m.ID, m.Route), m.Data...), nil
}

// AppendData appends a whole data packet, head and message, to dst in one pass and
// returns the longer slice. It allocates only to grow dst. The arguments mean what
// the fields of [Message] mean; of flags only [FlagError] and [FlagGzip] count. The
// route is compressed if d has it.
//
// Errors leave dst as it was: those of [AppendMessage], and [ErrPacketTooLarge] if
// the message is of more than maxBody bytes (0 or less means [DefaultMaxPacket]).
func AppendData(dst []byte, t Type, id uint64, route string, payload []byte, flags Flags, d *Dictionary, maxBody int) ([]byte, error) {
	h, err := newHead(t, id, route, flags, d)
	if err != nil {
		return dst, err
	}
	n := h.size + len(payload)
	if limit := bodyLimit(maxBody); n > limit {
		return dst, sizeError(Data, n, limit)
	}
	dst = slices.Grow(dst, HeadLength+n)
	dst = append(dst, byte(Data), byte(n>>16), byte(n>>8), byte(n))
	return append(h.append(dst, id, route), payload...), nil
}

// head is what has been decided about the bytes before a payload.
type head struct {
	flag byte
	t    Type
	code uint16 // if flag has bitCompressed
	size int    // in bytes
}

func newHead(t Type, id uint64, route string, flags Flags, d *Dictionary) (head, error) {
	if t > Push {
		return head{}, fmt.Errorf("%w: type %d", ErrMessageInvalid, byte(t))
	}
	flags &= FlagError | FlagGzip
	if flags&FlagError != 0 && t != Response {
		return head{}, fmt.Errorf("%w: a %v cannot be an error", ErrMessageInvalid, t)
	}
	h := head{flag: byte(t)<<typeShift | byte(flags), t: t, size: 1}
	if t.hasID() {
		h.size += (bits.Len64(id|1) + 6) / 7
	}
	if t.hasRoute() {
		if code, ok := d.Code(route); ok {
			h.flag |= bitCompressed
			h.code = code
			h.size += 2
		} else if len(route) <= MaxRoute {
			h.size += 1 + len(route)
		} else {
			return head{}, fmt.Errorf("%w: %d, begins with %.32q", ErrRouteTooLong, len(route), route)
		}
	}
	return h, nil
}

func (h head) append(dst []byte, id uint64, route string) []byte {
	dst = append(dst, h.flag)
	if h.t.hasID() {
		dst = binary.AppendUvarint(dst, id)
	}
	switch {
	case !h.t.hasRoute():
	case h.flag&bitCompressed != 0:
		dst = append(dst, byte(h.code>>8), byte(h.code))
	default:
		dst = append(dst, byte(len(route)))
		dst = append(dst, route...)
	}
	return dst
}
