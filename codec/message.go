package codec

import (
	"fmt"
	"strconv"
)

// Type says what a message is for, and with it which parts it has.
type Type byte

// The types of messages.
const (
	Request  Type = 0 // client: id, route and payload; wants a response
	Notify   Type = 1 // client: route and payload
	Response Type = 2 // server: the request's id and payload
	Push     Type = 3 // server: route and payload
)

// Flags are the marks on a message beside its type. They can be combined with |.
type Flags byte

const (
	// FlagError marks a response whose payload is an error. Only responses have it, and only
	// for clients that accept errors.
	FlagError Flags = 1 << 5
	// FlagGzip marks a gzip payload. This package sets and reads the mark, and does not unpack
	// the payload.
	FlagGzip Flags = 1 << 4
)

// MaxRoute is the longest route, in bytes, that can be written without a dictionary.
const MaxRoute = 255

const (
	bitCompressed = 1 << 0
	typeShift     = 1
	typeMask      = 7
)

// Message is one message that owns its parts. Pipelines get it and may change it.
// It is not safe for concurrent use.
type Message struct {
	Type  Type
	ID    uint64 // of requests and responses; 0 asks for no answer
	Route string // of all but responses: in those it is not written
	Data  []byte // payload
	Err   bool   // the payload is an error; responses only
	Gzip  bool   // the payload is gzip
}

// hasID and hasRoute say which parts a message of this type has.
func (t Type) hasID() bool    { return t == Request || t == Response }
func (t Type) hasRoute() bool { return t != Response }

// String names the type for logs, "Type(7)" if it is none.
func (t Type) String() string {
	switch t {
	case Request:
		return "Request"
	case Notify:
		return "Notify"
	case Response:
		return "Response"
	case Push:
		return "Push"
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

// Encode returns the message as the body of a data packet, its route written out.
// For errors, and for a dictionary, see [AppendMessage].
func (m *Message) Encode() ([]byte, error) {
	return AppendMessage(nil, m, nil)
}

// String describes the message in a line for logs, without its payload.
func (m *Message) String() string {
	s := m.Type.String()
	if m.Type.hasID() {
		s += fmt.Sprintf(" %d", m.ID)
	}
	if m.Route != "" {
		s += fmt.Sprintf(" %q", m.Route)
	}
	if m.Err {
		s += " error"
	}
	if m.Gzip {
		s += " gzip"
	}
	return fmt.Sprintf("%s, %d bytes", s, len(m.Data))
}

func (m *Message) flags() Flags {
	var f Flags
	if m.Err {
		f |= FlagError
	}
	if m.Gzip {
		f |= FlagGzip
	}
	return f
}
