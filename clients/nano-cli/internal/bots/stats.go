package bots

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/lonng/nano/clients/client"
)

// What histograms hold, in nanoseconds: three digits of a microsecond to ten minutes.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(10 * time.Minute)
	digits   = 3
	shards   = 4 // of one histogram, for less waiting
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// stats are the figures of one step.
type stats struct {
	sent, answered, failed atomic.Uint64
	parts                  [shards]struct {
		mu sync.Mutex
		h  *hdrhistogram.Histogram // made on first use
	}
}

func newStats() *stats { return new(stats) }

func (s *stats) record(bot int, d time.Duration) {
	p := &s.parts[bot%shards]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.h == nil {
		p.h = newHistogram()
	}
	_ = p.h.RecordValue(min(max(int64(d), 0), longest)) // in range, so without an error
}

// histogram returns all that was recorded.
func (s *stats) histogram() *hdrhistogram.Histogram {
	all := newHistogram()
	for i := range s.parts {
		p := &s.parts[i]
		p.mu.Lock()
		if p.h != nil {
			all.Merge(p.h)
		}
		p.mu.Unlock()
	}
	return all
}

// ErrorCount is how often something failed in one way.
type ErrorCount struct {
	Where   string `json:"where"`   // a route, "connect" or "connection"
	Code    string `json:"code"`    // the server's, or timeout, lost, kicked, error
	Count   uint64 `json:"count"`   // how often
	Example string `json:"example"` // the first one
}

// failures count errors.
type failures struct {
	mu  sync.Mutex
	all map[[2]string]*ErrorCount
	n   atomic.Uint64
}

func (f *failures) add(where string, err error) {
	f.n.Add(1)
	key := [2]string{where, code(err)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = make(map[[2]string]*ErrorCount)
	}
	e := f.all[key]
	if e == nil {
		e = &ErrorCount{Where: where, Code: key[1], Example: err.Error()}
		f.all[key] = e
	}
	e.Count++
}

func code(err error) string {
	var kick *client.KickError
	switch c := client.CodeOf(err); {
	case c != "":
		return c
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &kick):
		return "kicked"
	case errors.Is(err, client.ErrLost):
		return "lost"
	}
	return "error"
}
