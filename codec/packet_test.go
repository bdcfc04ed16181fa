package codec_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/lonng/nano/codec"
)

// What is too large is refused where it is sent, never written with a length that
// does not fit: the peer would read the rest as packets.
func TestAppendPacketLimits(t *testing.T) {
	dst := []byte("before")
	tests := []struct {
		name  string
		t     codec.PacketType
		n     int
		limit int
		want  error
	}{
		{"at the default", codec.Data, codec.DefaultMaxPacket, 0, nil},
		{"over the default", codec.Data, codec.DefaultMaxPacket + 1, 0, codec.ErrPacketTooLarge},
		{"at a limit", codec.Kick, 5, 5, nil},
		{"over a limit", codec.Kick, 6, 5, codec.ErrPacketTooLarge},
		{"over the header", codec.Data, codec.MaxPacket + 1, 1 << 30, codec.ErrPacketTooLarge},
		{"type 0", 0, 0, 0, codec.ErrPacketType},
		{"type 6", 6, 0, 0, codec.ErrPacketType},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := codec.AppendPacketLimit(dst, tt.t, make([]byte, tt.n), tt.limit)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err != nil && !bytes.Equal(got, dst) {
				t.Error("bytes were written in spite of the error")
			}
			if err == nil && len(got) != len(dst)+codec.HeadLength+tt.n {
				t.Errorf("%d bytes written", len(got)-len(dst))
			}
		})
	}
	if got := codec.AppendPacket(dst, codec.Data, make([]byte, codec.MaxPacket+1)); !bytes.Equal(got, dst) {
		t.Error("AppendPacket wrote a packet whose length does not fit its header")
	}
}

// Logs name packets by these.
func TestPacketTypeString(t *testing.T) {
	for typ, want := range map[codec.PacketType]string{
		0: "PacketType(0)", codec.Handshake: "Handshake", codec.HandshakeAck: "HandshakeAck",
		codec.Heartbeat: "Heartbeat", codec.Data: "Data", codec.Kick: "Kick", 6: "PacketType(6)",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%d is called %q, want %q", byte(typ), got, want)
		}
		if valid := typ >= 1 && typ <= 5; typ.Valid() != valid {
			t.Errorf("%v: Valid is %v", typ, typ.Valid())
		}
	}
}
