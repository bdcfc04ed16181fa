package codec_test

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/lonng/nano/codec"
)

// A player's packets must come out the same however the network cuts them, and the
// last one when its last byte is there, not with the next packet.
func TestDecoderSplits(t *testing.T) {
	streams := map[string]struct {
		wire []byte
		want []packet
	}{
		"one packet":         {[]byte{4, 0, 0, 3, 'a', 'b', 'c'}, []packet{{codec.Data, "abc"}}},
		"no body":            {[]byte{3, 0, 0, 0}, []packet{{codec.Heartbeat, ""}}},
		"body, then no body": {[]byte{4, 0, 0, 1, 'a', 2, 0, 0, 0}, []packet{{codec.Data, "a"}, {codec.HandshakeAck, ""}}},
		"body of zeros and ones": {
			[]byte{4, 0, 0, 3, 0, 1, 0, 4, 0, 0, 1, 4},
			[]packet{{codec.Data, "\x00\x01\x00"}, {codec.Data, "\x04"}},
		},
		"all types": {
			[]byte{1, 0, 0, 2, '{', '}', 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 1, 9, 5, 0, 0, 0},
			[]packet{{codec.Handshake, "{}"}, {codec.HandshakeAck, ""}, {codec.Heartbeat, ""}, {codec.Data, "\x09"}, {codec.Kick, ""}},
		},
		"length over one byte": {
			codec.AppendPacket(nil, codec.Data, bytes.Repeat([]byte{7}, 300)),
			[]packet{{codec.Data, strings.Repeat("\x07", 300)}},
		},
	}
	for name, s := range streams {
		t.Run(name, func(t *testing.T) {
			check := func(cuts ...int) {
				t.Helper()
				var d codec.Decoder
				got, err := decode(&d, s.wire, cuts...)
				if err != nil || !slices.Equal(got, s.want) {
					t.Fatalf("cut at %v: %v, %v; want %v", cuts, got, err, s.want)
				}
				if d.Partial() {
					t.Fatalf("cut at %v: bytes are left over", cuts)
				}
			}
			check()
			check(bytewise(s.wire)...)
			for i := range s.wire {
				check(i)
				for j := i; j < len(s.wire) && len(s.wire) < 64; j++ {
					check(i, j)
				}
			}
		})
	}
}

// The split that delayed messages until the next one arrived.
func TestDecoderHeadSplitFromBodysEnd(t *testing.T) {
	var d codec.Decoder
	d.Feed([]byte{4, 0, 0, 3, 0})
	if got, err := drain(&d); len(got) != 0 || err != nil {
		t.Fatalf("got %v, %v before the packet was there", got, err)
	}
	if !d.Partial() {
		t.Error("a stream that ended here would not count as cut off")
	}
	d.Feed([]byte{1, 0})
	got, err := drain(&d)
	if err != nil || len(got) != 1 || got[0].body != "\x00\x01\x00" {
		t.Fatalf("got %v, %v; want the packet as soon as it was complete", got, err)
	}
}

// Garbage ends the connection that sent it, always with the same error, after the
// good packets before it.
func TestDecoderRefuses(t *testing.T) {
	tests := []struct {
		name   string
		limit  int
		wire   []byte
		before int // good packets
		want   error
	}{
		{"type 0", 0, []byte{0, 0, 0, 0}, 0, codec.ErrPacketType},
		{"type 6", 0, []byte{6, 0, 0, 0}, 0, codec.ErrPacketType},
		{"type 255", 0, []byte{255}, 0, codec.ErrPacketType},
		{"an HTTP request", 0, []byte("GET / HTTP/1.1\r\n\r\n"), 0, codec.ErrPacketType},
		{"type 0 behind two packets", 0, []byte{3, 0, 0, 0, 4, 0, 0, 1, 'a', 0, 0}, 2, codec.ErrPacketType},
		{"one over the default", 0, []byte{4, 1, 0, 1}, 0, codec.ErrPacketTooLarge},
		{"one over a limit", 10, []byte{4, 0, 0, 11, 'a'}, 0, codec.ErrPacketTooLarge},
		{"the largest there is", 0, []byte{4, 255, 255, 255}, 0, codec.ErrPacketTooLarge},
		{"too large behind a packet", 1, []byte{4, 0, 0, 1, 'a', 4, 0, 0, 2}, 1, codec.ErrPacketTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ways := map[string][]int{"whole": nil, "bytewise": bytewise(tt.wire)}
			for way, cuts := range ways {
				d := codec.NewDecoder(tt.limit)
				got, err := decode(d, tt.wire, cuts...)
				if len(got) != tt.before || !errors.Is(err, tt.want) {
					t.Fatalf("%s: %d packets and %v, want %d and %v", way, len(got), err, tt.before, tt.want)
				}
				d.Feed([]byte{3, 0, 0, 0, 3, 0, 0, 0})
				for range 3 {
					_, ok, again := d.Next()
					if ok || again == nil || again.Error() != err.Error() {
						t.Fatalf("%s: then %v, %v; want the same error for good", way, ok, again)
					}
				}
			}
		})
	}
}

// A limit means that many bytes are still legal.
func TestDecoderLimit(t *testing.T) {
	tests := []struct {
		name          string
		limit, accept int
	}{
		{"default", 0, codec.DefaultMaxPacket},
		{"negative is the default", -1, codec.DefaultMaxPacket},
		{"small", 3, 3},
		{"large", 1 << 20, 1 << 20},
		{"more than a header can say", 1 << 30, codec.MaxPacket},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := codec.NewDecoder(tt.limit)
			if got, err := decode(d, codec.AppendPacket(nil, codec.Data, make([]byte, tt.accept))); err != nil || len(got) != 1 {
				t.Errorf("%d packets, %v: a body of exactly the limit was refused", len(got), err)
			}
			if tt.accept == codec.MaxPacket {
				return
			}
			if _, err := decode(d, codec.AppendPacket(nil, codec.Data, make([]byte, tt.accept+1))); !errors.Is(err, codec.ErrPacketTooLarge) {
				t.Errorf("one byte over the limit: %v", err)
			}
		})
	}
}

// Handlers keep bodies of one feed side by side: a later packet of that feed, or the
// beginning of one, must not write over them, nor an append into the next one.
func TestDecoderBodiesOfAFeedStay(t *testing.T) {
	var d codec.Decoder
	d.Feed([]byte{4, 0, 0, 4, 'o', 'n'})
	if got, err := drain(&d); len(got) != 0 || err != nil {
		t.Fatal(got, err)
	}
	wire := []byte{'e', '1', 4, 0, 0, 3, 't', 'w', 'o', 4, 0, 0, 5, 't', 'h', 'r'}
	d.Feed(wire)
	var bodies [][]byte
	for {
		p, ok, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if len(p.Body) != cap(p.Body) {
			t.Errorf("%q has room for %d bytes: an append would write into the next packet", p.Body, cap(p.Body))
		}
		bodies = append(bodies, p.Body)
	}
	if got := bytes.Join(bodies, []byte(" ")); string(got) != "one1 two" {
		t.Errorf("got %q", got)
	}
	if &bodies[1][0] != &wire[6] {
		t.Error("a whole packet was copied")
	}
}

// A caller that feeds before it has taken everything loses nothing by it.
func TestDecoderFeedTwice(t *testing.T) {
	var d codec.Decoder
	d.Feed([]byte{4, 0, 0, 1, 'a', 4, 0, 0, 1, 'b', 4})
	if p, ok, err := d.Next(); !ok || err != nil || string(p.Body) != "a" {
		t.Fatal(p, ok, err)
	}
	d.Feed([]byte{0, 0, 1})
	d.Feed([]byte{'c'})
	got, err := drain(&d)
	if want := []packet{{codec.Data, "b"}, {codec.Data, "c"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// Ten thousand clients that announce 64 KiB and send nothing must not cost 640 MB.
func TestDecoderMemoryFollowsWhatArrived(t *testing.T) {
	var d codec.Decoder
	announce := func(wire []byte) (allocated uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			d.Init(0)
			d.Feed(wire)
			if _, ok, err := d.Next(); ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / 100
	}
	if n := announce([]byte{4, 1, 0, 0}); n > 100 {
		t.Errorf("a header that says 64 KiB took %d bytes", n)
	}
	if n := announce([]byte{4, 1, 0, 0, 1}); n > 1024 {
		t.Errorf("with one byte of the 64 KiB it took %d bytes", n)
	}
	// In return a large packet in small pieces must not be copied over and over.
	wire := codec.AppendPacket(nil, codec.Data, make([]byte, codec.DefaultMaxPacket))
	if allocs := testing.AllocsPerRun(10, func() {
		d.Init(0)
		for piece := range slices.Chunk(wire, 100) {
			d.Feed(piece)
			if _, _, err := d.Next(); err != nil {
				t.Fatal(err)
			}
		}
	}); allocs > 10 {
		t.Errorf("64 KiB in pieces of 100 bytes made %v allocations", allocs)
	}
}

// The decoder is a part of every idle connection.
func TestDecoderIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(codec.Decoder{}); n > 64 {
		t.Errorf("a decoder takes %d bytes of each connection, at most 64", n)
	}
}
