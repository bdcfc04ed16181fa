package codec

import (
	"fmt"
	"slices"
	"strconv"
)

// PacketType is the first byte of a packet. Zero and everything above [Kick] is no type; a node
// ends a connection that sends such a byte.
type PacketType byte

// The types of packets, and who sends them.
const (
	Handshake    PacketType = 1 // client, then server: JSON
	HandshakeAck PacketType = 2 // client: no body
	Heartbeat    PacketType = 3 // both: no body
	Data         PacketType = 4 // both: a message
	Kick         PacketType = 5 // server: JSON that says why
)

const (
	// HeadLength is the number of bytes before a packet's body.
	HeadLength = 4
	// DefaultMaxPacket is the largest body, in bytes, that is read or written
	// where no other limit was set. A body of exactly this size is legal.
	DefaultMaxPacket = 64 << 10
	// MaxPacket is the largest body, in bytes, that a header can announce.
	// Higher limits count as this one.
	MaxPacket = 1<<24 - 1
)

// Packet is one packet as a [Decoder] found it.
type Packet struct {
	Type PacketType
	// Body is borrowed: it is valid until the decoder's next Feed, and usually
	// lies in the bytes that were fed. Its capacity ends where it ends.
	Body []byte
}

// Valid reports whether t is one of the five types.
func (t PacketType) Valid() bool { return t-1 < Kick }

// String names the type for logs, "PacketType(9)" if it is none.
func (t PacketType) String() string {
	switch t {
	case Handshake:
		return "Handshake"
	case HandshakeAck:
		return "HandshakeAck"
	case Heartbeat:
		return "Heartbeat"
	case Data:
		return "Data"
	case Kick:
		return "Kick"
	}
	return "PacketType(" + strconv.Itoa(int(t)) + ")"
}

// AppendPacket appends a packet of type t with the given body to dst and returns
// the longer slice. It allocates only to grow dst. It checks nothing but that the
// body fits a header: a body over [MaxPacket] bytes is the caller's mistake, and
// dst comes back as it was. Use [AppendPacketLimit] for bodies of unknown size.
func AppendPacket(dst []byte, t PacketType, body []byte) []byte {
	n := len(body)
	if n > MaxPacket {
		return dst
	}
	dst = slices.Grow(dst, HeadLength+n)
	dst = append(dst, byte(t), byte(n>>16), byte(n>>8), byte(n))
	return append(dst, body...)
}

// AppendPacketLimit is [AppendPacket] with its arguments checked: a type that is
// none is [ErrPacketType], and a body over maxBody bytes (0 or less means
// [DefaultMaxPacket]) is [ErrPacketTooLarge]. On error dst comes back as it was.
func AppendPacketLimit(dst []byte, t PacketType, body []byte, maxBody int) ([]byte, error) {
	if !t.Valid() {
		return dst, typeError(t)
	}
	if limit := bodyLimit(maxBody); len(body) > limit {
		return dst, sizeError(t, len(body), limit)
	}
	return AppendPacket(dst, t, body), nil
}

// bodyLimit turns a configured limit into the one that holds.
func bodyLimit(n int) int {
	if n <= 0 {
		return DefaultMaxPacket
	}
	return min(n, MaxPacket)
}

func typeError(t PacketType) error {
	return fmt.Errorf("%w: %d", ErrPacketType, byte(t))
}

func sizeError(t PacketType, n, limit int) error {
	return fmt.Errorf("%w: %v of %d bytes, at most %d", ErrPacketTooLarge, t, n, limit)
}
