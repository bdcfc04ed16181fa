// Package tally counts what happens often, for the figures of a node: without a lock or an
// allocation for each event, and safe for concurrent use.
package tally

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/metrics"
)

// Histogram counts durations. The zero value is ready to use.
type Histogram struct {
	sum    atomic.Int64 // nanoseconds
	counts [metrics.LastBucket - metrics.FirstBucket + 2]atomic.Uint64
}

// Record counts a duration. What is below zero, because a clock was set, counts as none.
func (h *Histogram) Record(d time.Duration) {
	h.RecordWithoutSum(d)
	if d > 0 {
		h.AddSum(d)
	}
}

// RecordWithoutSum is Record but for the sum: whoever counts many durations adds them up, and calls
// AddSum once.
func (h *Histogram) RecordWithoutSum(d time.Duration) {
	at := 0
	if i, ok := metrics.Bucket(d); ok {
		at = i - metrics.FirstBucket + 1
	}
	h.counts[at].Add(1)
}

// AddSum adds the sum of durations that RecordWithoutSum has counted.
func (h *Histogram) AddSum(d time.Duration) { h.sum.Add(int64(d)) }

// Count returns how many durations were counted.
func (h *Histogram) Count() (n uint64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Snapshot returns what was counted.
func (h *Histogram) Snapshot() metrics.Histogram {
	counts := make([]uint64, len(h.counts)-1)
	for i := range counts {
		counts[i] = h.counts[i+1].Load()
	}
	return metrics.NewHistogram(time.Duration(h.sum.Load()), h.counts[0].Load(), metrics.FirstBucket, counts)
}

const (
	// maxCodes is how many codes are told apart: an application may make them of what clients say.
	maxCodes = 32
	// otherCode counts the rest.
	otherCode = "other"
)

// Codes counts errors by their code. The zero value is ready to use.
type Codes struct {
	mu  sync.Mutex // held while a code is added
	all atomic.Pointer[[]*code]
}

type code struct {
	name string
	n    atomic.Uint64
}

// Add counts an error. It takes a lock for the first of each code only.
func (c *Codes) Add(name string) {
	if at := c.find(name); at != nil {
		at.n.Add(1)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count() >= maxCodes {
		name = otherCode
	}
	at := c.find(name)
	if at == nil {
		at = &code{name: name}
		var grown []*code
		if all := c.all.Load(); all != nil {
			grown = append(grown, *all...)
		}
		grown = append(grown, at)
		c.all.Store(&grown)
	}
	at.n.Add(1)
}

func (c *Codes) count() int {
	if all := c.all.Load(); all != nil {
		return len(*all)
	}
	return 0
}

func (c *Codes) find(name string) *code {
	all := c.all.Load()
	if all == nil {
		return nil
	}
	for _, at := range *all {
		if at.name == name {
			return at
		}
	}
	return nil
}

// Snapshot returns the counts by code; nil if there are none.
func (c *Codes) Snapshot() map[string]uint64 {
	all := c.all.Load()
	if all == nil {
		return nil
	}
	m := make(map[string]uint64, len(*all))
	for _, at := range *all {
		m[at.name] = at.n.Load()
	}
	return m
}

// Total returns the count of all.
func (c *Codes) Total() (n uint64) {
	if all := c.all.Load(); all != nil {
		for _, at := range *all {
			n += at.n.Load()
		}
	}
	return n
}
