package wsframe

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// Opcodes of frames.
const (
	OpContinuation byte = 0x0
	OpText         byte = 0x1
	OpBinary       byte = 0x2
	OpClose        byte = 0x8
	OpPing         byte = 0x9
	OpPong         byte = 0xA
)

const (
	// Final is a bit of a frame's first byte: it is the last of its message.
	Final = 0x80
	// Compressed is another: permessage-deflate has compressed the message whose first frame it is.
	Compressed = 0x40

	bitFin     = Final
	bitsRsv    = 0x70
	maskOp     = 0x0f
	bitControl = 0x08
	bitMask    = 0x80
	maskLen    = 0x7f

	maxControl = 125 // bytes of a control frame's payload
	maxHead    = 14  // bytes of a frame before its payload, with the mask's key
)

// Kind says what an [Event] is.
type Kind byte

// The kinds of events.
const (
	None Kind = iota // all was read; more bytes are needed
	Data             // a piece of a text or binary message
	Ping
	Pong
	Close
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case None:
		return "None"
	case Data:
		return "Data"
	case Ping:
		return "Ping"
	case Pong:
		return "Pong"
	case Close:
		return "Close"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Event is one step of what a peer sent.
type Event struct {
	Kind Kind
	// Final reports that this piece ends its message. Only Data events have it.
	Final bool
	// Compressed reports that the piece belongs to a compressed message. Only Data events have it.
	Compressed bool
	// Payload is unmasked and borrowed: it usually lies in the bytes given to Next
	// and is valid as long as those are. Of Ping, Pong and Close it is whole. Of Data
	// it is any piece, empty only when a message ends with an empty frame.
	Payload []byte
}

// Parser reads a peer's frames. The zero value reads a client's, with no limit on
// the size of messages. It is meant to be embedded by value, holds no buffer but
// the payload of a control frame while that is incomplete, and belongs to one
// goroutine at a time.
type Parser struct {
	err    *Error
	ctl    []byte // payload so far of a split control frame
	remain int64  // bytes of the current frame's payload that are still to come
	total  int64  // bytes that the current message's frames announced
	limit  int64  // of total; 0 means none
	head   [maxHead]byte
	nhead  uint8   // bytes of head that are there, between frames
	op     byte    // of the current frame
	key    [4]byte // of the current frame, turned so that the next byte takes key[0]

	fin       bool // the current frame is the last of its message
	inFrame   bool // the header has been read, the payload not all
	inMessage bool // a data frame without FIN was the last data frame
	client    bool // reads what a server sends: unmasked
	deflate   bool // messages may be compressed
	packed    bool // the current message is
}

// Init makes p as new, for what a client sends. A message of more than maxMessage
// bytes, summed up over its frames, is refused with [CloseTooBig] as soon as a header
// announces it; 0 or less means no limit, which costs no memory since nothing is kept.
func (p *Parser) Init(maxMessage int) {
	*p = Parser{limit: int64(max(maxMessage, 0))}
}

// InitClient is Init for the other end: what a server sends, which must be unmasked.
func (p *Parser) InitClient(maxMessage int) {
	p.Init(maxMessage)
	p.client = true
}

// AllowCompressed lets messages be compressed, because both ends have agreed on it. The parser does
// not unpack them.
func (p *Parser) AllowCompressed() { p.deflate = true }

// Next reads data up to and including the next event and returns that and what is
// left of data. Call it with what is left until the event's kind is [None]; then all
// of data was read. Payload is unmasked in place, so data must be the caller's to
// change, and must not be given twice.
//
// An error is an *[Error] with the close code to answer with. It is final: every
// further call returns it again.
func (p *Parser) Next(data []byte) (ev Event, rest []byte, err error) {
	if p.err != nil {
		return Event{}, nil, p.err
	}
	for {
		if !p.inFrame {
			var ok bool
			data, ok = p.readHead(data)
			if p.err != nil {
				return Event{}, nil, p.err
			}
			if !ok {
				return Event{}, nil, nil
			}
		}
		if p.remain > 0 && len(data) == 0 {
			return Event{}, nil, nil
		}
		n := int(min(p.remain, int64(len(data))))
		piece := data[:n:n]
		data = data[n:]
		p.remain -= int64(n)
		if !p.client {
			p.key = unmask(p.key, piece)
		}
		if p.op&bitControl == 0 {
			final := p.endData()
			if len(piece) > 0 || final {
				return Event{Kind: Data, Final: final, Compressed: p.packed, Payload: piece}, data, nil
			}
			continue // an empty fragment
		}
		if p.remain > 0 {
			p.ctl = append(p.ctl, piece...)
			return Event{}, nil, nil
		}
		ev = p.endControl(piece)
		if p.err != nil {
			return Event{}, nil, p.err
		}
		return ev, data, nil
	}
}

// Partial reports whether a message or a frame has begun and is not complete.
func (p *Parser) Partial() bool { return p.nhead > 0 || p.inFrame || p.inMessage }

// endData closes the current data frame if all of it was read, and tells whether
// its message ended with it.
func (p *Parser) endData() bool {
	if p.remain > 0 {
		return false
	}
	p.inFrame = false
	if !p.fin {
		return false
	}
	p.inMessage, p.total = false, 0
	return true
}

// endControl makes the event of a control frame whose last piece is given.
func (p *Parser) endControl(piece []byte) Event {
	p.inFrame = false
	payload := piece
	if len(p.ctl) > 0 {
		payload = append(p.ctl, piece...)
		p.ctl = nil
	}
	switch p.op {
	case OpPing:
		return Event{Kind: Ping, Payload: payload}
	case OpPong:
		return Event{Kind: Pong, Payload: payload}
	}
	p.err = checkClose(payload)
	return Event{Kind: Close, Payload: payload}
}

// readHead reads a frame's header, or as much of it as there is, and returns the
// rest of data and whether the header is complete and the frame begun.
func (p *Parser) readHead(data []byte) ([]byte, bool) {
	if p.nhead == 0 {
		// The usual case: the header is all here, and need not be kept.
		n, ok := p.begin(data)
		if ok {
			return data[n:], true
		}
		if p.err != nil {
			return nil, false
		}
	}
	for len(data) > 0 {
		// A byte at a time, since each may say how many more there are.
		p.head[p.nhead] = data[0]
		p.nhead++
		data = data[1:]
		if _, ok := p.begin(p.head[:p.nhead]); ok {
			p.nhead = 0
			return data, true
		}
		if p.err != nil {
			return nil, false
		}
	}
	return nil, false
}

// begin starts the frame whose header h begins with. It returns the header's length
// and true, or false if h does not hold all of it. What is wrong is noticed at the first byte
// that shows it, however h is cut.
func (p *Parser) begin(h []byte) (int, bool) {
	if len(h) == 0 {
		return 0, false
	}
	op, fin := h[0]&maskOp, h[0]&bitFin != 0
	control := op&bitControl != 0
	if p.err = p.checkFirst(h[0]); p.err != nil || len(h) == 1 {
		return 0, false
	}
	if p.err = p.checkSecond(h[1], control); p.err != nil {
		return 0, false
	}

	size := int64(h[1] & maskLen)
	n := 2
	switch size {
	case 126:
		if n = 4; len(h) < n {
			return 0, false
		}
		size = int64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		if len(h) > 2 && h[2]&0x80 != 0 {
			p.err = protocolError("length with its top bit set")
			return 0, false
		}
		if n = 10; len(h) < n {
			return 0, false
		}
		size = int64(binary.BigEndian.Uint64(h[2:]))
	}
	if !control && size > p.room() {
		p.err = &Error{Code: CloseTooBig, Reason: "message too big"}
		return 0, false
	}
	if n == 4 && size <= 125 || n == 10 && size <= 0xffff {
		p.err = protocolError("length not in its shortest form")
		return 0, false
	}
	if !p.client {
		if len(h) < n+4 {
			return 0, false
		}
		copy(p.key[:], h[n:])
		n += 4
	}

	p.op, p.fin, p.remain, p.inFrame = op, fin, size, true
	if !control {
		p.inMessage = true
		p.total += size
		if op != OpContinuation {
			p.packed = h[0]&Compressed != 0
		}
	}
	return n, true
}

// room returns how many bytes the current message may still announce.
func (p *Parser) room() int64 {
	if p.limit == 0 {
		return math.MaxInt64 - p.total
	}
	return p.limit - p.total
}

// checkFirst refuses what the first byte of a header shows to be wrong.
func (p *Parser) checkFirst(b byte) *Error {
	op := b & maskOp
	if rsv := b & bitsRsv; rsv != 0 && (rsv != Compressed || !p.deflate || op != OpText && op != OpBinary) {
		return protocolError("reserved bit set")
	}
	switch op {
	case OpContinuation:
		if !p.inMessage {
			return protocolError("continuation without a start")
		}
	case OpText, OpBinary:
		if p.inMessage {
			return protocolError("new message inside of another")
		}
	case OpClose, OpPing, OpPong:
		if b&bitFin == 0 {
			return protocolError("fragmented control frame")
		}
	default:
		return protocolError("reserved opcode")
	}
	return nil
}

// checkSecond does the same for the second byte.
func (p *Parser) checkSecond(b byte, control bool) *Error {
	masked := b&bitMask != 0
	switch {
	case !masked && !p.client:
		return protocolError("unmasked frame from a client")
	case masked && p.client:
		return protocolError("masked frame from a server")
	case control && b&maskLen > maxControl:
		return protocolError("control frame too long")
	}
	return nil
}

// checkClose refuses a close frame's payload that RFC 6455 does not allow.
func checkClose(payload []byte) *Error {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) == 1 {
		return protocolError("close frame with half a code")
	}
	switch code := binary.BigEndian.Uint16(payload); {
	case code >= 3000 && code < 5000:
	case code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006:
	default:
		return protocolError("close frame with a code that may not be sent")
	}
	if !utf8.Valid(payload[2:]) {
		return &Error{Code: CloseInvalidData, Reason: "close reason is not UTF-8"}
	}
	return nil
}

// ParseClose splits the payload of a Close event into code and reason. Without a
// payload the code is [CloseNoStatus].
func ParseClose(payload []byte) (code int, reason string) {
	if len(payload) < 2 {
		return CloseNoStatus, ""
	}
	return int(binary.BigEndian.Uint16(payload)), string(payload[2:])
}
