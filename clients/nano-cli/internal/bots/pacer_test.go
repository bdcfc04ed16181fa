package bots

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Bots that are not sent in the order of their times ask some of them too late, and the server is
// measured for it.
func TestQueue(t *testing.T) {
	var q queue
	due := make(map[*worker]time.Duration)
	for round := range 1000 {
		for range rand.IntN(20) {
			w := new(worker)
			due[w] = rand.N(time.Second)
			q.push(entry{due[w], w})
		}
		for range rand.IntN(20) {
			if len(q) == 0 {
				break
			}
			w := q.pop()
			at, ok := due[w]
			if !ok {
				t.Fatal("a worker that is not there")
			}
			delete(due, w)
			if round%50 > 0 {
				continue
			}
			for _, other := range due {
				if other < at {
					t.Fatalf("%v came before %v", at, other)
				}
			}
		}
	}
	if len(q) != len(due) {
		t.Errorf("%d are left of %d", len(q), len(due))
	}
}

// A bot whose connection is lost must end at once, not when its next message would be due.
func TestPacerStop(t *testing.T) {
	p := &pacer{epoch: time.Now(), wake: make(chan struct{}, 1)}
	w := &worker{pacer: p}
	if !p.sleep(w, time.Hour) || !p.stop(w) {
		t.Error("it waits, and is to be ended by who stops it")
	}
	if p.stop(w) || p.sleep(w, 0) {
		t.Error("it has ended twice")
	}
}
