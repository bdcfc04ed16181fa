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

// The trials of live rooms, of pushes and of idle people find nothing amiss, and count right.
func TestTrials(t *testing.T) {
	w := newWorld(t)
	conf := load.Config{URLs: []string{"http://" + w.addr}, APIKey: "secret", People: 30, Rate: 50, For: time.Second}
	quiet := func(string) {}
	room, err := load.Room(t.Context(), conf, "live", quiet)
	if err != nil {
		t.Fatal(err)
	}
	if room.Said == 0 || room.Shown != room.Said*30 || room.Worst != room.Said || len(room.Faults) > 0 {
		t.Errorf("%v", room)
	}
	pushes, err := load.Push(t.Context(), conf, 100, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if len(pushes) != 2 || pushes[0].Reached != 30 || pushes[0].Kept != 70 || pushes[1].Reached != 30 || pushes[1].Last <= 0 {
		t.Errorf("%v", pushes)
	}
	if _, err := load.Idle(t.Context(), conf, quiet); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkTalk measures acknowledged messages of 1,000 people in 100 groups, who and whose
// messenger are in one process.
func BenchmarkTalk(b *testing.B) {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond, 30 * time.Millisecond} {
		b.Run("delay="+delay.String(), func(b *testing.B) {
			w := newWorld(b, func(c *config) { c.writeDelay = delay })
			r, err := load.Run(b.Context(), load.Config{URLs: []string{"http://" + w.addr}, APIKey: "secret", People: 1000, Groups: 100, For: 8 * time.Second}, func(string) {})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(r.PerSecond, "msgs/s")
			b.ReportMetric(float64(r.P99.Milliseconds()), "p99-ms")
			b.ReportMetric(float64(r.Cost.Microseconds()), "us/msg") // of both sides: they are one process
		})
	}
}
