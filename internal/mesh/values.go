package mesh

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"maps"
)

// encodedValues are values of a session as they go from node to node, by key. Each is encoded by
// itself: one that the other node cannot read costs only itself. An empty one is no value. A
// backend gets all of them when a gateSession introduces itself, and those that change before the
// next message; remoteSession sets them.
type encodedValues map[string][]byte

// What may be forwarded of one session: it goes in one frame.
const (
	maxValue  = 1 << 20 // bytes of one value
	maxValues = 8 << 20 // and of all
)

// fits tells whether a value may take the place of the key's, and how large all of them are then.
func (v encodedValues) fits(key string, b []byte) (total int, ok bool) {
	total = len(b)
	for k, other := range v {
		if k != key {
			total += len(other)
		}
	}
	return total, len(b) <= maxValue && total <= maxValues
}

// with returns the values with the key's changed. Nothing removes it.
func (v encodedValues) with(key string, b []byte) encodedValues {
	switch {
	case len(b) == 0:
		delete(v, key)
	case v == nil:
		return encodedValues{key: b}
	default:
		v[key] = b
	}
	return v
}

// only returns the values of some keys, without a value for those that have none.
func (v encodedValues) only(keys map[string]struct{}) encodedValues {
	some := make(encodedValues, len(keys))
	for k := range keys {
		some[k] = v[k]
	}
	return some
}

// changes returns what becomes another value when all is all that there is. With every set, values
// that stay the same are among them.
func (v encodedValues) changes(all encodedValues, every bool) encodedValues {
	changed := make(encodedValues, len(all))
	for k, b := range all {
		if every || !bytes.Equal(b, v[k]) {
			changed[k] = b
		}
	}
	for k := range v {
		if _, ok := all[k]; !ok {
			changed[k] = nil
		}
	}
	return changed
}

// clone returns a copy.
func (v encodedValues) clone() encodedValues { return maps.Clone(v) }

// encode makes one payload of all, nothing if there is none.
func (v encodedValues) encode() []byte {
	if len(v) == 0 {
		return nil
	}
	b, _ := encodeGob(map[string][]byte(v)) // a map of bytes can be encoded
	return b
}

func decodeValues(b []byte) (v encodedValues, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	err = decodeGob(b, (*map[string][]byte)(&v))
	return v, err
}

// A value goes in a slice: so gob says its type, and takes nil.
func encodeValue(v any) ([]byte, error) { return encodeGob([]any{v}) }

func decodeValue(b []byte) (any, error) {
	var one []any
	if err := decodeGob(b, &one); err != nil {
		return nil, err
	}
	if len(one) != 1 {
		return nil, fmt.Errorf("cluster: decode a value: there are %d in the place of one", len(one))
	}
	return one[0], nil
}

// encodeGob encodes a value; what is of the application's in that may panic.
func encodeGob(v any) (b []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			b, err = nil, fmt.Errorf("cluster: encode a value: it panicked: %v", v)
		}
	}()
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func decodeGob(b []byte, into any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("cluster: decode a value: it panicked: %v", v)
		}
	}()
	return gob.NewDecoder(bytes.NewReader(b)).Decode(into)
}
