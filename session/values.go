package session

import "maps"

// Set stores value under key until the session ends.
func (s *Session) Set(key string, value any) {
	x := s.more()
	s.mu.Lock()
	if x.data == nil {
		x.data = make(map[string]any)
	}
	x.data[key] = value
	s.mu.Unlock()
	if w, ok := s.NetworkEntity().(ValueWatcher); ok {
		w.ValueChanged(s, key)
	}
}

// Remove deletes the value of key.
func (s *Session) Remove(key string) {
	s.mu.Lock()
	delete(s.dataLocked(), key)
	s.mu.Unlock()
	if w, ok := s.NetworkEntity().(ValueWatcher); ok {
		w.ValueChanged(s, key)
	}
}

// HasKey reports whether key has a value, which may be nil.
func (s *Session) HasKey(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.dataLocked()[key]
	return ok
}

// Value returns the value of key; nil if there is none. The accessors below return a value of one
// type. If there is none or it has another type, they return the zero value: they do not convert
// numbers.
func (s *Session) Value(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dataLocked()[key]
}

// State returns a map of all values, never nil. The map is a copy; the values are shared.
func (s *Session) State() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.dataLocked()
	if data == nil {
		return make(map[string]any)
	}
	return maps.Clone(data)
}

// dataLocked returns the values; nil if there are none.
func (s *Session) dataLocked() map[string]any {
	if x := s.extra.Load(); x != nil {
		return x.data
	}
	return nil
}

// replaceLocked replaces all values and returns those from before.
func (s *Session) replaceLocked(data map[string]any) (before map[string]any) {
	if data == nil && s.extra.Load() == nil {
		return nil
	}
	x := s.more()
	before, x.data = x.data, data
	return before
}

// Restore replaces all values by those of data, which it copies; nil leaves none.
func (s *Session) Restore(data map[string]any) {
	now := maps.Clone(data)
	s.mu.Lock()
	before := s.replaceLocked(now)
	s.mu.Unlock()
	s.valuesChanged(before, data)
}

// valuesChanged tells who wants to know that all values were replaced.
func (s *Session) valuesChanged(before, now map[string]any) {
	w, ok := s.NetworkEntity().(ValueWatcher)
	if !ok {
		return
	}
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
