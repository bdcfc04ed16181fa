package link_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/lonng/nano/internal/link"
)

var frames = []struct {
	name string
	f    link.Frame
}{
	{"kind only", link.Frame{Kind: link.SessionClosed}},
	{"request", link.Frame{Kind: link.Request, Session: 1 << 62, ID: 7, Route: []byte("Room.Say"), Data: []byte("hi")}},
	{"all fields", link.Frame{Kind: link.Call, Flags: 0xff, Session: 3, ID: math.MaxUint64, UID: math.MaxInt64,
		Route: []byte("a"), Text: []byte("b"), Data: []byte("c"), Sessions: []int64{1}}},
	{"time left", link.Frame{Kind: link.Call, ID: 1, Left: 5 * time.Second}},
	{"time left behind sessions", link.Frame{Kind: link.Multicast, Sessions: []int64{5, 6}, Left: time.Microsecond}},
	{"a long time left", link.Frame{Kind: link.Call, Left: math.MaxInt64 / 1000 * 1000}},
	{"trace", link.Frame{Kind: link.Request, Session: 7, Trace: []byte("00-1-2-01")}},
	{"trace behind a time left", link.Frame{Kind: link.Call, ID: 1, Left: time.Second, Trace: bytes.Repeat([]byte("t"), 300)}},
	{"negative numbers", link.Frame{Kind: link.Bind, Session: -1, UID: math.MinInt64}},
	{"neighbours", link.Frame{Kind: link.Multicast, Sessions: []int64{1<<62 + 5, 1<<62 + 6, 1<<62 + 9, 1<<62 + 1}}},
	{"far apart", link.Frame{Kind: link.Multicast, Sessions: []int64{math.MaxInt64, math.MinInt64, 0, math.MaxInt64, -1}}},
	{"long", link.Frame{Kind: link.Push, Data: bytes.Repeat([]byte("x"), 70000)}},
}

func same(a, b *link.Frame) bool {
	return a.Kind == b.Kind && a.Flags == b.Flags && a.Session == b.Session && a.ID == b.ID && a.UID == b.UID &&
		bytes.Equal(a.Route, b.Route) && bytes.Equal(a.Text, b.Text) && bytes.Equal(a.Data, b.Data) && slices.Equal(a.Sessions, b.Sessions) &&
		a.Left == b.Left && bytes.Equal(a.Trace, b.Trace)
}

// What a gate says is what a backend hears, whatever stands before and behind it.
func TestFramesComeBack(t *testing.T) {
	var batch []byte
	for _, c := range frames {
		before := len(batch)
		batch = link.AppendFrame(batch, &c.f)
		if got := len(batch) - before; got != link.FrameSize(&c.f) {
			t.Errorf("%s: %d bytes, FrameSize says %d", c.name, got, link.FrameSize(&c.f))
		}
	}
	r := link.NewReader(batch)
	var f link.Frame
	for _, c := range frames {
		if ok, err := r.Next(&f); !ok || err != nil || !same(&f, &c.f) {
			t.Fatalf("%s: %v %v %+v", c.name, ok, err, f)
		}
		if cap(f.Data) != len(f.Data) {
			t.Errorf("%s: appending to Data would write into the next frame", c.name)
		}
	}
	if ok, err := r.Next(&f); ok || err != nil {
		t.Fatalf("at the end: %v %v", ok, err)
	}
}

// A newer node may use kinds and fields that we do not know: the rest of its batch must not be
// lost.
func TestNewerFramesAreSkipped(t *testing.T) {
	known := link.AppendFrame(nil, &link.Frame{Kind: link.Push, Session: 9})
	var batch []byte
	batch = append(batch, 5, 200, 0xff, 0xff, 0xff, 0xff) // an unknown kind, whatever its mask means
	batch = append(batch, 1, 201)
	timed := link.AppendFrame(nil, &link.Frame{Kind: link.Push, Session: 9, Trace: []byte("t")})
	batch = append(batch, timed[0]+2)
	batch = append(batch, timed[1:]...)
	batch = append(batch, 0xab, 0xcd) // behind the last known field
	batch = append(batch, known...)
	r := link.NewReader(batch)
	var f link.Frame
	for range 2 {
		if ok, err := r.Next(&f); !ok || err != nil || f.Kind != link.Push || f.Session != 9 {
			t.Fatalf("%v %v %+v", ok, err, f)
		}
	}
	if ok, err := r.Next(&f); ok || err != nil {
		t.Fatalf("behind the frames of unknown kinds: %v %v %+v", ok, err, f)
	}
}

// A peer that lies must get an error, not our memory.
func TestMalformed(t *testing.T) {
	frame := func(b ...byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }
	multicast := byte(link.Multicast)
	for _, c := range []struct {
		name  string
		batch []byte
	}{
		{"length cut", []byte{0x80}},
		{"length zero", []byte{0}},
		{"length too long", []byte{9, 1, 0}},
		{"length of eleven bytes", bytes.Repeat([]byte{0xff}, 11)},
		{"no mask", frame(1)},
		{"no flags", frame(1, 1)},
		{"no session", frame(1, 2)},
		{"session cut", frame(1, 2, 0x80)},
		{"no id", frame(1, 4)},
		{"no uid", frame(1, 8)},
		{"no route", frame(1, 16)},
		{"route too long", frame(1, 16, 2, 'a')},
		{"text too long", frame(1, 32, 2, 'a')},
		{"data too long", frame(1, 64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)},
		{"no sessions", frame(multicast, 128)},
		{"more sessions than bytes", frame(multicast, 128, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, 2)},
		{"a session cut", frame(multicast, 128, 2, 2, 0x80)},
		{"time left cut", frame(1, 0, 0x80)},
		{"trace cut", frame(1, 0, 0, 0x80)},
		{"trace too long", frame(1, 0, 0, 2, 't')},
	} {
		r := link.NewReader(append(link.AppendFrame(nil, &link.Frame{Kind: link.Kick}), c.batch...))
		var f link.Frame
		if ok, err := r.Next(&f); !ok || err != nil {
			t.Errorf("%s: the frame before: %v %v", c.name, ok, err)
		}
		for range 2 { // the error stays
			if ok, err := r.Next(&f); ok || !errors.Is(err, link.ErrMalformed) {
				t.Errorf("%s: %v %v", c.name, ok, err)
			}
		}
		if cap(f.Sessions) > 8 {
			t.Errorf("%s: made room for %d sessions", c.name, cap(f.Sessions))
		}
	}
}

func TestKindNames(t *testing.T) {
	for k, want := range map[link.Kind]string{0: "Kind(0)", link.Request: "Request", link.Credit: "Credit", link.Refused: "Refused", link.Adopt: "Adopt", link.Leaving: "Leaving", link.Leaving + 1: "Kind(22)"} {
		if k.String() != want {
			t.Errorf("%d is %q, want %q", byte(k), k, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	var all []byte
	for _, c := range frames {
		f.Add(link.AppendFrame(nil, &c.f))
		if len(c.f.Data) < 100 {
			all = link.AppendFrame(all, &c.f)
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, batch []byte) {
		r := link.NewReader(batch)
		var got, again link.Frame
		for {
			ok, err := r.Next(&got)
			if !ok || err != nil {
				return
			}
			if len(got.Sessions) > len(batch) {
				t.Fatalf("%d sessions of %d bytes", len(got.Sessions), len(batch))
			}
			b := link.AppendFrame(nil, &got)
			if len(b) != link.FrameSize(&got) {
				t.Fatalf("FrameSize %d, is %d", link.FrameSize(&got), len(b))
			}
			if ok, err := link.NewReader(b).Next(&again); !ok || err != nil || !same(&got, &again) {
				t.Fatalf("%+v came back as %+v, %v %v", got, again, ok, err)
			}
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(byte(1), byte(0), int64(1), uint64(2), int64(3), []byte("a.b"), []byte("why"), []byte("data"), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, kind, flags byte, session int64, id uint64, uid int64, route, text, data, ids []byte) {
		in := link.Frame{Kind: link.Kind(kind%16 + 1), Flags: flags, Session: session, ID: id, UID: uid, Route: route, Text: text, Data: data}
		for ; len(ids) >= 8; ids = ids[8:] {
			in.Sessions = append(in.Sessions, int64(binary.LittleEndian.Uint64(ids)))
		}
		b := link.AppendFrame([]byte("before"), &in)
		if len(b) != 6+link.FrameSize(&in) {
			t.Fatalf("FrameSize %d, is %d", link.FrameSize(&in), len(b)-6)
		}
		r := link.NewReader(b[6:])
		var out link.Frame
		if ok, err := r.Next(&out); !ok || err != nil || !same(&in, &out) {
			t.Fatalf("%+v came back as %+v, %v %v", in, out, ok, err)
		}
		if ok, err := r.Next(&out); ok || err != nil {
			t.Fatalf("something is left: %v %v", ok, err)
		}
	})
}
