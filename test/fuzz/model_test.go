package fuzz

import (
	"bytes"
	"encoding/json"
)

// The model of a connection knows the protocol, and nothing of the code that speaks it: it has all
// bytes at once and no goroutine.

// maxBody is how long the body of a packet may be.
const maxBody = 64 << 10

// answer is what a request gets.
type answer struct {
	id    uint64
	error bool
	data  string // of an answer without error
}

// outcome is what a node does with all that a client has sent.
type outcome struct {
	handshakes int      // answers to handshakes
	ran        []string // payloads of the handler's calls, in order
	answers    []answer
	ended      bool // the node ends the connection
	partial    bool // the last packet is not whole
	working    bool // the handshake is over
	gzip       bool // a payload says that it is compressed, which was not agreed
}

// run has the model read what a client sends.
func run(stream []byte) (o outcome) {
	shaken, wantsErrors := false, false
	for len(stream) > 0 && !o.ended {
		kind := stream[0]
		if kind < 1 || kind > 5 {
			o.ended = true
			return o
		}
		if len(stream) < 4 {
			o.partial = true
			return o
		}
		n := int(stream[1])<<16 | int(stream[2])<<8 | int(stream[3])
		if n > maxBody {
			o.ended = true
			return o
		}
		if len(stream) < 4+n {
			o.partial = true
			return o
		}
		body := stream[4 : 4+n]
		stream = stream[4+n:]
		switch kind {
		case 1:
			o.handshakes++
			if !shaken {
				shaken, wantsErrors = true, accepts(body)
			}
		case 2:
			if !shaken {
				o.ended = true
			}
			o.working = shaken
		case 4:
			if !o.working {
				o.ended = true
				return o
			}
			o.message(body, wantsErrors)
		}
	}
	return o
}

// accepts tells whether the client reads error responses.
func accepts(body []byte) bool {
	var said struct {
		Sys struct{ Accept []string }
	}
	if !bytes.Contains(body, []byte(`"accept"`)) || json.Unmarshal(body, &said) != nil {
		return false
	}
	for _, word := range said.Sys.Accept {
		if word == "error" {
			return true
		}
	}
	return false
}

// message is one message to a node whose only route is "M.Echo", with code 1 in the dictionary.
func (o *outcome) message(b []byte, wantsErrors bool) {
	o.ended = true // until it is found to be whole
	if len(b) == 0 {
		return
	}
	kind, rest := b[0]>>1&7, b[1:]
	var id uint64
	if kind == 0 || kind == 2 {
		shift, last := uint(0), false
		for i := 0; i < 10 && i < len(rest); i++ {
			c := rest[i]
			if i == 9 && c > 1 {
				return // over 64 bits
			}
			id |= uint64(c&0x7f) << shift
			shift += 7
			if c < 0x80 {
				rest, last = rest[i+1:], true
				break
			}
		}
		if !last {
			return
		}
	}
	route := ""
	switch {
	case kind > 3:
		return
	case kind == 2:
	case b[0]&1 != 0:
		if len(rest) < 2 || rest[0] != 0 || rest[1] != 1 {
			return
		}
		route, rest = "M.Echo", rest[2:]
	default:
		if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
			return
		}
		n := 1 + int(rest[0])
		route, rest = string(rest[1:n]), rest[n:]
	}
	o.ended = false
	if kind > 1 {
		return // only servers send these
	}
	o.gzip = o.gzip || b[0]&0x10 != 0
	if route == "M.Echo" {
		o.ran = append(o.ran, string(rest))
	}
	switch {
	case kind == 1 || id == 0:
	case route == "M.Echo":
		o.answers = append(o.answers, answer{id: id, data: string(rest)})
	case wantsErrors:
		o.answers = append(o.answers, answer{id: id, error: true})
	}
}
