package wsframe_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/lonng/nano/internal/wsframe"
)

// Seeds are kept in testdata/fuzz.

// FuzzParse reads anything, as either end: no panic, no read past the end, every error
// with a close code, and no message over the limit.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte, limit int, client bool) {
		var r reader
		r.Init(limit)
		if client {
			r.InitClient(limit)
		}
		if err := r.feed(t, data); err != nil {
			var e *wsframe.Error
			if !errors.As(err, &e) || e.Code < 1000 || e.Code > 1014 {
				t.Fatalf("an error without a close code: %v", err)
			}
		}
		for _, ev := range r.events {
			if ev.kind == wsframe.Data && limit > 0 && len(ev.payload) > limit {
				t.Fatalf("a message of %d bytes, limit %d", len(ev.payload), limit)
			}
			if ev.kind != wsframe.Data && len(ev.payload) > 125 {
				t.Fatalf("a %v of %d bytes", ev.kind, len(ev.payload))
			}
		}
	})
}

// FuzzSplit cuts a stream anywhere; each byte of cuts is the length of a piece, in turn.
func FuzzSplit(f *testing.F) {
	f.Fuzz(func(t *testing.T, data, cuts []byte, limit int, client bool) {
		var whole, split reader
		for _, r := range []*reader{&whole, &split} {
			r.Init(limit)
			if client {
				r.InitClient(limit)
			}
		}
		var ends []int
		for at, i := 0, 0; len(cuts) > 0; i++ {
			at += int(cuts[i%len(cuts)])
			if at >= len(data) || i > 2*len(data) {
				break
			}
			ends = append(ends, at)
		}
		wantErr, gotErr := whole.feed(t, data), split.feedCut(t, data, ends...)
		if !slices.Equal(split.events, whole.events) {
			t.Fatalf("cut at %v: %v, whole %v", ends, split.events, whole.events)
		}
		if !bytes.Equal(split.message.Bytes(), whole.message.Bytes()) {
			t.Fatalf("cut at %v: %q of an unfinished message, whole %q", ends, split.message.Bytes(), whole.message.Bytes())
		}
		if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
			t.Fatalf("cut at %v: %v, whole %v", ends, gotErr, wantErr)
		}
		if gotErr == nil && whole.Partial() != split.Partial() {
			t.Fatalf("cut at %v: partial %v, whole %v", ends, split.Partial(), whole.Partial())
		}
	})
}

// FuzzRoundTrip writes a message in fragments with pings in between, as both ends do.
// Each byte of sizes is the length of a fragment, in turn.
func FuzzRoundTrip(f *testing.F) {
	f.Fuzz(func(t *testing.T, payload, sizes []byte, keyBytes uint32, text bool) {
		key := [4]byte{byte(keyBytes), byte(keyBytes >> 8), byte(keyBytes >> 16), byte(keyBytes >> 24)}
		op := wsframe.OpBinary
		if text {
			op = wsframe.OpText
		}
		var want []event
		var wire []byte
		rest := payload
		for i := 0; i < len(sizes) && len(rest) > 0; i++ {
			n := min(int(sizes[i]), len(rest))
			wire = wsframe.AppendMasked(wire, op, false, key, rest[:n])
			ping := rest[:min(n, 125)]
			wire = wsframe.AppendMasked(wire, wsframe.OpPing, true, key, ping)
			want = append(want, event{wsframe.Ping, string(ping)})
			rest, op = rest[n:], wsframe.OpContinuation
		}
		wire = wsframe.AppendMasked(wire, op, true, key, rest)
		want = append(want, event{wsframe.Data, string(payload)})

		var server reader
		server.Init(max(len(payload), 1))
		if err := server.feed(t, wire); err != nil || !slices.Equal(server.events, want) {
			t.Fatalf("the server read %v, %v; want %v", server.events, err, want)
		}

		var client reader
		client.InitClient(max(len(payload), 1))
		wire = wsframe.AppendFrame(nil, wsframe.OpBinary, payload)
		wire = wsframe.AppendClose(wire, wsframe.CloseNormal, "bye")
		want = []event{{wsframe.Data, string(payload)}, {wsframe.Close, "\x03\xe8bye"}}
		if err := client.feed(t, wire); err != nil || !slices.Equal(client.events, want) {
			t.Fatalf("the client read %v, %v; want %v", client.events, err, want)
		}
	})
}
