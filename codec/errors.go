package codec

import "github.com/lonng/nano/internal/fault"

// Errors of this package. Functions wrap them with details, so compare with [errors.Is].
var (
	// ErrPacketType: a packet's type is 0 or above 5.
	ErrPacketType = fault.New(fault.Invalid, "codec: no such packet type")
	// ErrPacketTooLarge: a packet's body is, or would be, over the limit.
	ErrPacketTooLarge = fault.New(fault.Exhausted, "codec: packet over the limit")
	// ErrMessageInvalid: a message is cut short or contradicts itself.
	ErrMessageInvalid = fault.New(fault.Invalid, "codec: malformed message")
	// ErrRouteTooLong: a route of more than [MaxRoute] bytes.
	ErrRouteTooLong = fault.New(fault.Invalid, "codec: route longer than 255 bytes")
	// ErrRouteCode: a compressed route whose code the dictionary does not have.
	ErrRouteCode = fault.New(fault.Invalid, "codec: route code not in the dictionary")
	// ErrDictionary: a dictionary that is ambiguous or has unusable routes.
	ErrDictionary = fault.New(fault.Invalid, "codec: unusable dictionary")
)
