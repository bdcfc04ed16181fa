// Package decode explains the bytes of nano's protocol, each of them.
package decode

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lonng/nano/codec"
)

// maxInflated is how much of a compressed payload is shown.
const maxInflated = 1 << 20

// Error is something wrong in the bytes.
type Error struct {
	Where  string // in a capture: connection and side; else empty
	Offset int    // of the byte that is wrong, from the start of the input or, in a capture, of what the side has sent
	Reason string
}

// Error says where and what.
func (e *Error) Error() string {
	where := ""
	if e.Where != "" {
		where = e.Where + ", "
	}
	return fmt.Sprintf("%sbyte %d: %s", where, e.Offset, e.Reason)
}

// Explainer writes explanations. The zero value needs Out. It belongs to one goroutine.
type Explainer struct {
	Out io.Writer
	// Dictionary gives the routes of codes. A dictionary in a handshake that comes along takes its
	// place.
	Dictionary *codec.Dictionary
	// MaxBody is the largest body that is no error, in bytes. 0: the largest there can be.
	MaxBody int
	// All shows every byte of long bodies too; else their middle is left out.
	All bool

	failed []error
	werr   error
	where  string                       // in a capture
	known  map[string]*codec.Dictionary // by the version under which a server gave them
}

// flow is a stream of packets that comes piece by piece.
type flow struct {
	name   string // before the number of a packet
	n, at  int    // packets, and bytes of them
	rest   []byte // of a packet that is not complete
	broken bool   // nothing can be told any more
}

// Packets explains a stream of packets. The error joins an *Error for each thing that is wrong.
func (x *Explainer) Packets(data []byte) error {
	x.failed, x.werr = nil, nil
	if len(data) == 0 {
		return &Error{Reason: "there is nothing to decode"}
	}
	f := flow{name: "packet"}
	x.feed(&f, data)
	x.finish(&f)
	return x.end()
}

// feed explains the packets that are complete with data.
func (x *Explainer) feed(f *flow, data []byte) {
	f.rest = append(f.rest, data...)
	for len(f.rest) > 0 && !f.broken && x.packet(f, false) {
	}
}

// finish explains what is left: a packet that is cut off.
func (x *Explainer) finish(f *flow) {
	if len(f.rest) > 0 && !f.broken {
		x.packet(f, true)
	}
}

// packet explains the next packet. False: it is not complete, and not the last.
func (x *Explainer) packet(f *flow, last bool) bool {
	limit := x.MaxBody
	if limit <= 0 {
		limit = codec.MaxPacket
	}
	at, head := f.at, f.rest
	t := codec.PacketType(head[0])
	size := 0
	if t.Valid() {
		complete := len(head) >= codec.HeadLength
		if complete {
			size = int(binary.BigEndian.Uint32(head) & codec.MaxPacket)
			complete = size > limit || len(head)-codec.HeadLength >= size
		}
		if !complete && !last {
			return false
		}
	}
	f.n++
	f.broken = true // unless all is well to its end
	if !t.Valid() {
		x.printf("%s %d\n", f.name, f.n)
		x.fail(at, head, fmt.Sprintf("no such packet type: %d; there are 1 to 5", head[0]))
		return true
	}
	if len(head) < codec.HeadLength {
		x.printf("%s %d: %s\n", f.name, f.n, packetName(t))
		x.fail(at, head, fmt.Sprintf("cut off inside the head: it has 4 bytes, here are %d", len(head)))
		return true
	}
	x.printf("%s %d: %s, body of %s\n", f.name, f.n, packetName(t), count(size))
	x.line(at, head[:1], fmt.Sprintf("type %d: %s", t, packetName(t)))
	if size > limit {
		x.fail(at+1, head[1:4], fmt.Sprintf("body of %s, the limit is %d", count(size), limit))
		return true
	}
	x.line(at+1, head[1:4], "length of the body: "+count(size))
	if len(head)-codec.HeadLength < size {
		x.fail(at+codec.HeadLength, head[codec.HeadLength:],
			fmt.Sprintf("cut off inside the body: %s announced, here are %d", count(size), len(head)-codec.HeadLength))
		return true
	}
	x.body(at+codec.HeadLength, t, head[codec.HeadLength:codec.HeadLength+size])
	f.at += codec.HeadLength + size
	f.rest = head[codec.HeadLength+size:]
	f.broken = false
	return true
}

// Message explains one message, the body of a data packet. The error joins an *Error for each thing
// that is wrong.
func (x *Explainer) Message(data []byte) error {
	x.failed, x.werr = nil, nil
	x.message(0, data)
	return x.end()
}

func (x *Explainer) end() error { return errors.Join(append(x.failed, x.werr)...) }

func packetName(t codec.PacketType) string {
	return map[codec.PacketType]string{
		codec.Handshake: "handshake", codec.HandshakeAck: "handshake ack", codec.Heartbeat: "heartbeat",
		codec.Data: "data", codec.Kick: "kick",
	}[t]
}

func (x *Explainer) body(at int, t codec.PacketType, body []byte) {
	switch t {
	case codec.Data:
		x.message(at, body)
	case codec.Handshake:
		x.json(at, body, "handshake")
		x.dictionary(at, body)
		x.resume(body)
	case codec.Heartbeat:
		x.beat(at, body)
	case codec.Kick:
		x.json(at, body, "reason")
	default:
		if len(body) > 0 {
			x.dump(at, body, "a body that means nothing here")
		}
	}
}

// dictionary takes over what a handshake says of routes. A server leaves out what the client has
// had from it before.
func (x *Explainer) dictionary(at int, body []byte) {
	version := versionOf(body)
	if routes, err := routesOf(body); err == nil && bytes.Contains(body, []byte(`"dict"`)) {
		dict, err := codec.NewDictionary(routes)
		if err != nil {
			x.fail(at, nil, err.Error())
			return
		}
		x.Dictionary = dict
		if version != "" {
			if x.known == nil {
				x.known = make(map[string]*codec.Dictionary)
			}
			x.known[version] = dict
		}
		x.note(fmt.Sprintf("its dictionary of %d routes is used from here on", dict.Len()))
	} else if dict := x.known[version]; dict != nil && bytes.Contains(body, []byte(`"code"`)) {
		x.Dictionary = dict
		x.note(fmt.Sprintf("the dictionary %s of %d routes, which came before, is used from here on", version, dict.Len()))
	}
}

// json shows a body that should be JSON.
func (x *Explainer) json(at int, body []byte, what string) {
	if len(body) == 0 {
		return
	}
	var v any
	err := json.Unmarshal(body, &v)
	if err == nil {
		x.dump(at, body, what+", JSON")
		x.value(body)
		return
	}
	x.dump(at, body, what)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		off := min(max(int(syntax.Offset)-1, 0), len(body)-1)
		x.fail(at+off, body[off:off+1], "not JSON: "+err.Error())
		return
	}
	x.fail(at, nil, "not JSON: "+err.Error())
}

func (x *Explainer) message(at int, b []byte) {
	if len(b) == 0 {
		x.fail(at, nil, "an empty message: there is no flag byte")
		return
	}
	flag, t := b[0], codec.Type(b[0]>>1&7)
	if t > codec.Push {
		x.fail(at, b[:1], fmt.Sprintf("no such message type: %d; there are 0 to 3", t))
		x.rest(at+1, b[1:])
		return
	}
	bare := t == codec.Response
	x.line(at, b[:1], flagText(flag, t))
	i := 1
	if t == codec.Request || bare {
		n, reason := varint(b[i:])
		if reason != "" {
			x.fail(at+i, b[i:i+n], reason)
			x.rest(at+i+n, b[i+n:])
			return
		}
		id := uint64(0)
		for j := n - 1; j >= 0; j-- {
			id = id<<7 | uint64(b[i+j]&0x7f)
		}
		text := fmt.Sprintf("id %d", id)
		if id == 0 {
			text += ": no answer is wanted"
		}
		x.line(at+i, b[i:i+n], text)
		i += n
	}
	switch {
	case bare:
	case flag&1 != 0:
		if len(b)-i < 2 {
			x.fail(at+i, b[i:], fmt.Sprintf("cut off inside the route's code: it has 2 bytes, here are %d", len(b)-i))
			return
		}
		code := binary.BigEndian.Uint16(b[i:])
		route, ok := x.Dictionary.Route(code)
		if ok {
			x.line(at+i, b[i:i+2], fmt.Sprintf("route, code %d: %q", code, route))
		} else {
			x.fail(at+i, b[i:i+2], fmt.Sprintf("route code %d is not in the dictionary, which has %d routes", code, x.Dictionary.Len()))
		}
		i += 2
	default:
		if len(b) == i {
			x.fail(at+i, nil, "cut off before the length of the route")
			return
		}
		n := int(b[i])
		if n > len(b)-i-1 {
			x.fail(at+i, b[i:i+1], fmt.Sprintf("route of %s, but only %d left", count(n), len(b)-i-1))
			x.rest(at+i+1, b[i+1:])
			return
		}
		x.line(at+i, b[i:i+1], "length of the route: "+count(n))
		x.dump(at+i+1, b[i+1:i+1+n], fmt.Sprintf("route %q", b[i+1:i+1+n]))
		if t == codec.Push && string(b[i+1:i+1+n]) == drainRoute {
			x.note("resume: the server is drained, and the client is to come back on another connection")
		}
		i += 1 + n
	}
	x.payload(at+i, b[i:], flag&byte(codec.FlagGzip) != 0, bare && flag&byte(codec.FlagError) != 0)
}

// flagText explains a flag byte bit by bit.
func flagText(flag byte, t codec.Type) string {
	text := fmt.Sprintf("flag: %s", strings.ToLower(t.String()))
	switch {
	case t == codec.Response && flag&1 != 0:
		text += ", bit 0 (means nothing in a response)"
	case t == codec.Response:
	case flag&1 != 0:
		text += ", route as a code"
	default:
		text += ", route written out"
	}
	if flag&byte(codec.FlagGzip) != 0 {
		text += ", payload is gzip"
	}
	if flag&byte(codec.FlagError) != 0 {
		if t == codec.Response {
			text += ", is an error"
		} else {
			text += fmt.Sprintf(", error bit (means nothing in a %s)", strings.ToLower(t.String()))
		}
	}
	if odd := flag & 0xc0; odd != 0 {
		text += fmt.Sprintf(", bits without a meaning: %#x", odd)
	}
	return text
}

// varint returns how many bytes an id has, or how many to point at and what is wrong with them.
func varint(b []byte) (n int, reason string) {
	for n < len(b) {
		n++
		if b[n-1] < 0x80 {
			if n == 10 && b[9] > 1 {
				return n, "the id does not fit 64 bits"
			}
			return n, ""
		}
		if n == 10 {
			return n, "an id of more than 10 bytes"
		}
	}
	return n, "cut off inside the id"
}

func (x *Explainer) payload(at int, b []byte, zipped, failure bool) {
	what := "payload"
	if failure {
		what = "error"
	}
	if len(b) == 0 {
		x.note("no " + what)
		return
	}
	if !zipped {
		x.dump(at, b, describe(what, b))
		x.value(b)
		return
	}
	x.dump(at, b, what+", gzip, "+count(len(b)))
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		x.fail(at, nil, "not gzip: "+err.Error())
		return
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	switch {
	case err != nil:
		x.fail(at, nil, "broken gzip: "+err.Error())
	case len(plain) > maxInflated:
		x.note(fmt.Sprintf("decompressed: more than %s, not shown", count(maxInflated)))
	default:
		x.note("decompressed: " + describe(what, plain))
		x.value(plain)
	}
}

func describe(what string, b []byte) string {
	switch {
	case len(b) == 0:
		return "nothing"
	case json.Valid(b):
		return what + ", JSON, " + count(len(b))
	case text(b):
		return what + ", text, " + count(len(b))
	}
	return what + ", " + count(len(b))
}
