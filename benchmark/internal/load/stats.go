//go:build linux

package load

import (
	"slices"
	"time"
)

// Result is what came of the work of a load, as it prints it for the process that started it.
type Result struct {
	Messages  int64   `json:"messages"`         // answers, or deliveries of broadcasts
	PerSecond float64 `json:"per_second"`       // of these
	P50       float64 `json:"p50_us,omitempty"` // microseconds until the answer
	P99       float64 `json:"p99_us,omitempty"`
	P999      float64 `json:"p999_us,omitempty"`
	Lost      int64   `json:"lost"`            // deliveries that did not come, or not in order
	Other     int64   `json:"other,omitempty"` // joins and leaves
}

// Percentile returns the smallest of the values that at least the part p of all does not exceed; 0
// of none. It sorts them.
func Percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	i := int(p*float64(len(all))+0.999999999) - 1
	return all[min(max(i, 0), len(all)-1)]
}

func (r *Result) setTimes(all []time.Duration) {
	us := func(p float64) float64 { return float64(Percentile(all, p)) / 1e3 }
	r.P50, r.P99, r.P999 = us(.5), us(.99), us(.999)
}
