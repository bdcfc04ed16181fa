package wsframe_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lonng/nano/internal/wsframe"
)

// The three forms of a length, at their borders. The ways to write a frame agree.
func TestAppendFrame(t *testing.T) {
	tests := []struct {
		n    int
		head string
	}{
		{0, "82 00"},
		{1, "82 01"},
		{125, "82 7d"},
		{126, "82 7e 00 7e"},
		{65535, "82 7e ff ff"},
		{65536, "82 7f 00 00 00 00 00 01 00 00"},
	}
	for _, tt := range tests {
		head, payload := unhex(t, tt.head), bytes.Repeat([]byte{'x'}, tt.n)
		want := append(bytes.Clone(head), payload...)
		if got := wsframe.AppendFrame([]byte("before"), wsframe.OpBinary, payload); !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("%d bytes: AppendFrame begins %.24x", tt.n, got)
		}
		if got := wsframe.AppendHeader(nil, wsframe.OpBinary, tt.n); !bytes.Equal(got, head) {
			t.Errorf("%d bytes: AppendHeader made %x, want %x", tt.n, got, head)
		}
		for _, room := range []int{wsframe.HeaderRoom, wsframe.HeaderRoom + 6} {
			buf := append(bytes.Repeat([]byte{0xee}, room), payload...)
			start := wsframe.PutHeader(buf[:room], wsframe.OpBinary, tt.n)
			if !bytes.Equal(buf[start:], want) {
				t.Errorf("%d bytes: PutHeader made %.24x", tt.n, buf[start:])
			}
			if !bytes.Equal(buf[:start], bytes.Repeat([]byte{0xee}, start)) {
				t.Errorf("%d bytes: PutHeader wrote before its start", tt.n)
			}
		}

		var r reader
		r.InitClient(0)
		if err := r.feed(t, want); err != nil || len(r.events) != 1 || r.events[0].payload != string(payload) {
			t.Errorf("%d bytes: a client reads %v, %v", tt.n, r.events, err)
		}
	}
}

// The payload of a client's frame may be shared: it must not be masked where it lies.
func TestAppendMaskedLeavesThePayload(t *testing.T) {
	payload := []byte("shared by many")
	wsframe.AppendMasked(nil, wsframe.OpBinary, true, key, payload)
	if string(payload) != "shared by many" {
		t.Errorf("it is %q now", payload)
	}
}

// Browsers show the code and the reason, and treat a broken close frame as a failure.
func TestAppendClose(t *testing.T) {
	tests := []struct {
		name   string
		code   int
		reason string
		want   string // payload
	}{
		{"code and reason", 1000, "bye", "\x03\xe8bye"},
		{"code", 1001, "", "\x03\xe9"},
		{"none", 0, "ignored", ""},
		{"no status", wsframe.CloseNoStatus, "ignored", ""},
		{"reason that just fits", 1000, strings.Repeat("r", 123), "\x03\xe8" + strings.Repeat("r", 123)},
		{"reason too long", 1000, strings.Repeat("r", 124), "\x03\xe8" + strings.Repeat("r", 123)},
		{"reason too long, wide characters", 1000, strings.Repeat("消", 50), "\x03\xe8" + strings.Repeat("消", 41)},
		{"reason too long, cut in a character", 1000, "a" + strings.Repeat("消", 50), "\x03\xe8a" + strings.Repeat("消", 40)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !utf8.ValidString(tt.want[min(2, len(tt.want)):]) {
				t.Fatal("the test wants a reason that is not UTF-8")
			}
			got := wsframe.AppendClose([]byte("before"), tt.code, tt.reason)
			want := append([]byte("before\x88"), byte(len(tt.want)))
			if want = append(want, tt.want...); !bytes.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			var r reader
			r.InitClient(0)
			if err := r.feed(t, got[len("before"):]); err != nil {
				t.Errorf("a client cannot read it: %v", err)
			}
		})
	}
}
