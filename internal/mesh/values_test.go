package mesh

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// What a gate forwards arrives as the same values: a backend that reads another level or name than
// the gate has set would decide wrongly.
func TestValuesTravel(t *testing.T) {
	var v encodedValues
	for key, value := range map[string]any{"level": 7, "name": "x", "nothing": nil} {
		b, err := encodeValue(value)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		v = v.with(key, b)
	}
	got, err := decodeValues(v.encode())
	if err != nil || !maps.EqualFunc(got, v, bytes.Equal) {
		t.Fatalf("they arrive as %v, %v", got, err)
	}
	if level, err := decodeValue(got["level"]); err != nil || level != 7 {
		t.Errorf("the level is %v, %v", level, err)
	}
	if nothing, err := decodeValue(got["nothing"]); err != nil || nothing != nil {
		t.Errorf("nothing is %v, %v", nothing, err)
	}
	if b := encodedValues(nil).encode(); b != nil {
		t.Errorf("no values take %d bytes", len(b))
	}
	if got, err := decodeValues(nil); got != nil || err != nil {
		t.Errorf("no bytes are %v, %v", got, err)
	}
	if _, err := encodeValue(func() {}); err == nil {
		t.Error("a function was encoded")
	}
	for _, bad := range [][]byte{{1}, []byte("nonsense"), v.encode()[:9]} {
		if _, err := decodeValues(bad); err == nil {
			t.Errorf("%q was decoded", bad)
		}
		if _, err := decodeValue(bad); err == nil {
			t.Errorf("%q was decoded as a value", bad)
		}
	}
}

// A backend takes over only what the gate has changed: what it has set itself meanwhile stays.
func TestValuesThatChange(t *testing.T) {
	keys := func(v encodedValues) []string { return slices.Sorted(maps.Keys(v)) }
	have := encodedValues{"same": {1}, "other": {2}, "gone": {3}}
	all := encodedValues{"same": {1}, "other": {4}, "new": {5}}
	changed := have.changes(all, false)
	if got := keys(changed); !slices.Equal(got, []string{"gone", "new", "other"}) || changed["gone"] != nil {
		t.Errorf("changed are %v", changed)
	}
	if got := keys(have.changes(all, true)); !slices.Equal(got, []string{"gone", "new", "other", "same"}) {
		t.Errorf("with every one, changed are %v", got)
	}
	for k, b := range changed {
		have = have.with(k, b)
	}
	if !maps.EqualFunc(have, all, bytes.Equal) {
		t.Errorf("after the changes they are %v", have)
	}
	some := all.only(map[string]struct{}{"new": {}, "gone": {}})
	if got := keys(some); !slices.Equal(got, []string{"gone", "new"}) || some["gone"] != nil {
		t.Errorf("of two keys there are %v", some)
	}
}

// One frame carries all values of a session: what does not fit would end the link.
func TestValuesFit(t *testing.T) {
	v := encodedValues{"a": make([]byte, maxValues-maxValue)}
	if total, ok := v.fits("b", make([]byte, maxValue)); !ok || total != maxValues {
		t.Errorf("%d bytes fit: %v", total, ok)
	}
	if _, ok := v.fits("b", make([]byte, maxValue+1)); ok {
		t.Error("a value over the limit fits")
	}
	v["b"] = make([]byte, maxValue)
	if _, ok := v.fits("c", make([]byte, 1)); ok {
		t.Error("one more than all fits")
	}
	if _, ok := v.fits("b", make([]byte, maxValue)); !ok {
		t.Error("a value does not fit in its own place")
	}
}
