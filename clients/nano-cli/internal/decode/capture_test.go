package decode_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/lonng/nano/clients/nano-cli/internal/decode"
	"github.com/lonng/nano/codec"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What tcpdump has captured of a session over TCP and one over a WebSocket must be explained whole,
// both sides.
func TestCapture(t *testing.T) {
	for _, name := range []string{"session", "any"} { // of the loopback interface; of all interfaces, which has other link headers
		var out bytes.Buffer
		if err := (&decode.Explainer{Out: &out}).Capture(testdata(t, name+".pcap"), 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		golden(t, "capture-"+name, out.Bytes())
	}
}

// Wireshark writes pcapng.
func TestCaptureNg(t *testing.T) {
	data := testdata(t, "session.pcap")
	r, err := pcapgo.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var ng bytes.Buffer
	w, err := pcapgo.NewNgWriter(&ng, r.LinkType())
	if err != nil {
		t.Fatal(err)
	}
	for raw, info, err := r.ReadPacketData(); err == nil; raw, info, err = r.ReadPacketData() {
		if err := w.WritePacket(info, raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if !decode.IsCapture(ng.Bytes()) {
		t.Fatal("it is not known for a capture")
	}
	var out bytes.Buffer
	if err := (&decode.Explainer{Out: &out}).Capture(ng.Bytes(), 0); err != nil {
		t.Error(err)
	}
	golden(t, "capture-session", out.Bytes())
}

// The connections that are not asked for are left out.
func TestCapturePort(t *testing.T) {
	data := testdata(t, "session.pcap")
	for port, want := range map[int]int{0: 2, 3250: 1, 3251: 1} {
		var out bytes.Buffer
		if err := (&decode.Explainer{Out: &out}).Capture(data, port); err != nil {
			t.Error(err)
		}
		if got := strings.Count(out.String(), "connection "); got != want {
			t.Errorf("port %d: %d connections, want %d", port, got, want)
		}
	}
	err := (&decode.Explainer{Out: new(bytes.Buffer)}).Capture(data, 80)
	if err == nil || !strings.Contains(err.Error(), "port 80") {
		t.Errorf("port 80: %v", err)
	}
}

// wire writes a capture segment by segment.
type wire struct {
	t   *testing.T
	out bytes.Buffer
	w   *pcapgo.Writer
	at  time.Time
}

func newWire(t *testing.T) *wire {
	w := &wire{t: t, at: time.Unix(1700000000, 0)}
	w.w = pcapgo.NewWriter(&w.out)
	if err := w.w.WriteFileHeader(1<<16, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	return w
}

// segment writes what one side sends, a millisecond after the one before. Flags: S, A, F.
func (w *wire) segment(server bool, flags string, seq uint32, payload []byte) {
	w.t.Helper()
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolTCP, HopLimit: 9, SrcIP: net.ParseIP("fd00::1"), DstIP: net.ParseIP("fd00::2")}
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 3250, Seq: seq, Window: 1000,
		SYN: strings.Contains(flags, "S"), ACK: strings.Contains(flags, "A"), FIN: strings.Contains(flags, "F")}
	if server {
		ip.SrcIP, ip.DstIP, tcp.SrcPort, tcp.DstPort = ip.DstIP, ip.SrcIP, tcp.DstPort, tcp.SrcPort
	}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(payload))
	if err == nil {
		w.at = w.at.Add(time.Millisecond)
		n := len(buf.Bytes())
		err = w.w.WritePacket(gopacket.CaptureInfo{Timestamp: w.at, CaptureLength: n, Length: n}, buf.Bytes())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) open() {
	w.segment(false, "S", 99, nil)
	w.segment(true, "SA", 499, nil)
}

func TestCaptureOfBadNetworks(t *testing.T) {
	push := func(text string) []byte {
		return codec.AppendPacket(nil, codec.Data, slices.Concat([]byte{6, 2, 'o', 'n'}, []byte(text)))
	}
	beat := codec.AppendPacket(nil, codec.Heartbeat, nil)
	all := slices.Concat(push("one"), push("two"), push("three"))
	frame := func(first byte, payload []byte) []byte { return append([]byte{first, byte(len(payload))}, payload...) }
	get, switching := "GET /nano HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	for _, c := range []struct {
		name  string
		write func(w *wire)
		want  []string // in this order
		never string
		err   string
	}{
		{"out of order, twice, and cut anywhere", func(w *wire) {
			w.open()
			w.segment(true, "A", 505, all[5:12])
			w.segment(true, "A", 500, all[:5])
			w.segment(true, "A", 503, all[3:12])
			w.segment(true, "A", 512, all[12:])
			w.segment(true, "A", 500, all)
		}, []string{"client [fd00::1]:40000, server [fd00::2]:3250", "server, packet 1", "one", "server, packet 2", "two", "server, packet 3", "three"}, "packet 4", ""},
		{"a segment is missing", func(w *wire) {
			w.open()
			w.segment(false, "A", 100, beat)
			w.segment(true, "A", 500, all[:13])
			w.segment(true, "A", 520, all[20:])
			w.segment(false, "A", 104, beat)
		}, []string{"server, packet 1", "one", "7 bytes of the server are not in the capture"}, "three", "connection 1, server, byte 13: 7 bytes"},
		{"the beginning is missing", func(w *wire) {
			w.segment(true, "A", 7000, push("one"))
			w.segment(false, "A", 9000, beat)
		}, []string{"its beginning is not in the capture", "server, packet 1", "one", "client, packet 1: heartbeat"}, "", ""},
		{"the end is missing", func(w *wire) {
			w.open()
			w.segment(true, "A", 500, all[:10])
		}, []string{"server, packet 1", "cut off inside the body"}, "", "connection 1, server, byte 4"},
		{"what is no packet", func(w *wire) {
			w.open()
			w.segment(false, "A", 100, []byte{0, 1, 2, 3, 4})
			w.segment(false, "A", 105, beat)
		}, []string{"no such packet type: 0"}, "heartbeat", "connection 1, client, byte 0"},
		{"TLS", func(w *wire) {
			w.open()
			w.segment(false, "A", 100, []byte("\x16\x03\x01\x00\x05hello"))
			w.segment(true, "A", 500, []byte("\x16\x03\x01\x00\x05hello"))
		}, []string{"it is TLS"}, "packet 1", "it is TLS"},
		{"a page", func(w *wire) {
			w.open()
			w.segment(false, "A", 100, []byte("GET /index.html HTTP/1.1\r\n\r\n"))
			w.segment(true, "A", 500, []byte("HTTP/1.1 200 OK\r\n\r\n<html>"))
		}, []string{"GET /index.html", "200 OK", "no WebSocket"}, "<html>", ""},
		{"a message in fragments with a ping between", func(w *wire) {
			w.open()
			w.segment(false, "A", 100, []byte(get))
			w.segment(true, "A", 500, slices.Concat([]byte(switching), frame(2, all[:3]), frame(0x89, []byte("hey"))))
			w.segment(true, "A", uint32(500+len(switching)+10), slices.Concat(frame(0, all[3:8]), frame(0x80, all[8:11])))
		}, []string{"Upgrade: websocket", "101 Switching", "server, frame 1: binary, payload of 3 bytes, more of the message follows", "ping", "hey", "continuation", "server, packet 1", "one"}, "", ""},
		{"a WebSocket from the middle", func(w *wire) {
			w.segment(true, "A", 7000, frame(0x82, push("one")))
		}, []string{"its beginning", "server, frame 1", "server, packet 1", "one"}, "", ""},
		{"compression", func(w *wire) {
			w.open()
			w.segment(false, "A", 100, []byte(get))
			w.segment(true, "A", 500, append([]byte(switching), frame(0xc2, []byte("xyz"))...))
		}, []string{"with an extension"}, "packet 1", "connection 1, server"},
		{"a frame is cut off", func(w *wire) {
			w.open()
			w.segment(false, "A", 100, []byte(get))
			w.segment(true, "A", 500, append([]byte(switching), 0x82, 126, 0xff, 0xff, 1))
		}, []string{"cut off inside a WebSocket frame"}, "packet 1", "cut off"},
		{"two connections from one port", func(w *wire) {
			for range 2 {
				w.open()
				w.segment(false, "A", 100, beat)
				w.segment(true, "A", 500, push("one"))
				w.segment(false, "FA", 104, nil)
				w.segment(true, "FA", 511, nil)
				w.segment(false, "A", 105, nil)
			}
		}, []string{"connection 1", "client, packet 1", "server, packet 1", "connection 2", "client, packet 1", "server, packet 1"}, "connection 3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t)
			c.write(w)
			var out bytes.Buffer
			err := (&decode.Explainer{Out: &out}).Capture(w.out.Bytes(), 3250)
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			rest := out.String()
			for _, want := range c.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("%q does not come in\n%s", want, &out)
				}
				rest = after
			}
			if c.never != "" && strings.Contains(out.String(), c.never) {
				t.Errorf("%q is in\n%s", c.never, &out)
			}
		})
	}
}

// A file that was cut off, as when tcpdump is killed, is explained as far as it goes.
func TestCaptureCutOff(t *testing.T) {
	data := testdata(t, "session.pcap")
	for _, n := range []int{5, 24, 100, len(data) / 2, len(data) - 1} {
		var out bytes.Buffer
		err := (&decode.Explainer{Out: &out}).Capture(data[:n], 0)
		if err == nil {
			t.Errorf("%d bytes: no error", n)
		}
		if n > len(data)/3 && !strings.Contains(out.String(), "packet 3") {
			t.Errorf("%d bytes: %v\n%s", n, err, &out)
		}
	}
}

// The dictionary that a server left out, because the client has it, is the one that it gave under
// this version before.
func TestCaptureWithAKeptDictionary(t *testing.T) {
	dict, err := codec.NewDictionary(map[string]uint16{"on": 7})
	if err != nil {
		t.Fatal(err)
	}
	push, err := codec.AppendData(nil, codec.Push, 0, "on", []byte("1"), 0, dict, 0)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(more string) []byte {
		return codec.AppendPacket(nil, codec.Handshake, fmt.Appendf(nil, `{"code":200,"sys":{%s}}`, more))
	}
	for second, ok := range map[string]bool{`"dictVersion":"v1"`: true, `"dictVersion":"v2"`: false, ``: false} {
		w := newWire(t)
		for _, more := range []string{`"dict":{"on":7},"dictVersion":"v1"`, second} {
			w.open()
			b := append(answer(more), push...)
			w.segment(true, "A", 500, b)
			w.segment(false, "FA", 100, nil)
			w.segment(true, "FA", uint32(500+len(b)), nil)
		}
		var out bytes.Buffer
		err := (&decode.Explainer{Out: &out}).Capture(w.out.Bytes(), 0)
		var wrong *decode.Error
		if ok && err != nil || !ok && (!errors.As(err, &wrong) || wrong.Where != "connection 2, server") {
			t.Errorf("%s: %v\n%s", second, err, &out)
		}
	}
}

// Whatever is in a file, it must end with an explanation or an error.
func TestCaptureDamaged(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(1, seed))
		b := testdata(t, []string{"session.pcap", "any.pcap"}[seed%2])
		for range 1 + r.IntN(5) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		_ = (&decode.Explainer{Out: io.Discard}).Capture(b, 0)
	}
}
