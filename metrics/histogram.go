package metrics

import (
	"math"
	"math/bits"
	"time"
)

// Buckets of a [Histogram]. Each octave, that is each doubling of the duration, has four of them,
// so that a duration is known to 19 %. The bounds are those of Prometheus' native histograms with
// schema 2.
const (
	// Schema is the number by which Prometheus knows these bounds: each is 2^(2^-Schema) times the
	// one before it.
	Schema = 2

	// FirstBucket and LastBucket are the buckets of the shortest and of the longest durations. What
	// is shorter is in [Histogram.Zero]; what is longer counts in the last one.
	FirstBucket = -20*perOctave + 1
	LastBucket  = 8 * perOctave

	perOctave = 1 << Schema
)

// ZeroBound is the longest duration, in seconds, that counts as none: 2^-20 s, about a microsecond.
const ZeroBound = 1.0 / (1 << 20)

// Histogram says how long things took: how many of them, how long all together, and how many in
// each bucket. Bucket i holds what is longer than Bound(i-1) and at most [Bound](i). The zero value
// is an empty one. A Histogram is a value: whoever got one may keep and change it.
type Histogram struct {
	Count uint64        `json:"count"`
	Sum   time.Duration `json:"sumNs"`
	// Zero counts what took at most ZeroBound.
	Zero uint64 `json:"zero,omitempty"`
	// First is the bucket that Counts begins with. Counts ends with the last bucket that holds
	// something.
	First  int      `json:"first,omitempty"`
	Counts []uint64 `json:"counts,omitempty"`
}

// Bound returns the upper bound of bucket i, in seconds.
func Bound(i int) float64 { return math.Exp2(float64(i) / perOctave) }

// Bucket returns the bucket of a duration. ok is false for one that counts as none.
func Bucket(d time.Duration) (i int, ok bool) {
	if int64(d) <= bounds[0] {
		return 0, false
	}
	octave := bits.Len64(uint64(d)) - 1
	at := int(starts[octave*parts+int(uint64(d)>>uint(octave-partBits)&(parts-1))])
	if at < len(bounds)-1 && int64(d) > bounds[at] {
		at++
	}
	return FirstBucket - 1 + at, true
}

// bounds are the upper bounds of what counts as none, and then of each bucket, in nanoseconds.
var bounds = func() (all [LastBucket - FirstBucket + 2]int64) {
	for i := range all {
		all[i] = int64(Bound(FirstBucket-1+i) * float64(time.Second))
	}
	return all
}()

// The durations whose numbers have the same length in bits, and the same partBits behind the first
// of them, are a part. Parts are narrower than buckets, so that each has one bound within it at
// most.
const (
	partBits = 3
	parts    = 1 << partBits
)

// starts are, for each part, the first place in bounds where its durations can be. Those that are
// shorter than the first bound are not looked up.
var starts = func() (all [64 * parts]uint8) {
	for i := partBits * parts; i < 63*parts; i++ {
		shortest := uint64(parts+i%parts) << (i/parts - partBits)
		at := 0
		for at < len(bounds)-1 && shortest > uint64(bounds[at]) {
			at++
		}
		all[i] = uint8(at)
	}
	return all
}()

// Mean returns the average; 0 of nothing.
func (h Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Quantile returns the duration within which the part q of all was: Quantile(0.99) is the 99th
// percentile. It is exact to the width of a bucket, and 0 of nothing. q is between 0 and 1.
func (h Histogram) Quantile(q float64) time.Duration {
	total := h.Zero
	for _, n := range h.Counts {
		total += n
	}
	if total == 0 || math.IsNaN(q) {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(total)
	below := float64(h.Zero)
	if rank <= below && h.Zero > 0 {
		return seconds(ZeroBound * rank / below)
	}
	last := 0.0
	for i, n := range h.Counts {
		if n == 0 {
			continue
		}
		last = Bound(h.First + i)
		if below+float64(n) >= rank {
			part := max(rank-below, 0) / float64(n)
			return seconds(Bound(h.First+i-1) * math.Exp2(part/perOctave))
		}
		below += float64(n)
	}
	return seconds(last)
}

// Sub returns what came to h since before, which is an earlier state of it: what happened in the
// time between two snapshots. Where h has begun anew since, that is all of h.
func (h Histogram) Sub(before Histogram) Histogram {
	if h.Count < before.Count {
		return h.clone()
	}
	d := Histogram{Count: h.Count - before.Count, Sum: max(0, h.Sum-before.Sum), Zero: minus(h.Zero, before.Zero)}
	all := make([]uint64, len(h.Counts))
	for i, n := range h.Counts {
		all[i] = minus(n, before.at(h.First+i))
	}
	d.First, d.Counts = trim(h.First, all)
	return d
}

// Add returns h and o together.
func (h Histogram) Add(o Histogram) Histogram {
	switch {
	case len(o.Counts) == 0:
		s := h.clone()
		s.Count, s.Sum, s.Zero = h.Count+o.Count, h.Sum+o.Sum, h.Zero+o.Zero
		return s
	case len(h.Counts) == 0:
		return o.Add(h)
	}
	s := Histogram{Count: h.Count + o.Count, Sum: h.Sum + o.Sum, Zero: h.Zero + o.Zero, First: min(h.First, o.First)}
	end := max(h.First+len(h.Counts), o.First+len(o.Counts))
	s.Counts = make([]uint64, end-s.First)
	for i := range s.Counts {
		s.Counts[i] = h.at(s.First+i) + o.at(s.First+i)
	}
	return s
}

// NewHistogram returns the histogram of counted buckets: counts[0] is that of bucket first. It
// keeps counts, whose sum with zero is the histogram's count.
func NewHistogram(sum time.Duration, zero uint64, first int, counts []uint64) Histogram {
	h := Histogram{Count: zero, Sum: sum, Zero: zero}
	for _, n := range counts {
		h.Count += n
	}
	h.First, h.Counts = trim(first, counts)
	return h
}

// at returns what bucket i holds.
func (h Histogram) at(i int) uint64 {
	if i -= h.First; i >= 0 && i < len(h.Counts) {
		return h.Counts[i]
	}
	return 0
}

func (h Histogram) clone() Histogram {
	h.Counts = append([]uint64(nil), h.Counts...)
	return h
}

// trim leaves out the empty buckets at both ends.
func trim(first int, counts []uint64) (int, []uint64) {
	for len(counts) > 0 && counts[len(counts)-1] == 0 {
		counts = counts[:len(counts)-1]
	}
	for len(counts) > 0 && counts[0] == 0 {
		first, counts = first+1, counts[1:]
	}
	if len(counts) == 0 {
		return 0, nil
	}
	return first, counts
}

func minus(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
