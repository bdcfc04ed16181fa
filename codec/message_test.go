package codec_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/lonng/nano/codec"
)

func repeat(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Each of these ended the process of an earlier implementation or was taken for
// another message. The inputs have no spare byte behind them.
func TestParseMessageRefuses(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"request, no id", []byte{0x00}},
		{"response, no id", []byte{0x04}},
		{"request, id unterminated", []byte{0x00, 0x80}},
		{"response, id unterminated", []byte{0x04, 0xff, 0xff, 0xff}},
		{"response, ten bytes unterminated", join([]byte{0x04}, repeat(0x80, 10))},
		{"response, id of eleven bytes", join([]byte{0x04}, repeat(0x80, 10), []byte{0x01})},
		{"request, id of eleven bytes", join([]byte{0x00}, repeat(0xff, 10), []byte{0x01, 0x00})},
		{"response, id of ten bytes and over 64 bits", join([]byte{0x04}, repeat(0xff, 9), []byte{0x02})},
		{"request, no route", []byte{0x00, 0x01}},
		{"notify, no route", []byte{0x02}},
		{"push, no route", []byte{0x06}},
		{"notify, route cut off", []byte{0x02, 0x03, 'a', 'b'}},
		{"push, 255-byte route without a byte", []byte{0x06, 0xff}},
		{"request, route one byte short", join([]byte{0x00, 0x01, 0xff}, repeat('r', 254))},
		{"notify, no code", []byte{0x03}},
		{"push, half a code", []byte{0x07, 0x00}},
		{"request, half a code", []byte{0x01, 0x05, 0x00}},
		{"type 4", []byte{0x08, 0x01, 0x01, 'a'}},
		{"type 5, compressed", []byte{0x0b, 0x00, 0x01}},
		{"type 7", []byte{0x0e, 0x01, 0x01, 'a'}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v, err := codec.ParseMessage(clip(tt.b)); !errors.Is(err, codec.ErrMessageInvalid) {
				t.Errorf("%x was read as %+v, %v", tt.b, v, err)
			}
		})
	}
}

// Every beginning of a good message is either refused or a good message with less
// payload; none is read past its end.
func TestParseMessageCutAnywhere(t *testing.T) {
	for _, v := range loadVectors(t) {
		if v.Message == nil {
			continue
		}
		wire := unhex(t, v.Hex)
		whole, err := codec.ParseMessage(wire)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		need := len(wire) - len(whole.Data)
		for n := range wire {
			got, err := codec.ParseMessage(clip(wire[:n]))
			if n < need && !errors.Is(err, codec.ErrMessageInvalid) {
				t.Errorf("%s, %d bytes of %d: %+v, %v", v.Name, n, need, got, err)
			}
			if n >= need && (err != nil || len(got.Data) != n-need) {
				t.Errorf("%s, %d bytes: %+v, %v", v.Name, n, got, err)
			}
		}
	}
}

// What clients of the family send beside the plain form must be served, not refused.
func TestParseMessageTolerates(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
		want codec.View
	}{
		{"empty response", []byte{0x04, 0x01}, codec.View{Type: codec.Response, ID: 1}},
		{"request, id 0", []byte{0x00, 0x00, 0x01, 'a'}, codec.View{Type: codec.Request, Route: []byte("a")}},
		{"empty route", []byte{0x02, 0x00, 'x'}, codec.View{Type: codec.Notify, Data: []byte("x")}},
		{"longer form of an id", []byte{0x04, 0x81, 0x00, 'x'}, codec.View{Type: codec.Response, ID: 1, Data: []byte("x")}},
		{"largest id", join([]byte{0x04}, repeat(0xff, 9), []byte{0x01}), codec.View{Type: codec.Response, ID: 1<<64 - 1}},
		{"error response", []byte{0x24, 0x01, 'x'}, codec.View{Type: codec.Response, ID: 1, Err: true, Data: []byte("x")}},
		{"error bit on a push means nothing", []byte{0x26, 0x01, 'a'}, codec.View{Type: codec.Push, Route: []byte("a")}},
		{"gzip request", []byte{0x10, 0x01, 0x01, 'a', 'x'}, codec.View{Type: codec.Request, ID: 1, Gzip: true, Route: []byte("a"), Data: []byte("x")}},
		{"gzip, compressed push", []byte{0x17, 0x01, 0x02}, codec.View{Type: codec.Push, Gzip: true, Compressed: true, Code: 258}},
		{"compressed bit on a response means nothing", []byte{0x05, 0x01, 0x02, 0x03}, codec.View{Type: codec.Response, ID: 1, Data: []byte{2, 3}}},
		{"bits without a meaning", []byte{0xc2, 0x01, 'a'}, codec.View{Type: codec.Notify, Route: []byte("a")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := codec.ParseMessage(clip(tt.b))
			if err != nil {
				t.Fatal(err)
			}
			if got.Data == nil {
				t.Error("Data is nil: an empty payload is a payload")
			}
			if !bytes.Equal(got.Route, tt.want.Route) || !bytes.Equal(got.Data, tt.want.Data) {
				t.Errorf("route %q, data %q", got.Route, got.Data)
			}
			got.Route, got.Data, tt.want.Route, tt.want.Data = nil, nil, nil, nil
			if g, w := got, tt.want; g.Type != w.Type || g.ID != w.ID || g.Err != w.Err || g.Gzip != w.Gzip || g.Compressed != w.Compressed || g.Code != w.Code {
				t.Errorf("got %+v, want %+v", g, w)
			}
		})
	}
}

// A code that nobody agreed on must not lead to some handler.
func TestUnknownRouteCode(t *testing.T) {
	dict := mustDictionary(t, map[string]uint16{"Room.Join": 1})
	for name, d := range map[string]*codec.Dictionary{"another dictionary": dict, "no dictionary": nil} {
		v, err := codec.ParseMessage([]byte{0x03, 0x00, 0x02, 'x'})
		if err != nil {
			t.Fatal(err)
		}
		if route, err := v.RouteString(d); !errors.Is(err, codec.ErrRouteCode) || route != "" {
			t.Errorf("%s: route %q, %v", name, route, err)
		}
		if m, err := v.Message(d); !errors.Is(err, codec.ErrRouteCode) || m != nil {
			t.Errorf("%s: message %v, %v", name, m, err)
		}
	}
}

// A Message outlives the read buffer that it came from.
func TestViewMessageCopies(t *testing.T) {
	wire := []byte{0x02, 0x01, 'a', 'x', 'y'}
	v, err := codec.ParseMessage(wire)
	if err != nil {
		t.Fatal(err)
	}
	m, err := v.Message(nil)
	if err != nil {
		t.Fatal(err)
	}
	clear(wire)
	if m.Route != "a" || string(m.Data) != "xy" {
		t.Errorf("changed with the buffer: %q %q", m.Route, m.Data)
	}
}

// Mistakes show at the sender's call. What was in the buffer before stays valid.
func TestEncodeRefuses(t *testing.T) {
	dict := mustDictionary(t, map[string]uint16{"Room.Join": 1})
	long := strings.Repeat("r", codec.MaxRoute+1)
	tests := []struct {
		name string
		m    codec.Message
		max  int // for AppendData
		want error
		data bool // only AppendData refuses
	}{
		{"route too long, push", codec.Message{Type: codec.Push, Route: long}, 0, codec.ErrRouteTooLong, false},
		{"route too long, request", codec.Message{Type: codec.Request, ID: 1, Route: long}, 0, codec.ErrRouteTooLong, false},
		{"type 4", codec.Message{Type: 4, Route: "a"}, 0, codec.ErrMessageInvalid, false},
		{"error push", codec.Message{Type: codec.Push, Route: "a", Err: true}, 0, codec.ErrMessageInvalid, false},
		{"error request", codec.Message{Type: codec.Request, ID: 1, Route: "a", Err: true}, 0, codec.ErrMessageInvalid, false},
		{"payload over the default", codec.Message{Type: codec.Push, Route: "ab", Data: make([]byte, codec.DefaultMaxPacket-3)}, 0, codec.ErrPacketTooLarge, true},
		{"payload over a limit", codec.Message{Type: codec.Response, ID: 128, Data: make([]byte, 8)}, 10, codec.ErrPacketTooLarge, true},
		{"payload over the header", codec.Message{Type: codec.Response, ID: 1, Data: make([]byte, codec.MaxPacket)}, 1 << 30, codec.ErrPacketTooLarge, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := append(make([]byte, 0, 1024), "before"...)
			var flags codec.Flags
			if tt.m.Err {
				flags = codec.FlagError
			}
			got, err := codec.AppendData(dst, tt.m.Type, tt.m.ID, tt.m.Route, tt.m.Data, flags, dict, tt.max)
			if !errors.Is(err, tt.want) || string(got) != "before" {
				t.Errorf("AppendData: %.20q, %v; want %v", got, err, tt.want)
			}
			if tt.data {
				return
			}
			got, err = codec.AppendMessage(dst, &tt.m, dict)
			if !errors.Is(err, tt.want) || string(got) != "before" {
				t.Errorf("AppendMessage: %.20q, %v; want %v", got, err, tt.want)
			}
		})
	}
}

// The limit counts the message, not the payload, and is itself legal.
func TestAppendDataAtTheLimit(t *testing.T) {
	wire, err := codec.AppendData(nil, codec.Push, 0, "ab", make([]byte, 6), 0, nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(codec.NewDecoder(10), wire); err != nil || len(got) != 1 {
		t.Errorf("%d packets, %v: what we may send the other end may not read", len(got), err)
	}
}

// Parts that a type does not have stay off the wire, and so do bits that the caller
// could only have set by mistake.
func TestEncodeLeavesOut(t *testing.T) {
	tests := []struct {
		name  string
		t     codec.Type
		flags codec.Flags
		want  []byte
	}{
		{"response with a route", codec.Response, 0, []byte{0x04, 0x07, 'x'}},
		{"push with an id", codec.Push, 0, []byte{0x06, 0x01, 'a', 'x'}},
		{"notify with an id", codec.Notify, codec.FlagGzip, []byte{0x12, 0x01, 'a', 'x'}},
		{"response, all flags", codec.Response, 0xff, []byte{0x34, 0x07, 'x'}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := codec.AppendData(nil, tt.t, 7, "a", []byte("x"), tt.flags, nil, 0)
			if err != nil || !bytes.Equal(got, codec.AppendPacket(nil, codec.Data, tt.want)) {
				t.Errorf("%x, %v; want the body %x", got, err, tt.want)
			}
		})
	}
}

// One line a message in logs, without what the player wrote.
func TestMessageString(t *testing.T) {
	tests := map[string]codec.Message{
		`Request 7 "Room.Join", 3 bytes`: {Type: codec.Request, ID: 7, Route: "Room.Join", Data: []byte("abc")},
		`Notify "a", 0 bytes`:            {Type: codec.Notify, Route: "a"},
		`Response 7 error gzip, 1 bytes`: {Type: codec.Response, ID: 7, Err: true, Gzip: true, Data: []byte("x")},
		`Push "line\nbreak", 0 bytes`:    {Type: codec.Push, Route: "line\nbreak"},
		`Type(9) "a", 0 bytes`:           {Type: 9, Route: "a"},
	}
	for want, m := range tests {
		if got := m.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
