package mesh

import (
	"maps"
	"slices"
	"testing"
)

// A request has one outcome: an answer that comes after the client was told of an error would be
// taken for the answer to a later request with the same id.
func TestRequestHasOneOutcome(t *testing.T) {
	var r requests
	p, q := new(peer), new(peer)
	r.begin(1, p)
	r.begin(2, q)
	r.begin(3, p)
	if !r.awaits(1) || r.awaits(4) {
		t.Error("it does not know what is in flight")
	}
	if !r.answer(1) || r.awaits(1) {
		t.Error("the answer to 1 was not taken")
	}
	if got := r.failAt(p); !slices.Equal(got, []uint64{3}) {
		t.Errorf("with its node fail %v, want 3", got)
	}
	if r.fail(3) {
		t.Error("3 failed twice")
	}
	if r.answer(3) {
		t.Error("the answer to 3 was taken after its error")
	}
	if !r.answer(3) {
		t.Error("3 was not forgotten with its late answer")
	}
	if !r.fail(2) || r.awaits(2) {
		t.Error("2 did not fail")
	}
	r.begin(2, p) // the client uses the id again
	if !r.answer(2) {
		t.Error("the answer to the second 2 was not taken")
	}
}

// A request has failed when its session goes to another gate, and its error is not queued yet: that
// comes later, from the first gate. It is the client's answer, or what the node has answered is, if
// that comes first; there is one all the same.
func TestFailedRequestGoesToAnotherGate(t *testing.T) {
	var first requests
	p, way := new(peer), new(peer)
	p.addr, way.addr = "back:1", "gate:1"
	first.begin(1, p)
	first.begin(2, p)
	first.fail(1)
	first.fail(2)
	first.begin(3, p)
	first.refused(2)
	outstanding, failed := first.outstanding("gate:1"), first.failed.all()
	if slices.Sort(failed); !maps.Equal(outstanding, map[uint64]string{1: "gate:1", 3: "back:1"}) || !slices.Equal(failed, []uint64{1, 2}) {
		t.Fatalf("outstanding are %v, failed %v", outstanding, failed)
	}
	second := func() *requests {
		r := new(requests)
		r.begin(1, way)
		r.begin(3, p)
		r.expectTwo(1)
		r.expectTwo(2)
		return r
	}
	r := second()
	if !r.answer(1) || r.answer(1) {
		t.Error("of the two answers to 1 the first does not count, or the second does")
	}
	if r.answer(2) || !r.answer(3) {
		t.Error("the late answer to 2 is taken, or that to 3 is not")
	}
	r = second()
	if got := r.failAt(way); !slices.Equal(got, []uint64{1}) || r.answer(1) {
		t.Errorf("when the first gate dies fail %v, want 1, and nothing comes after that", got)
	}
	if r.unsent(1) || !r.unsent(3) || r.awaits(3) {
		t.Error("1 has failed, and 3 has not")
	}
}

// A session whose handlers sometimes do not answer goes on for years: the oldest of its requests
// give way.
func TestRequestsWithoutAnswers(t *testing.T) {
	var r requests
	p := new(peer)
	var failed uint64
	for mid := range uint64(5 * maxInFlight) {
		for _, old := range r.overdue() {
			if old != failed {
				t.Fatalf("%d fails, want %d: the oldest first", old, failed)
			}
			failed++
			if !r.fail(old) {
				t.Fatalf("%d failed twice", old)
			}
		}
		r.begin(mid, p)
	}
	if r.inFlight.len() > maxInFlight || failed < 4*maxInFlight {
		t.Errorf("%d are in flight, %d have failed", r.inFlight.len(), failed)
	}
	if kept := len(r.failed.latest) + len(r.failed.before); kept > 2*maxInFlight {
		t.Errorf("%d failed ones are kept", kept)
	}
	if r.answer(failed - 1) {
		t.Error("the late answer to one that has failed just now was taken")
	}
	r.drop(5*maxInFlight - 1)
	if r.awaits(5*maxInFlight-1) || !r.answer(5*maxInFlight-1) {
		t.Error("a request that was dropped is not like one that was answered")
	}
}

// A client that takes no errors is told nothing when its node is gone: the answer may come yet, and
// is its one outcome.
func TestRequestOfAClientThatTakesNoErrors(t *testing.T) {
	var r requests
	p, q := new(peer), new(peer)
	r.begin(1, p)
	r.begin(2, q)
	r.dropAt(p)
	if r.awaits(1) || !r.awaits(2) {
		t.Errorf("1 is awaited: %v, and 2: %v", r.awaits(1), r.awaits(2))
	}
	if !r.answer(1) {
		t.Error("the answer to 1 is not taken")
	}
}
