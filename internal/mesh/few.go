package mesh

import (
	"iter"
	"maps"
)

// fewMax is up to how many entries are found by looking at each of them.
const fewMax = 16

// few is a map that mostly has no entry or one. Up to fewMax entries are a list: a map of one entry
// takes some 200 bytes, which every client of a gate would pay for. The zero value is empty and
// ready. It is not for concurrent use.
type few[K comparable, V any] struct {
	list []pair[K, V]
	many map[K]V // nil: list has all of them
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func (f *few[K, V]) index(key K) int {
	for i := range f.list {
		if f.list[i].key == key {
			return i
		}
	}
	return -1
}

func (f *few[K, V]) get(key K) (value V, ok bool) {
	if f.many != nil {
		value, ok = f.many[key]
		return value, ok
	}
	if i := f.index(key); i >= 0 {
		return f.list[i].value, true
	}
	return value, false
}

func (f *few[K, V]) set(key K, value V) {
	if f.many != nil {
		f.many[key] = value
		return
	}
	if i := f.index(key); i >= 0 {
		f.list[i].value = value
		return
	}
	if len(f.list) < fewMax {
		f.list = append(f.list, pair[K, V]{key, value})
		return
	}
	f.many = make(map[K]V, 2*fewMax)
	for _, p := range f.list {
		f.many[p.key] = p.value
	}
	f.many[key] = value
	f.list = nil
}

// remove deletes an entry, and gives the memory of a map back with its last one.
func (f *few[K, V]) remove(key K) {
	if f.many != nil {
		if delete(f.many, key); len(f.many) == 0 {
			f.many = nil
		}
		return
	}
	if i := f.index(key); i >= 0 {
		last := len(f.list) - 1
		f.list[i] = f.list[last]
		f.list[last] = pair[K, V]{}
		f.list = f.list[:last]
	}
}

func (f *few[K, V]) len() int { return len(f.list) + len(f.many) }

// all returns the entries in no order. The loop may not change them.
func (f *few[K, V]) all() iter.Seq2[K, V] {
	if f.many != nil {
		return maps.All(f.many)
	}
	return func(yield func(K, V) bool) {
		for _, p := range f.list {
			if !yield(p.key, p.value) {
				return
			}
		}
	}
}
