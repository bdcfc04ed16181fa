package decode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lonng/nano/clients/nano-cli/internal/decode"
	"github.com/lonng/nano/codec"
)

var update = flag.Bool("update", false, "write the golden files anew")

type vector struct {
	Name    string
	Hex     string
	Dict    map[string]uint16
	Packet  *struct{ Type byte }
	Message *struct{ Type string }
}

func vectors(t testing.TB) []vector {
	t.Helper()
	data, err := os.ReadFile("../../../../codec/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// bytes reads the vector's hex, with its "then repeat 62 x 65535".
func (v vector) bytes(t testing.TB) []byte {
	t.Helper()
	head, tail, long := strings.Cut(v.Hex, " then repeat ")
	b, err := hex.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	if long {
		c, n, _ := strings.Cut(tail, " x ")
		one, err := hex.DecodeString(c)
		if err != nil {
			t.Fatal(err)
		}
		times, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, bytes.Repeat(one, times)...)
	}
	return b
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the explanation is not that of %s (-update writes it anew):\n%s", file, got)
	}
}

// Every example of the protocol must be explained, with all that is in it.
func TestVectors(t *testing.T) {
	var out bytes.Buffer
	for _, v := range vectors(t) {
		fmt.Fprintf(&out, "# %s\n", v.Name)
		dict, err := codec.NewDictionary(v.Dict)
		if err != nil {
			t.Fatal(err)
		}
		x := decode.Explainer{Out: &out, Dictionary: dict}
		b := v.bytes(t)
		switch {
		case v.Message != nil:
			if err := x.Message(b); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
			if err := x.Packets(codec.AppendPacket(nil, codec.Data, b)); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		case b[0] == byte(codec.Data): // its body is no message, only bytes
			_ = x.Packets(b)
		default:
			if err := x.Packets(b); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
	}
	golden(t, "vectors", out.Bytes())
}

// A capture that is broken must point at the byte where it breaks.
func TestErrors(t *testing.T) {
	var out bytes.Buffer
	for _, c := range []struct {
		name, hex string
		message   bool
		limit     int
		offset    int
	}{
		{"packet type 0", "03000000 00000000", false, 0, 4},
		{"packet type 6", "06000000", false, 0, 0},
		{"head cut off", "0400", false, 0, 0},
		{"body cut off", "04000005 0001", false, 0, 4},
		{"over the limit", "04000005 0001026162", false, 4, 1},
		{"empty message", "04000000", false, 0, 4},
		{"message type 4", "08010203", true, 0, 0},
		{"id cut off", "00ffff", true, 0, 1},
		{"id of 11 bytes", "00ffffffffffffffffffff01", true, 0, 1},
		{"id over 64 bits", "00ffffffffffffffffff02", true, 0, 1},
		{"no route", "0001", true, 0, 2},
		{"route too short", "0209526f", true, 0, 1},
		{"code cut off", "0301", true, 0, 1},
		{"code unknown", "030102", true, 0, 1},
		{"handshake no JSON", "010000047b227d7d", false, 0, 7},
		{"gzip that is none", "1402 010203", true, 0, 2},
		{"second packet goes on", "0400000108 03000000", false, 0, 4},
	} {
		fmt.Fprintf(&out, "# %s\n", c.name)
		b, err := decode.Hex(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		x := decode.Explainer{Out: &out, MaxBody: c.limit}
		if c.message {
			err = x.Message(b)
		} else {
			err = x.Packets(b)
		}
		var e *decode.Error
		if !errors.As(err, &e) || e.Offset != c.offset {
			t.Errorf("%s: %v, want byte %d", c.name, err, c.offset)
		}
	}
	golden(t, "errors", out.Bytes())
}

// The dictionary that a server announces explains the packets after it, as it does for a client.
func TestStreamWithDictionary(t *testing.T) {
	stream := codec.AppendPacket(nil, codec.Handshake, []byte(`{"code":200,"sys":{"heartbeat":30,"dict":{"onSay":7}}}`))
	dict, err := codec.NewDictionary(map[string]uint16{"onSay": 7})
	if err != nil {
		t.Fatal(err)
	}
	stream, err = codec.AppendData(stream, codec.Push, 0, "onSay", []byte(`{"text":"hi"}`), 0, dict, 0)
	if err != nil {
		t.Fatal(err)
	}
	stream, err = codec.AppendData(stream, codec.Response, 3, "", []byte(`{"code":"not_found","error":"no"}`), codec.FlagError, dict, 0)
	if err != nil {
		t.Fatal(err)
	}
	stream = codec.AppendPacket(stream, codec.Kick, []byte(`{"reason":"bye"}`))
	var out bytes.Buffer
	if err := (&decode.Explainer{Out: &out}).Packets(stream); err != nil {
		t.Fatal(err)
	}
	golden(t, "stream", out.Bytes())
}

// A client that comes back, and what both sides say of it.
func TestResume(t *testing.T) {
	var stream []byte
	for _, p := range []codec.Packet{
		{Type: codec.Handshake, Body: []byte(`{"sys":{"accept":["resume"],"resume":{"token":"T1","received":7}}}`)},
		{Type: codec.Handshake, Body: []byte(`{"code":200,"sys":{"accepted":["resume"],"resume":{"token":"T2","window":30,"resumed":true,"received":300}}}`)},
		{Type: codec.Handshake, Body: []byte(`{"code":200,"sys":{"resume":{"token":"T2","window":30,"resumed":false,"reason":"expired"}}}`)},
		{Type: codec.Handshake, Body: []byte(`{"sys":{"resume":{"token":"T1","received":7,"gap":true}}}`)},
		{Type: codec.Handshake, Body: []byte(`{"code":200,"sys":{"resume":{"token":"T2","window":30,"resumed":true,"gap":true}}}`)},
		{Type: codec.Handshake, Body: []byte(`{"code":200,"sys":{"resume":{"token":"T2","window":30,"resumed":true,"gap":true,"received":300}}}`)},
		{Type: codec.Handshake, Body: []byte(`{"code":200,"sys":{"resume":{"token":"T2","window":30}}}`)},
		{Type: codec.Heartbeat, Body: []byte{0xac, 0x02}},
		{Type: codec.Heartbeat, Body: []byte{0x80}},
		{Type: codec.Data, Body: []byte("\x06\x0anano.drain{}")},
	} {
		stream = codec.AppendPacket(stream, p.Type, p.Body)
	}
	var out bytes.Buffer
	if err := (&decode.Explainer{Out: &out}).Packets(stream); err != nil {
		t.Fatal(err)
	}
	golden(t, "resume", out.Bytes())
}

// What the framework reads must be explained, and what it refuses must be called wrong.
func FuzzAgreesWithCodec(f *testing.F) {
	for _, v := range vectors(f) {
		if v.Message != nil {
			f.Add(v.bytes(f))
		}
	}
	f.Add([]byte{})
	f.Add([]byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, parsed := codec.ParseMessage(b)
		err := (&decode.Explainer{Out: io.Discard}).Message(b)
		switch {
		case parsed != nil && err == nil:
			t.Errorf("the codec says %v, the explanation says nothing", parsed)
		case parsed == nil && err != nil && !v.Compressed && !v.Gzip:
			t.Errorf("the codec reads it, the explanation says %v", err)
		}
		_ = (&decode.Explainer{Out: io.Discard}).Packets(b)
	})
}

func TestInput(t *testing.T) {
	for _, c := range []struct{ name, in, format, want, err string }{
		{"plain hex", "03000000\n", "auto", "03000000", ""},
		{"hex with marks", "0x03,0x00 00:0-0", "auto", "", "character 14"},
		{"hex with 0x", "0x03, 0x00 AB:cd", "hex", "0300abcd", ""},
		{"raw bytes", "\x03\x00\x00\x00", "auto", "03000000", ""},
		{"raw that looks like hex", "03", "raw", "3033", ""},
		{"half a byte", "030", "hex", "", "character 3"},
		{"not hex", "03zz", "auto", "", "character 3: 'z'"},
		{"no such format", "03", "octal", "", "octal"},
		{"no capture", "03000000", "pcap", "", "no capture"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := decode.Input([]byte(c.in), c.format)
			if c.err == "" && (err != nil || hex.EncodeToString(got) != c.want) {
				t.Errorf("got %x, %v", got, err)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %x, %v", got, err)
			}
		})
	}
}

func TestDictionary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dict.json")
	if err := os.WriteFile(file, []byte(`{"code":200,"sys":{"dict":{"a.b":1}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := decode.Dictionary([]string{"@" + file, "c.d=0x102"})
	if err != nil || d.Len() != 2 {
		t.Fatalf("%v, %v", d.Map(), err)
	}
	if r, _ := d.Route(0x102); r != "c.d" {
		t.Errorf("code 0x102 is %q", r)
	}
	for _, bad := range []string{"a", "a=x", "a=70000", "@" + file + "x"} {
		if _, err := decode.Dictionary([]string{bad}); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
