package codec_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lonng/nano/codec"
)

// vector is one entry of testdata/vectors.json: what clients in the field send
// and expect, byte for byte.
type vector struct {
	Name   string            `json:"name"`
	Hex    string            `json:"hex"`
	Dict   map[string]uint16 `json:"dict"`
	Packet *struct {
		Type    codec.PacketType `json:"type"`
		BodyHex string           `json:"bodyHex"`
	} `json:"packet"`
	Message *struct {
		Type    string      `json:"type"`
		ID      json.Number `json:"id"` // up to 2^64-1
		Route   string      `json:"route"`
		DataHex string      `json:"dataHex"`
	} `json:"message"`
}

func loadVectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// unhex reads the file's notation: hex digits, or "repeat 62 x 65535", or several of
// those joined by " then ".
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for part := range strings.SplitSeq(s, " then ") {
		var digits string
		n := 1
		if _, err := fmt.Sscanf(part, "repeat %s x %d", &digits, &n); err != nil {
			digits, n = part, 1
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%q: %v", part, err)
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out
}

// message returns the vector's message in our type.
func (v vector) message(t testing.TB) codec.Message {
	t.Helper()
	types := map[string]codec.Type{
		"request": codec.Request, "notify": codec.Notify,
		"response": codec.Response, "push": codec.Push,
	}
	typ, ok := types[v.Message.Type]
	if !ok {
		t.Fatalf("no message type %q", v.Message.Type)
	}
	var id uint64
	if _, err := fmt.Sscan(v.Message.ID.String(), &id); err != nil {
		t.Fatal(err)
	}
	return codec.Message{Type: typ, ID: id, Route: v.Message.Route, Data: unhex(t, v.Message.DataHex)}
}

// If one of these fails, a client that is in people's hands stops to understand us,
// or we it.
func TestGoldenVectors(t *testing.T) {
	all := loadVectors(t)
	packets, messages := 0, 0
	for _, v := range all {
		wire := clip(unhex(t, v.Hex))
		switch {
		case v.Packet != nil:
			packets++
			t.Run("packet/"+v.Name, func(t *testing.T) { goldenPacket(t, v, wire) })
		case v.Message != nil:
			messages++
			t.Run("message/"+v.Name, func(t *testing.T) { goldenMessage(t, v, wire) })
		default:
			t.Errorf("%q is neither a packet nor a message", v.Name)
		}
	}
	if packets < 8 || messages < 30 {
		t.Errorf("only %d packets and %d messages: the file is not the whole one", packets, messages)
	}
}

func goldenPacket(t *testing.T, v vector, wire []byte) {
	body := unhex(t, v.Packet.BodyHex)
	if got := codec.AppendPacket(nil, v.Packet.Type, body); !bytes.Equal(got, wire) {
		t.Errorf("encoded as %.40x, want %.40x", got, wire)
	}
	for name, cuts := range map[string][]int{"whole": nil, "bytewise": bytewise(wire)} {
		var d codec.Decoder
		got, err := decode(&d, wire, cuts...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got) != 1 || got[0] != (packet{v.Packet.Type, string(body)}) {
			t.Errorf("%s: decoded as %.80v", name, got)
		}
		if d.Partial() {
			t.Errorf("%s: bytes are left over", name)
		}
	}
}

func goldenMessage(t *testing.T, v vector, wire []byte) {
	want := v.message(t)
	var dict *codec.Dictionary
	if v.Dict != nil {
		dict = mustDictionary(t, v.Dict)
	}

	got, err := codec.AppendMessage(nil, &want, dict)
	if err != nil || !bytes.Equal(got, wire) {
		t.Errorf("encoded as %x (%v), want %x", got, err, wire)
	}
	if dict == nil {
		if got, err := want.Encode(); err != nil || !bytes.Equal(got, wire) {
			t.Errorf("Encode gave %x (%v), want %x", got, err, wire)
		}
	}
	framed, err := codec.AppendData(nil, want.Type, want.ID, want.Route, want.Data, 0, dict, 0)
	if err != nil || !bytes.Equal(framed, codec.AppendPacket(nil, codec.Data, wire)) {
		t.Errorf("in its packet encoded as %x (%v), want %x", framed, err, wire)
	}

	view, err := codec.ParseMessage(wire)
	if err != nil {
		t.Fatal(err)
	}
	inside(t, wire, view.Route)
	inside(t, wire, view.Data)
	m, err := view.Message(dict)
	if err != nil {
		t.Fatal(err)
	}
	if !sameMessage(m, &want) {
		t.Errorf("decoded as %+v, want %+v", m, want)
	}
}

func sameMessage(a, b *codec.Message) bool {
	return a.Type == b.Type && a.ID == b.ID && a.Route == b.Route &&
		bytes.Equal(a.Data, b.Data) && a.Err == b.Err && a.Gzip == b.Gzip
}
