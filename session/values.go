package session

import (
	"maps"
	"slices"
)

// values are those of a session. Most sessions have a few, for which a map would take ten times the
// room: they stand in a list until there are more than fewValues.
type values struct {
	few  []entry
	many map[string]any // nil while few holds them all
}

// entry is a value and its key.
type entry struct {
	key   string
	value any
}

const fewValues = 8

// valuesOf returns the values of a map.
func valuesOf(data map[string]any) *values {
	if len(data) == 0 {
		return nil
	}
	v := &values{}
	for key, value := range data {
		v.set(key, value)
	}
	return v
}

// find returns the place of a key in the list; -1 if it is not there. v may be nil.
func (v *values) find(key string) int {
	if v == nil {
		return -1
	}
	for i := range v.few {
		if v.few[i].key == key {
			return i
		}
	}
	return -1
}

// get returns the value of a key. v may be nil.
func (v *values) get(key string) (value any, ok bool) {
	if i := v.find(key); i >= 0 {
		return v.few[i].value, true
	}
	if v != nil {
		value, ok = v.many[key]
	}
	return value, ok
}

// set stores a value.
func (v *values) set(key string, value any) {
	i := v.find(key)
	switch {
	case i >= 0:
		v.few[i].value = value
	case v.many != nil:
		v.many[key] = value
	case len(v.few) < fewValues:
		v.few = append(v.few, entry{key, value})
	default:
		v.many = v.all()
		v.many[key] = value
		v.few = nil
	}
}

// remove deletes a value. v may be nil.
func (v *values) remove(key string) {
	if i := v.find(key); i >= 0 {
		v.few = slices.Delete(v.few, i, i+1)
	} else if v != nil {
		delete(v.many, key)
	}
}

// all returns a map of all values, never nil, which is the caller's. v may be nil.
func (v *values) all() map[string]any {
	if v == nil {
		return make(map[string]any)
	}
	if v.many != nil {
		return maps.Clone(v.many)
	}
	data := make(map[string]any, len(v.few)+1)
	for _, e := range v.few {
		data[e.key] = e.value
	}
	return data
}

// Set stores value under key until the session ends.
func (s *Session) Set(key string, value any) {
	x := s.more()
	s.mu.Lock()
	if x.values == nil {
		x.values = new(values)
	}
	x.values.set(key, value)
	s.mu.Unlock()
	if w, ok := s.NetworkEntity().(ValueWatcher); ok {
		w.ValueChanged(s, key)
	}
}

// Remove deletes the value of key.
func (s *Session) Remove(key string) {
	s.mu.Lock()
	s.valuesLocked().remove(key)
	s.mu.Unlock()
	if w, ok := s.NetworkEntity().(ValueWatcher); ok {
		w.ValueChanged(s, key)
	}
}

// HasKey reports whether key has a value, which may be nil.
func (s *Session) HasKey(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.valuesLocked().get(key)
	return ok
}

// Value returns the value of key; nil if there is none. The accessors below return a value of one
// type. If there is none or it has another type, they return the zero value: they do not convert
// numbers.
func (s *Session) Value(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, _ := s.valuesLocked().get(key)
	return value
}

// State returns a map of all values, never nil. The map is a copy; the values are shared.
func (s *Session) State() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.valuesLocked().all()
}

// valuesLocked returns the values; nil if there are none.
func (s *Session) valuesLocked() *values {
	if x := s.extra.Load(); x != nil {
		return x.values
	}
	return nil
}

// replaceLocked replaces all values and returns those from before.
func (s *Session) replaceLocked(now *values) (before *values) {
	if now == nil && s.extra.Load() == nil {
		return nil
	}
	x := s.more()
	before, x.values = x.values, now
	return before
}

// Restore replaces all values by those of data, which it copies; nil leaves none.
func (s *Session) Restore(data map[string]any) {
	now := valuesOf(data)
	s.mu.Lock()
	before := s.replaceLocked(now)
	s.mu.Unlock()
	s.valuesChanged(before, data)
}

// valuesChanged tells who wants to know that all values were replaced.
func (s *Session) valuesChanged(replaced *values, now map[string]any) {
	w, ok := s.NetworkEntity().(ValueWatcher)
	if !ok {
		return
	}
	before := replaced.all() // nobody else has it any more
	for key := range before {
		w.ValueChanged(s, key)
	}
	for key := range now {
		if _, told := before[key]; !told {
			w.ValueChanged(s, key)
		}
	}
}

func typed[T any](s *Session, key string) T {
	v, _ := s.Value(key).(T)
	return v
}

// Int returns the value of key if it is an int, else 0.
func (s *Session) Int(key string) int { return typed[int](s, key) }

// Int8 returns the value of key if it is an int8, else 0.
func (s *Session) Int8(key string) int8 { return typed[int8](s, key) }

// Int16 returns the value of key if it is an int16, else 0.
func (s *Session) Int16(key string) int16 { return typed[int16](s, key) }

// Int32 returns the value of key if it is an int32, else 0.
func (s *Session) Int32(key string) int32 { return typed[int32](s, key) }

// Int64 returns the value of key if it is an int64, else 0.
func (s *Session) Int64(key string) int64 { return typed[int64](s, key) }

// Uint returns the value of key if it is a uint, else 0.
func (s *Session) Uint(key string) uint { return typed[uint](s, key) }

// Uint8 returns the value of key if it is a uint8, else 0.
func (s *Session) Uint8(key string) uint8 { return typed[uint8](s, key) }

// Uint16 returns the value of key if it is a uint16, else 0.
func (s *Session) Uint16(key string) uint16 { return typed[uint16](s, key) }

// Uint32 returns the value of key if it is a uint32, else 0.
func (s *Session) Uint32(key string) uint32 { return typed[uint32](s, key) }

// Uint64 returns the value of key if it is a uint64, else 0.
func (s *Session) Uint64(key string) uint64 { return typed[uint64](s, key) }

// Float32 returns the value of key if it is a float32, else 0.
func (s *Session) Float32(key string) float32 { return typed[float32](s, key) }

// Float64 returns the value of key if it is a float64, else 0.
func (s *Session) Float64(key string) float64 { return typed[float64](s, key) }

// String returns the value of key if it is a string, else "".
func (s *Session) String(key string) string { return typed[string](s, key) }
