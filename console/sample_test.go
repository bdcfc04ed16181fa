package console

import (
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/metrics"
)

// A node whose clock is set back by an hour costs no hour of memory, and has rates again soon.
func TestAClockThatIsSetBack(t *testing.T) {
	n := new(sampled)
	at := time.Unix(1_800_000_000, 0)
	answer := func() {
		at = at.Add(time.Second)
		n.take(&nano.NodeState{Snapshot: &metrics.Snapshot{At: at}}, at)
	}
	for range 60 {
		answer()
	}
	want := len(n.before)
	at = at.Add(-time.Hour)
	for range 60 {
		answer()
	}
	if len(n.before) != want || at.Sub(n.before[0].Snapshot.At) < rateTime {
		t.Errorf("%d answers are kept, and %d before; the oldest is of %v, now is %v", len(n.before), want, n.before[0].Snapshot.At, at)
	}
}
