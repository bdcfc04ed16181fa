package mesh

import (
	"testing"
	"time"
)

// Some handlers never answer a call. What is kept of those, so that they can be told that their
// caller has given up, ends with the time that it waits: a node that is asked for months would run
// out of memory.
func TestCallsThatAreNeverAnswered(t *testing.T) {
	var p servedCalls
	now := time.Now()
	most := 0
	for id := range uint64(10_000) {
		p.begin(&callSession{mid: id, deadline: now.Add(time.Second)}, now)
		now = now.Add(10 * time.Millisecond) // so that 100 are in their time
		most = max(most, len(p.byID))
	}
	if most > 500 {
		t.Errorf("%d calls were kept", most)
	}
	for id := range uint64(10_000) {
		if c := p.end(id); c == nil && id > 9_900 {
			t.Errorf("call %d, which somebody waits for, was forgotten", id)
		}
	}
	if p.close(); len(p.byID) > 0 {
		t.Errorf("%d calls are left", len(p.byID))
	}
	p.begin(&callSession{mid: 1, deadline: now.Add(time.Second)}, now)
	if p.end(1) != nil {
		t.Error("a call of a node that is gone was kept")
	}
}

// A call ends once: with its reply, or with the error of a node that is gone. One that ended is
// forgotten, and a node that is given up gets no new ones, or they would wait for nothing.
func TestPendingCalls(t *testing.T) {
	var calls pendingCalls
	one, two := newPendingCall(), newPendingCall()
	if !calls.begin(one) || !calls.begin(two) || one.id == two.id {
		t.Fatalf("the calls have the ids %d and %d", one.id, two.id)
	}
	if calls.remove(one.id) != one || calls.remove(one.id) != nil {
		t.Error("a call is not known once")
	}
	if !one.end([]byte("reply"), nil) || one.end(nil, errPeerGone) || string(one.data) != "reply" || one.err != nil {
		t.Errorf("it ended with %q, %v", one.data, one.err)
	}
	calls.close()
	if calls.begin(newPendingCall()) {
		t.Error("a call to a node that is given up was begun")
	}
	calls.fail(errPeerGone)
	select {
	case <-two.done:
		if two.err != errPeerGone {
			t.Errorf("it ended with %v", two.err)
		}
	default:
		t.Error("a call waits for a node that is gone")
	}
}
