package wsframe_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/lonng/nano/internal/wsframe"
)

// The examples of RFC 6455, section 5.7: what every browser sends and reads.
func TestExamplesOfTheStandard(t *testing.T) {
	tests := []struct {
		name   string
		client bool // a server's frames, which a client reads
		hex    string
		want   []event
	}{
		{"unmasked text", true, "81 05 48 65 6c 6c 6f", []event{{wsframe.Data, "Hello"}}},
		{"masked text", false, "81 85 37 fa 21 3d 7f 9f 4d 51 58", []event{{wsframe.Data, "Hello"}}},
		{"fragmented text", true, "01 03 48 65 6c 80 02 6c 6f", []event{{wsframe.Data, "Hello"}}},
		{"ping", true, "89 05 48 65 6c 6c 6f", []event{{wsframe.Ping, "Hello"}}},
		{"masked pong", false, "8a 85 37 fa 21 3d 7f 9f 4d 51 58", []event{{wsframe.Pong, "Hello"}}},
		{"256 bytes", true, "82 7e 01 00" + strings.Repeat("61", 256), []event{{wsframe.Data, strings.Repeat("a", 256)}}},
		{"64 KiB", true, "82 7f 00 00 00 00 00 01 00 00" + strings.Repeat("61", 65536), []event{{wsframe.Data, strings.Repeat("a", 65536)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := unhex(t, tt.hex)
			for name, cuts := range map[string][]int{"whole": nil, "bytewise": bytewise(wire)} {
				var r reader
				if tt.client {
					r.InitClient(0)
				}
				if err := r.feedCut(t, wire, cuts...); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if !slices.Equal(r.events, tt.want) || r.Partial() {
					t.Errorf("%s: %v, want %v", name, r.events, tt.want)
				}
			}
		})
	}
}

// Fragments, empty frames and control frames in between, cut anywhere, give the
// bytes that the client sent.
func TestParserSplits(t *testing.T) {
	wire := bytes.Join([][]byte{
		masked(wsframe.OpBinary, true, "one"),
		masked(wsframe.OpText, true, ""),
		masked(wsframe.OpBinary, false, "tw"),
		masked(wsframe.OpPing, true, "p"),
		masked(wsframe.OpContinuation, false, ""),
		masked(wsframe.OpContinuation, true, "o"),
		masked(wsframe.OpText, false, ""),
		masked(wsframe.OpPong, true, ""),
		masked(wsframe.OpContinuation, true, ""),
		masked(wsframe.OpClose, true, "\x03\xe8bye"),
	}, nil)
	want := []event{
		{wsframe.Data, "one"}, {wsframe.Data, ""}, {wsframe.Ping, "p"}, {wsframe.Data, "two"},
		{wsframe.Pong, ""}, {wsframe.Data, ""}, {wsframe.Close, "\x03\xe8bye"},
	}
	check := func(cuts ...int) {
		t.Helper()
		var r reader
		if err := r.feedCut(t, wire, cuts...); err != nil {
			t.Fatalf("cut at %v: %v", cuts, err)
		}
		if !slices.Equal(r.events, want) || r.Partial() {
			t.Fatalf("cut at %v: %v, want %v", cuts, r.events, want)
		}
	}
	check()
	check(bytewise(wire)...)
	for i := range wire {
		for j := i; j < len(wire); j++ {
			check(i, j)
		}
	}
}

// What breaks the rules ends the connection with the code that says so, and is
// noticed at once however it is cut: a byte further it would be read as something else.
func TestParserRefuses(t *testing.T) {
	mask := func(first byte, length ...byte) []byte {
		length[0] |= 0x80
		return append(append([]byte{first}, length...), 1, 2, 3, 4)
	}
	start := masked(wsframe.OpBinary, false, "ab")
	tests := []struct {
		name   string
		client bool
		limit  int
		wire   []byte
		code   int
	}{
		{"unmasked from a client", false, 0, []byte{0x82, 0x01}, 1002},
		{"masked from a server", true, 0, []byte{0x82, 0x81}, 1002},
		{"first reserved bit", false, 0, []byte{0xc2}, 1002},
		{"second reserved bit", false, 0, []byte{0xa2}, 1002},
		{"third reserved bit", false, 0, []byte{0x92}, 1002},
		{"opcode 3", false, 0, []byte{0x83}, 1002},
		{"opcode 7", false, 0, []byte{0x87}, 1002},
		{"opcode 11", false, 0, []byte{0x8b}, 1002},
		{"opcode 15", false, 0, []byte{0x8f}, 1002},
		{"fragmented ping", false, 0, []byte{0x09}, 1002},
		{"fragmented close", false, 0, []byte{0x08}, 1002},
		{"long ping", false, 0, []byte{0x89, 0xfe}, 1002},
		{"very long close", false, 0, []byte{0x88, 0xff}, 1002},
		{"continuation first", false, 0, []byte{0x80}, 1002},
		{"continuation after a whole message", false, 0, append(masked(wsframe.OpText, true, "a"), 0x80), 1002},
		{"new message inside of another", false, 0, append(slices.Clone(start), 0x82), 1002},
		{"top bit of a 64-bit length", false, 0, []byte{0x82, 0xff, 0x80}, 1002},
		{"one over the limit", false, 10, mask(0x82, 11), 1009},
		{"over the limit, 16 bits", false, 10, mask(0x82, 126, 0, 11), 1009},
		{"over the limit, 64 bits", false, 10, mask(0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255), 1009},
		{"over the limit in fragments", false, 3, append(slices.Clone(start), mask(0x80, 2)...), 1009},
		{"fragments over 63 bits", false, 0, append(slices.Clone(start), mask(0x80, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255)...), 1009},
		{"one byte's length in 16 bits", false, 0, mask(0x82, 126, 0, 125), 1002},
		{"no length in 16 bits", false, 0, mask(0x82, 126, 0, 0), 1002},
		{"one byte's length in 64 bits", false, 0, mask(0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1), 1002},
		{"two bytes' length in 64 bits", false, 0, mask(0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff), 1002},
		{"long length from a server", true, 0, []byte{0x82, 126, 0, 125}, 1002},
		{"close with half a code", false, 0, masked(wsframe.OpClose, true, "\x03"), 1002},
		{"close with code 999", false, 0, masked(wsframe.OpClose, true, "\x03\xe7"), 1002},
		{"close with code 1005", false, 0, masked(wsframe.OpClose, true, "\x03\xed"), 1002},
		{"close with code 2999", false, 0, masked(wsframe.OpClose, true, "\x0b\xb7"), 1002},
		{"close with code 5000", false, 0, masked(wsframe.OpClose, true, "\x13\x88"), 1002},
		{"close whose reason is not UTF-8", false, 0, masked(wsframe.OpClose, true, "\x03\xe8\xff"), 1007},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, cuts := range map[string][]int{"whole": nil, "bytewise": bytewise(tt.wire)} {
				var r reader
				r.Init(tt.limit)
				if tt.client {
					r.InitClient(tt.limit)
				}
				err := r.feedCut(t, tt.wire, cuts...)
				var e *wsframe.Error
				if !errors.As(err, &e) || e.Code != tt.code || wsframe.CloseCode(err) != tt.code {
					t.Fatalf("%s: %v, want close code %d", name, err, tt.code)
				}
				if len(e.Reason) == 0 || len(e.Reason) > 123 || !strings.Contains(e.Error(), e.Reason) {
					t.Errorf("%s: the reason %q does not fit a close frame, or is not in the error", name, e.Reason)
				}
				if again := r.feed(t, masked(wsframe.OpBinary, true, "more")); again != err {
					t.Errorf("%s: then %v; want the same error for good", name, again)
				}
			}
		})
	}
}

// A limit means that many bytes are still legal, in each message anew.
func TestParserLimit(t *testing.T) {
	var r reader
	r.Init(4)
	wire := bytes.Join([][]byte{
		masked(wsframe.OpBinary, true, "four"),
		masked(wsframe.OpBinary, false, "fo"),
		masked(wsframe.OpPing, true, "not a part of the message"),
		masked(wsframe.OpContinuation, true, "ur"),
		masked(wsframe.OpText, true, "four"),
	}, nil)
	if err := r.feed(t, wire); err != nil || len(r.events) != 4 {
		t.Errorf("%v, %v", r.events, err)
	}
}

// A reader hands on what has come without waiting for the end of the frame.
func TestParserGivesPieces(t *testing.T) {
	var p wsframe.Parser
	wire := masked(wsframe.OpBinary, true, "abcdef")
	head := len(wire) - 6

	ev, rest, err := p.Next(wire[:head+2])
	if err != nil || ev.Kind != wsframe.Data || ev.Final || string(ev.Payload) != "ab" || len(rest) != 0 {
		t.Fatalf("%+v, %d left, %v", ev, len(rest), err)
	}
	if &ev.Payload[0] != &wire[head] {
		t.Error("the payload was copied")
	}
	if !p.Partial() {
		t.Error("a stream that ended here would not count as cut off")
	}
	ev, rest, err = p.Next(wire[head+2:])
	if err != nil || !ev.Final || string(ev.Payload) != "cdef" || len(rest) != 0 || p.Partial() {
		t.Fatalf("%+v, %d left, %v", ev, len(rest), err)
	}
}

// All bytes must be unmasked right whatever their number and wherever a piece ends,
// and none beside them.
func TestUnmaskAtEveryLengthAndOffset(t *testing.T) {
	payload := make([]byte, 100)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	for n := range len(payload) + 1 {
		wire := wsframe.AppendMasked(nil, wsframe.OpBinary, true, key, payload[:n])
		for i := range n {
			if got := wire[len(wire)-n+i]; got != payload[i]^key[i%4] {
				t.Fatalf("byte %d of %d is masked as %x", i, n, got)
			}
		}
		for cut := range wire {
			var r reader
			if err := r.feedCut(t, wire, cut); err != nil {
				t.Fatal(err)
			}
			if len(r.events) != 1 || r.events[0].payload != string(payload[:n]) {
				t.Fatalf("%d bytes cut at %d came out wrong", n, cut)
			}
		}
	}
}

// A close frame is told to the application as what it says.
func TestParseClose(t *testing.T) {
	for payload, want := range map[string]struct {
		code   int
		reason string
	}{
		"":            {wsframe.CloseNoStatus, ""},
		"\x03":        {wsframe.CloseNoStatus, ""},
		"\x03\xe9":    {1001, ""},
		"\x03\xe8bye": {1000, "bye"},
	} {
		if code, reason := wsframe.ParseClose([]byte(payload)); code != want.code || reason != want.reason {
			t.Errorf("%x: %d %q, want %d %q", payload, code, reason, want.code, want.reason)
		}
	}
	for _, code := range []int{1000, 1001, 1003, 1014, 3000, 4999} {
		var r reader
		wire := wsframe.AppendMasked(nil, wsframe.OpClose, true, key, wsframe.AppendCloseBody(nil, code, ""))
		if err := r.feed(t, wire); err != nil {
			t.Errorf("close code %d: %v", code, err)
		}
	}
}

// An error that is not about frames is the server's own.
func TestCloseCodeOfOtherErrors(t *testing.T) {
	if got := wsframe.CloseCode(errors.New("disk full")); got != wsframe.CloseInternalError {
		t.Errorf("close code %d", got)
	}
}

// Logs name events by these.
func TestKindString(t *testing.T) {
	for kind, want := range map[wsframe.Kind]string{
		wsframe.None: "None", wsframe.Data: "Data", wsframe.Ping: "Ping", wsframe.Pong: "Pong", wsframe.Close: "Close", 9: "Kind(9)",
	} {
		if got := kind.String(); got != want {
			t.Errorf("%d is called %q, want %q", kind, got, want)
		}
	}
}

// The parser is a part of every idle connection.
func TestParserIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(wsframe.Parser{}); n > 88 {
		t.Errorf("a parser takes %d bytes of each connection, at most 88", n)
	}
}

// The bit of permessage-deflate is allowed where both ends have agreed on it, on the first frame of
// a message, and each piece of that message bears it.
func TestCompressedMessages(t *testing.T) {
	masked := func(op byte, fin bool, payload string) []byte {
		return wsframe.AppendMasked(nil, op, fin, [4]byte{1, 2, 3, 4}, []byte(payload))
	}
	for _, row := range []struct {
		name   string
		agreed bool
		stream []byte
		want   string // payloads, with a * before compressed ones; or the error's reason
	}{
		{"not agreed", false, masked(wsframe.Compressed|wsframe.OpBinary, true, "a"), "reserved bit set"},
		{"one", true, masked(wsframe.Compressed|wsframe.OpBinary, true, "a"), "*a"},
		{"text", true, masked(wsframe.Compressed|wsframe.OpText, true, "a"), "*a"},
		{"two and one without", true, slices.Concat(masked(wsframe.Compressed|wsframe.OpBinary, true, "a"), masked(wsframe.OpBinary, true, "b"), masked(wsframe.Compressed|wsframe.OpBinary, true, "c")), "*ab*c"},
		{"fragments", true, slices.Concat(masked(wsframe.Compressed|wsframe.OpBinary, false, "a"), masked(wsframe.OpContinuation, false, "b"), masked(wsframe.OpPing, true, ""), masked(wsframe.OpContinuation, true, "c")), "*a*b*c"},
		{"fragments without", true, slices.Concat(masked(wsframe.OpBinary, false, "a"), masked(wsframe.OpContinuation, true, "b"), masked(wsframe.OpBinary, true, "c")), "abc"},
		{"on a continuation", true, slices.Concat(masked(wsframe.Compressed|wsframe.OpBinary, false, "a"), masked(wsframe.Compressed|wsframe.OpContinuation, true, "b")), "reserved bit set"},
		{"on a control frame", true, masked(wsframe.Compressed|wsframe.OpClose, true, ""), "reserved bit set"},
		{"another bit", true, masked(0x20|wsframe.OpBinary, true, "a"), "reserved bit set"},
		{"all bits", true, masked(0x70|wsframe.OpBinary, true, "a"), "reserved bit set"},
	} {
		for _, cut := range []int{1, 3, len(row.stream)} {
			var p wsframe.Parser
			p.Init(0)
			if row.agreed {
				p.AllowCompressed()
			}
			got := ""
			stream := slices.Clone(row.stream)
			for piece := range slices.Chunk(stream, cut) {
				for {
					ev, rest, err := p.Next(piece)
					if err != nil {
						var e *wsframe.Error
						if errors.As(err, &e) {
							got = e.Reason
						}
						break
					}
					if ev.Kind == wsframe.None {
						break
					}
					if ev.Kind == wsframe.Data && ev.Compressed {
						got += "*"
					}
					if ev.Kind == wsframe.Data {
						got += string(ev.Payload)
					}
					piece = rest
				}
			}
			if got != row.want {
				t.Errorf("%s, cut at %d: %q, want %q", row.name, cut, got, row.want)
			}
		}
	}
}
