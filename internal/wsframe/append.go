package wsframe

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// HeaderRoom is the largest size of the header of a server's frame.
const HeaderRoom = 10

// maxReason is the most bytes that a close frame has for its reason.
const maxReason = maxControl - 2

// AppendHeader appends the header of a server's frame (unmasked, FIN set) with n
// bytes of payload, which the caller appends after it. A control frame may have at
// most 125; that is for the caller to keep.
func AppendHeader(dst []byte, op byte, n int) []byte {
	return appendHead(dst, bitFin|op, 0, n)
}

// PutHeader writes the same header as [AppendHeader] to the end of room, whose
// length must be [HeaderRoom] or more, and returns the offset at which it begins. With the payload
// right behind room, both lie together as they are sent.
func PutHeader(room []byte, op byte, n int) int {
	end := len(room)
	switch {
	case n <= 125:
		room[end-1] = byte(n)
		end -= 2
	case n <= 0xffff:
		room[end-3] = 126
		binary.BigEndian.PutUint16(room[end-2:], uint16(n))
		end -= 4
	default:
		room[end-9] = 127
		binary.BigEndian.PutUint64(room[end-8:], uint64(n))
		end -= 10
	}
	room[end] = bitFin | op
	return end
}

// AppendFrame appends a whole frame of a server. It allocates only to grow dst.
func AppendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = slices.Grow(dst, HeaderRoom+len(payload))
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendMasked appends a whole frame of a client, masked with key: a last or only one
// if fin, else one that an [OpContinuation] follows. payload is not changed.
func AppendMasked(dst []byte, op byte, fin bool, key [4]byte, payload []byte) []byte {
	if fin {
		op |= bitFin
	}
	dst = slices.Grow(dst, maxHead+len(payload))
	dst = appendHead(dst, op, bitMask, len(payload))
	dst = append(dst, key[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	unmask(key, dst[start:])
	return dst
}

// AppendClose appends a close frame of a server. Code 0 or [CloseNoStatus] makes one
// without a payload. A reason over 123 bytes is cut, between characters.
func AppendClose(dst []byte, code int, reason string) []byte {
	var body [maxControl]byte
	return AppendFrame(dst, OpClose, AppendCloseBody(body[:0], code, reason))
}

// AppendCloseBody appends only the payload of what [AppendClose] makes, for clients
// to mask.
func AppendCloseBody(dst []byte, code int, reason string) []byte {
	if code == 0 || code == CloseNoStatus {
		return dst
	}
	if len(reason) > maxReason {
		end := maxReason
		for end > 0 && !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

func appendHead(dst []byte, first, mask byte, n int) []byte {
	switch {
	case n <= 125:
		return append(dst, first, mask|byte(n))
	case n <= 0xffff:
		return append(dst, first, mask|126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, mask|127), uint64(n))
}
