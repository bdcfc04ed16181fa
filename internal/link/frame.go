package link

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"
)

// Kind says what a [Frame] is about. The numbers are part of the protocol between nodes: they never
// change, and new ones are added at the end. A node skips the kinds that it does not know.
type Kind byte

// The kinds of frames.
const (
	_              Kind = iota
	Request             // a client's request, gate to backend
	Notify              // a client's notify, gate to backend
	Push                // a push to one session, backend to gate
	Response            // the answer to a Request, backend to gate
	Multicast           // one payload for several Sessions, backend to gate
	Kick                // a session is to be told why, and closed
	Close               // a session is to be closed
	SessionOpened       // a session is going to use the backend
	SessionClosed       // a session is gone
	SessionChanged      // what a session carries has changed
	Bind                // a backend binds a session to a UID
	Bound               // the answer to a Bind
	Call                // a call from node to node that wants a Reply
	Cast                // a call from node to node that wants none
	Reply               // the answer to a Call
	Credit              // ID bytes of a session's messages, or of the node's calls, have left the queue of who was sent them
	Refused             // a message of a session that the receiver does not know was not run: ID is that of a Request
	Claim               // a gate asks the one that has a session for it, and a Reply answers
	Moved               // a session goes to another gate; a Reply says that this is known
	Adopt               // a gate asks who knows a session of a gate that is gone, and a Reply answers
	Leaving             // the sender leaves the list, and ends its links
	kindEnd
)

var kindNames = [kindEnd]string{
	"Kind(0)", "Request", "Notify", "Push", "Response", "Multicast", "Kick", "Close", "SessionOpened", "SessionClosed",
	"SessionChanged", "Bind", "Bound", "Call", "Cast", "Reply", "Credit", "Refused", "Claim", "Moved", "Adopt", "Leaving",
}

// String returns the name of the kind.
func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Bulk reports whether clients and applications send frames of this kind, in any number. Frames of
// all other kinds tell of something that the peer has to know.
func (k Kind) Bulk() bool {
	switch k {
	case Request, Notify, Push, Multicast, Call, Cast:
		return true
	}
	return false
}

// asks tells whether the frame's sender waits for an answer, which it gives itself when the peer
// cannot be reached.
func (k Kind) asks() bool { return k == Request || k == Call }

// untold tells whether the frame has no answer, and its sender learns nowhere else that it was
// lost.
func (k Kind) untold() bool {
	return k == Push || k == Multicast || k == Kick || k == Notify || k == Cast
}

// FlagOff in a Call says that nobody waits any more for the answer to the one before with its ID. It
// asks for none itself.
const FlagOff = 1 << 1

// Frame is one message between two nodes. Its writers and readers agree on the meaning of the
// fields. A zero field costs nothing on the wire; a negative session id or UID costs ten bytes.
//
// [AppendFrame] copies from it. In a frame that a [Reader] has filled, Route, Text, Data and Trace
// are parts of the batch, and Sessions is used again for the next frame: copy what you want to
// keep.
type Frame struct {
	Kind     Kind
	Flags    byte
	Session  int64
	ID       uint64
	UID      int64
	Route    []byte
	Text     []byte
	Data     []byte
	Sessions []int64
	// Left is how long the sender still waits for the answer, in whole microseconds; 0 if it does
	// not say. Each time the [Sender] sends the frame, it subtracts the time that the frame has
	// waited. It does not send a frame with nothing left.
	Left time.Duration
	// Trace is what the sender's tracer tells that of the receiver: bytes that mean nothing here.
	Trace []byte
}

// On the wire a frame is: the length of the rest (uvarint), kind, mask, and the fields whose bit is
// in the mask, in this order. Numbers are uvarints, bytes have their length (uvarint) before them,
// Sessions are their number and then each the difference to the one before (varint). Behind these
// stands Left in microseconds (uvarint), unless it is 0 and nothing follows; and Trace with its
// length before it, unless it is empty. What stands behind that is for later versions, and is
// skipped.
const (
	hasFlags = 1 << iota
	hasSession
	hasID
	hasUID
	hasRoute
	hasText
	hasData
	hasSessions
)

// AppendFrame appends the encoded frame to dst. It keeps nothing of f.
func AppendFrame(dst []byte, f *Frame) []byte {
	return appendFrame(dst, f, bodySize(f))
}

func appendFrame(dst []byte, f *Frame, body int) []byte {
	dst = binary.AppendUvarint(dst, uint64(body))
	dst = append(dst, byte(f.Kind), 0)
	at := len(dst) - 1
	var mask byte
	if f.Flags != 0 {
		mask |= hasFlags
		dst = append(dst, f.Flags)
	}
	if f.Session != 0 {
		mask |= hasSession
		dst = binary.AppendUvarint(dst, uint64(f.Session))
	}
	if f.ID != 0 {
		mask |= hasID
		dst = binary.AppendUvarint(dst, f.ID)
	}
	if f.UID != 0 {
		mask |= hasUID
		dst = binary.AppendUvarint(dst, uint64(f.UID))
	}
	if len(f.Route) > 0 {
		mask |= hasRoute
		dst = binary.AppendUvarint(dst, uint64(len(f.Route)))
		dst = append(dst, f.Route...)
	}
	if len(f.Text) > 0 {
		mask |= hasText
		dst = binary.AppendUvarint(dst, uint64(len(f.Text)))
		dst = append(dst, f.Text...)
	}
	if len(f.Data) > 0 {
		mask |= hasData
		dst = binary.AppendUvarint(dst, uint64(len(f.Data)))
		dst = append(dst, f.Data...)
	}
	if len(f.Sessions) > 0 {
		mask |= hasSessions
		dst = binary.AppendUvarint(dst, uint64(len(f.Sessions)))
		var last int64
		for _, id := range f.Sessions {
			dst = binary.AppendVarint(dst, id-last) // may wrap, and wraps back when it is read
			last = id
		}
	}
	if f.hasTail() {
		dst = binary.AppendUvarint(dst, f.left())
		if len(f.Trace) > 0 {
			dst = binary.AppendUvarint(dst, uint64(len(f.Trace)))
			dst = append(dst, f.Trace...)
		}
	}
	dst[at] = mask
	return dst
}

// bodySize is the length of the frame behind its own length.
func bodySize(f *Frame) int {
	n := 2
	if f.Flags != 0 {
		n++
	}
	if f.Session != 0 {
		n += uvarintSize(uint64(f.Session))
	}
	if f.ID != 0 {
		n += uvarintSize(f.ID)
	}
	if f.UID != 0 {
		n += uvarintSize(uint64(f.UID))
	}
	n += bytesSize(f.Route) + bytesSize(f.Text) + bytesSize(f.Data)
	if len(f.Sessions) > 0 {
		n += uvarintSize(uint64(len(f.Sessions)))
		var last int64
		for _, id := range f.Sessions {
			d := id - last
			n += uvarintSize(uint64(d)<<1 ^ uint64(d>>63))
			last = id
		}
	}
	if f.hasTail() {
		n += uvarintSize(f.left()) + bytesSize(f.Trace)
	}
	return n
}

// hasTail tells whether anything stands behind the fields that the mask names.
func (f *Frame) hasTail() bool { return f.Left >= time.Microsecond || len(f.Trace) > 0 }

// left is Left as it stands on the wire.
func (f *Frame) left() uint64 { return uint64(max(f.Left, 0) / time.Microsecond) }

func bytesSize(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	return uvarintSize(uint64(len(b))) + len(b)
}

func uvarintSize(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }
