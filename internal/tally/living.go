package tally

import (
	"sync"
	"weak"
)

// Living are things that somebody else has: who is here is here as long as anybody has it, and
// nobody needs to take it out. The zero value is empty. Safe for concurrent use.
type Living[T any] struct {
	mu  sync.Mutex
	all []weak.Pointer[T]
	at  int // tidy when there are so many
}

// tidyAt is the least number of things for which it is worth to look who is gone.
const tidyAt = 64

// Add adds one. It is called once for each.
func (l *Living[T]) Add(p *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) >= max(l.at, tidyAt) {
		kept := l.all[:0]
		for _, w := range l.all {
			if w.Value() != nil {
				kept = append(kept, w)
			}
		}
		clear(l.all[len(kept):])
		l.all, l.at = kept, 2*len(kept)
	}
	l.all = append(l.all, weak.Make(p))
}

// All returns those that are there, in no order.
func (l *Living[T]) All() []*T {
	l.mu.Lock()
	all := append([]weak.Pointer[T](nil), l.all...)
	l.mu.Unlock()
	living := make([]*T, 0, len(all))
	for _, w := range all {
		if p := w.Value(); p != nil {
			living = append(living, p)
		}
	}
	return living
}

// Top keeps the first few of many in an order.
type Top[T any] struct {
	n      int
	before func(a, b *T) bool
	all    []T
}

// NewTop returns an empty Top for the n that come before all others.
func NewTop[T any](n int, before func(a, b *T) bool) *Top[T] { return &Top[T]{n: n, before: before} }

// Add offers one more.
func (t *Top[T]) Add(x T) {
	at := len(t.all)
	if at == t.n && !t.before(&x, &t.all[at-1]) {
		return
	}
	for at > 0 && t.before(&x, &t.all[at-1]) {
		at--
	}
	if len(t.all) < t.n {
		t.all = append(t.all, x)
	}
	copy(t.all[at+1:], t.all[at:])
	t.all[at] = x
}

// All returns them in order.
func (t *Top[T]) All() []T { return t.all }
