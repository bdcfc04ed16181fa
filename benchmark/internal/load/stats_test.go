//go:build linux

package load

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		of   []time.Duration
		p    float64
		want time.Duration
	}{
		{nil, .5, 0},
		{[]time.Duration{7}, .999, 7},
		{[]time.Duration{7}, 0, 7},
		{[]time.Duration{2, 1}, .5, 1},
		{[]time.Duration{3, 1, 2}, .5, 2},
		{hundred, .5, 50},
		{hundred, .99, 99},
		{hundred, .999, 100},
		{hundred, 1, 100},
	} {
		if got := Percentile(c.of, c.p); got != c.want {
			t.Errorf("%v of %d values is %d, want %d", c.p, len(c.of), got, c.want)
		}
	}
}
