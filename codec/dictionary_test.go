package codec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lonng/nano/codec"
)

// A dictionary that two ends read differently sends messages to the wrong handler.
func TestNewDictionaryRefuses(t *testing.T) {
	tests := []struct {
		name string
		m    map[string]uint16
		says []string // each must be named
	}{
		{"two routes, one code", map[string]uint16{"a": 1, "b": 1}, []string{"code 1", `"a"`, `"b"`}},
		{"one route, two codes", map[string]uint16{"a": 1, " a": 2}, []string{`"a"`, "1", "2"}},
		{"empty route", map[string]uint16{"": 3}, []string{"code 3"}},
		{"blank route", map[string]uint16{" \t": 4}, []string{"code 4"}},
		{"long route", map[string]uint16{strings.Repeat("r", 256): 1}, []string{"256"}},
		{"all at once", map[string]uint16{"": 3, "a": 1, "b": 1}, []string{"code 3", "code 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := codec.NewDictionary(tt.m)
			if !errors.Is(err, codec.ErrDictionary) || d != nil {
				t.Fatalf("%v, %v", d, err)
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
		})
	}
}

func TestDictionary(t *testing.T) {
	src := map[string]uint16{" Room.Join\n": 1, "Room.Join": 1, "onLast": 65535, "zero": 0}
	d := mustDictionary(t, src)
	clear(src)

	if d.Len() != 3 {
		t.Errorf("%d routes, want 3", d.Len())
	}
	for route, code := range map[string]uint16{"Room.Join": 1, "onLast": 65535, "zero": 0} {
		if got, ok := d.Code(route); !ok || got != code {
			t.Errorf("%q has code %d, %v; want %d", route, got, ok, code)
		}
		if got, ok := d.Route(code); !ok || got != route {
			t.Errorf("code %d is %q, %v; want %q", code, got, ok, route)
		}
	}
	if _, ok := d.Code("room.join"); ok {
		t.Error("routes are case sensitive")
	}
	if _, ok := d.Route(2); ok {
		t.Error("code 2 has a route")
	}

	m := d.Map()
	m["other"] = 9
	if d.Len() != 3 || len(d.Map()) != 3 {
		t.Error("the copy is not a copy")
	}
}

// A node without a dictionary has none to make.
func TestNilDictionary(t *testing.T) {
	var d *codec.Dictionary
	if _, ok := d.Code("a"); ok {
		t.Error("a nil dictionary has a code")
	}
	if _, ok := d.Route(0); ok {
		t.Error("a nil dictionary has a route")
	}
	if d.Len() != 0 || d.Map() == nil || len(d.Map()) != 0 {
		t.Error("a nil dictionary is not empty")
	}
	if empty, err := codec.NewDictionary(nil); err != nil || empty.Len() != 0 {
		t.Errorf("%v, %v", empty, err)
	}
}
