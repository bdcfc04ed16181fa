package decode

import (
	"encoding/binary"
	"fmt"
)

// opBinary is the last of the kinds of frames that carry packets.
const opBinary = 2

// frame is a WebSocket's.
type frame struct {
	op     byte
	final  bool
	masked bool
	data   []byte // unmasked
}

// String says what it is.
func (f frame) String() string {
	kind := map[byte]string{0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}[f.op]
	text := fmt.Sprintf("%s, payload of %s", kind, count(len(f.data)))
	if f.masked {
		text += ", masked"
	}
	if !f.final {
		text += ", more of the message follows"
	}
	if f.op == 8 && len(f.data) >= 2 {
		text += fmt.Sprintf(", code %d %q", binary.BigEndian.Uint16(f.data), f.data[2:])
	}
	return text
}

// nextFrame returns the frame at the beginning of b and its length; 0 if it is not complete; or
// what is wrong.
func nextFrame(b []byte) (f frame, n int, wrong string) {
	if len(b) < 2 {
		return f, 0, ""
	}
	f = frame{op: b[0] & 15, final: b[0]&0x80 != 0, masked: b[1]&0x80 != 0}
	switch {
	case b[0]&0x70 != 0:
		return f, 0, "a WebSocket frame with an extension, such as compression, that nodes do not have"
	case f.op > opBinary && f.op < 8 || f.op > 10:
		return f, 0, fmt.Sprintf("no such kind of WebSocket frame: %d", f.op)
	}
	size, at := uint64(b[1]&127), 2
	switch size {
	case 126:
		at = 4
	case 127:
		at = 10
	}
	if f.masked {
		at += 4
	}
	if len(b) < at {
		return f, 0, ""
	}
	switch size {
	case 126:
		size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		size = binary.BigEndian.Uint64(b[2:])
	}
	if uint64(len(b)-at) < size {
		return f, 0, ""
	}
	f.data = append([]byte(nil), b[at:at+int(size)]...)
	if f.masked {
		for i := range f.data {
			f.data[i] ^= b[at-4+i&3]
		}
	}
	return f, at + int(size), ""
}
