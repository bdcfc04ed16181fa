package nanotest

import (
	"slices"
	"sync"
)

// Record notes what happened in which order. It may be used by any number of goroutines.
type Record struct {
	mu  sync.Mutex
	all []string
}

// Add notes the next thing.
func (r *Record) Add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
}

// List returns what was noted.
func (r *Record) List() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}
