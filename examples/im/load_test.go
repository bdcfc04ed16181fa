package main

import (
	"testing"
	"time"

	"github.com/lonng/nano/examples/im/load"
)

// People who talk, go and come lose nothing, and the checker sees that.
func TestPeopleTalk(t *testing.T) {
	w := newWorld(t)
	r, err := load.Run(t.Context(), load.Config{
		URLs: []string{"http://" + w.addr}, APIKey: "secret", People: 40, Groups: 4, For: 2 * time.Second, Leave: 0.5, Check: true,
	}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	// Who was away catches up from the store, which is not counted as heard; the check sees that
	// nothing is missing.
	if r.Acknowledged == 0 || r.Heard < r.Acknowledged*8 || len(r.Faults) > 0 {
		t.Errorf("%v", r)
	}
}

// BenchmarkTalk measures acknowledged messages of 1,000 people in 100 groups, who and whose
// messenger are in one process.
func BenchmarkTalk(b *testing.B) {
	w := newWorld(b)
	r, err := load.Run(b.Context(), load.Config{URLs: []string{"http://" + w.addr}, APIKey: "secret", People: 1000, Groups: 100, For: 8 * time.Second}, func(string) {})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(r.PerSecond, "msgs/s")
	b.ReportMetric(float64(r.P99.Milliseconds()), "p99-ms")
}
