package mesh

import (
	"testing"
	"time"
)

// Some handlers never answer a call. What is kept of those, so that they can be told that their caller has given up, ends
// with the time that it waits: a node that is asked for months would run out of memory.
func TestCallsThatAreNeverAnswered(t *testing.T) {
	p := new(peer)
	now := time.Now()
	most := 0
	for id := range uint64(10_000) {
		p.serve(&caller{mid: id, deadline: now.Add(time.Second)}, now)
		now = now.Add(10 * time.Millisecond) // so that 100 are in their time
		most = max(most, len(p.running))
	}
	if most > 500 {
		t.Errorf("%d calls were kept", most)
	}
	for id := range uint64(10_000) {
		if c := p.served(id); c == nil && id > 9_900 {
			t.Errorf("call %d, which somebody waits for, was forgotten", id)
		}
	}
	if p.gone = true; len(p.running) > 0 {
		t.Errorf("%d calls are left", len(p.running))
	}
	p.serve(&caller{mid: 1, deadline: now.Add(time.Second)}, now)
	if p.served(1) != nil {
		t.Error("a call of a node that is gone was kept")
	}
}
