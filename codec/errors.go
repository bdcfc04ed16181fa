package codec

import "errors"

// What this package refuses. Functions return these wrapped with what was seen,
// so compare with [errors.Is].
var (
	// ErrPacketType: a packet's type is 0 or above 5.
	ErrPacketType = errors.New("codec: no such packet type")
	// ErrPacketTooLarge: a packet's body is, or would be, over the limit.
	ErrPacketTooLarge = errors.New("codec: packet over the limit")
	// ErrMessageInvalid: a message is cut short or contradicts itself.
	ErrMessageInvalid = errors.New("codec: malformed message")
	// ErrRouteTooLong: a route of more than [MaxRoute] bytes.
	ErrRouteTooLong = errors.New("codec: route longer than 255 bytes")
	// ErrRouteCode: a compressed route whose code the dictionary does not have.
	ErrRouteCode = errors.New("codec: route code not in the dictionary")
	// ErrDictionary: a dictionary that could not be read back unambiguously.
	ErrDictionary = errors.New("codec: unusable dictionary")
)
