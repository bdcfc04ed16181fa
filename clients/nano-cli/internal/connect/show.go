package connect

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/lonng/nano/clients/nano-cli/internal/decode"
	"github.com/lonng/nano/codec"
)

// payloadLocked is what is shown of a payload, up to the line's end.
func (s *Session) payloadLocked(data []byte) string {
	var out strings.Builder
	switch {
	case len(data) == 0:
		out.WriteString(": no payload\n")
	case !readable(data):
		fmt.Fprintf(&out, ": %d bytes\n", len(data))
		if !s.hex {
			out.WriteString(indent(hex.Dump(data)))
		}
	default:
		var lines bytes.Buffer
		if s.raw || json.Indent(&lines, data, "", "  ") != nil {
			lines.Reset()
			lines.Write(data)
		}
		if bytes.ContainsRune(bytes.TrimRight(lines.Bytes(), "\n"), '\n') {
			out.WriteString(":\n" + indent(lines.String()))
		} else {
			out.WriteString(": " + strings.TrimRight(lines.String(), "\n") + "\n")
		}
	}
	if s.hex && len(data) > 0 {
		out.WriteString(indent(hex.Dump(data)))
	}
	return out.String()
}

// readable tells whether data can be shown as text, without what moves a terminal's cursor.
func readable(data []byte) bool {
	return utf8.Valid(data) && !bytes.ContainsFunc(data, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r'
	})
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

// tracer sees the packets of the connection.
type tracer struct {
	s  *Session
	on atomic.Bool

	mu   sync.Mutex
	dict *codec.Dictionary // of the last handshake
}

// packet is called for each packet, and for what is sent under the client's lock.
func (t *tracer) packet(sent bool, p codec.Packet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	on := t.on.Load()
	if !on && (sent || p.Type != codec.Handshake) {
		return
	}
	var out bytes.Buffer
	x := decode.Explainer{Out: &out, Dictionary: t.dict}
	_ = x.Packets(codec.AppendPacket(nil, p.Type, p.Body)) // what is wrong is in the text
	t.dict = x.Dictionary
	if !sent && p.Type == codec.Handshake {
		t.routes()
	}
	if !on {
		return
	}
	text := strings.TrimPrefix(out.String(), "packet 1: ")
	if sent {
		t.s.printf(">> %s", text)
	} else {
		t.s.printf("<< %s", text)
	}
}

// routes notes the dictionary's routes for completion.
func (t *tracer) routes() {
	for r := range t.dict.Map() {
		t.s.seen(r)
	}
}
