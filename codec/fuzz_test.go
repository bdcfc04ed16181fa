package codec_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/lonng/nano/codec"
)

// Seeds are kept in testdata/fuzz beside the golden vectors that are added here.
func addVectors(f *testing.F, add func(wire []byte)) {
	for _, v := range loadVectors(f) {
		wire := unhex(f, v.Hex)
		if len(wire) > 1<<10 {
			continue
		}
		if v.Message != nil {
			wire = codec.AppendPacket(nil, codec.Data, wire)
		}
		add(wire)
	}
}

// FuzzDecode reads anything: no panic, no read past the end, only the two errors, and what
// comes out is what stood there.
func FuzzDecode(f *testing.F) {
	addVectors(f, func(wire []byte) { f.Add(wire, 0) })
	dict := mustDictionary(f, map[string]uint16{"Room.Join": 1, "Room.Message": 258})
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		data = clip(data)
		d := codec.NewDecoder(limit)
		d.Feed(data)
		var seen []byte
		for {
			p, ok, err := d.Next()
			if err != nil {
				if !errors.Is(err, codec.ErrPacketType) && !errors.Is(err, codec.ErrPacketTooLarge) {
					t.Fatalf("an error without a name: %v", err)
				}
				if _, ok, again := d.Next(); ok || again == nil {
					t.Fatal("the error went away")
				}
				break
			}
			if !ok {
				if d.Partial() != (len(seen) < len(data)) {
					t.Fatalf("Partial is %v after %d of %d bytes", d.Partial(), len(seen), len(data))
				}
				break
			}
			if limit > 0 && len(p.Body) > limit {
				t.Fatalf("a body of %d bytes, limit %d", len(p.Body), limit)
			}
			inside(t, data, p.Body)
			seen = codec.AppendPacket(seen, p.Type, p.Body)
			checkMessage(t, p.Body, dict)
		}
		if !bytes.HasPrefix(data, seen) {
			t.Fatalf("%x was read as %x", data, seen)
		}
	})
}

// FuzzMessage reads anything as a message.
func FuzzMessage(f *testing.F) {
	addVectors(f, func(wire []byte) { f.Add(wire[codec.HeadLength:]) })
	dict := mustDictionary(f, map[string]uint16{"Room.Join": 1, "Room.Message": 258})
	f.Fuzz(func(t *testing.T, body []byte) { checkMessage(t, clip(body), dict) })
}

// checkMessage reads body as a message; if it is one, what is written of it must be
// read as the same again.
func checkMessage(t *testing.T, body []byte, dict *codec.Dictionary) {
	v, err := codec.ParseMessage(body)
	if err != nil {
		if !errors.Is(err, codec.ErrMessageInvalid) {
			t.Fatalf("an error without a name: %v", err)
		}
		return
	}
	inside(t, body, v.Route)
	inside(t, body, v.Data)
	m, err := v.Message(dict)
	if err != nil {
		if _, known := dict.Route(v.Code); !v.Compressed || known || !errors.Is(err, codec.ErrRouteCode) {
			t.Fatalf("%+v: %v", v, err)
		}
		return
	}
	for name, d := range map[string]*codec.Dictionary{"dictionary": dict, "none": nil} {
		wire, err := codec.AppendMessage(nil, m, d)
		if err != nil {
			t.Fatalf("%s: %v cannot be written: %v", name, m, err)
		}
		if again := parse(t, wire, d); !sameMessage(m, again) {
			t.Fatalf("%s: %+v was written as %x and read as %+v", name, m, wire, again)
		}
	}
}

func parse(t *testing.T, wire []byte, d *codec.Dictionary) *codec.Message {
	t.Helper()
	v, err := codec.ParseMessage(clip(wire))
	if err != nil {
		t.Fatalf("%x cannot be read: %v", wire, err)
	}
	m, err := v.Message(d)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// FuzzSplit cuts a stream anywhere; each byte of cuts is the length of a piece, in turn.
func FuzzSplit(f *testing.F) {
	addVectors(f, func(wire []byte) { f.Add(wire, []byte{1}) })
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		var whole, split codec.Decoder
		want, wantErr := decode(&whole, data)
		var ends []int
		for at, i := 0, 0; len(cuts) > 0; i++ {
			at += int(cuts[i%len(cuts)])
			if at >= len(data) || i > 2*len(data) {
				break
			}
			ends = append(ends, at)
		}
		got, gotErr := decode(&split, data, ends...)
		if !slices.Equal(got, want) {
			t.Fatalf("cut at %v: %v, whole %v", ends, got, want)
		}
		if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
			t.Fatalf("cut at %v: %v, whole %v", ends, gotErr, wantErr)
		}
		if whole.Partial() != split.Partial() {
			t.Fatalf("cut at %v: partial %v, whole %v", ends, split.Partial(), whole.Partial())
		}
	})
}

// FuzzRoundTrip writes anything that is legal: it must be read as what it was.
func FuzzRoundTrip(f *testing.F) {
	for _, v := range loadVectors(f) {
		if v.Message != nil {
			m := v.message(f)
			f.Add(byte(m.Type), m.ID, m.Route, m.Data, byte(0), v.Dict != nil, 0)
		}
	}
	dict := mustDictionary(f, map[string]uint16{"Room.Join": 1, "Room.Message": 258, "onMessage": 2, "onLast": 65535})
	f.Fuzz(func(t *testing.T, typ byte, id uint64, route string, data []byte, flags byte, compress bool, limit int) {
		var d *codec.Dictionary
		if compress {
			d = dict
		}
		m := &codec.Message{
			Type: codec.Type(typ), ID: id, Route: route, Data: data,
			Err:  codec.Flags(flags)&codec.FlagError != 0,
			Gzip: codec.Flags(flags)&codec.FlagGzip != 0,
		}
		before := []byte("before")
		body, errMessage := codec.AppendMessage(nil, m, d)
		wire, err := codec.AppendData(before, m.Type, id, route, data, codec.Flags(flags), d, limit)
		if !bytes.HasPrefix(wire, before) {
			t.Fatal("what was in the buffer before is gone")
		}
		wire = wire[len(before):]
		if err != nil {
			if len(wire) > 0 {
				t.Fatalf("%v, and yet %d bytes written", err, len(wire))
			}
			if errMessage == nil && !errors.Is(err, codec.ErrPacketTooLarge) {
				t.Fatalf("AppendData: %v, AppendMessage takes it", err)
			}
			return
		}
		if errMessage != nil {
			t.Fatalf("AppendMessage: %v, AppendData takes it", errMessage)
		}
		if !bytes.Equal(wire, codec.AppendPacket(nil, codec.Data, body)) {
			t.Fatalf("AppendData made %x, the two steps make %x", wire, body)
		}
		got, err := decode(codec.NewDecoder(limit), wire)
		if err != nil || len(got) != 1 || got[0].t != codec.Data {
			t.Fatalf("read as %v, %v", got, err)
		}

		want := *m
		switch m.Type {
		case codec.Response:
			want.Route = ""
		case codec.Notify, codec.Push:
			want.ID = 0
		}
		if again := parse(t, []byte(got[0].body), d); !sameMessage(again, &want) {
			t.Fatalf("wrote %+v, read %+v", want, again)
		}
	})
}
