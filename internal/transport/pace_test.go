package transport

import (
	"testing"
	"time"
)

// A client that signs in and asks for something says much at once, and may be quiet from then on:
// it must not keep a goroutine with the stack that serving it grew.
func TestWhoIsBusy(t *testing.T) {
	var p pace
	now := time.Now()
	for i := range busyReads {
		if p.busy(now) {
			t.Fatalf("busy after %d reads", i+1)
		}
		now = now.Add(time.Millisecond)
	}
	if !p.busy(now) {
		t.Errorf("not busy after %d reads at once", busyReads+1)
	}
	if p.busy(now.Add(busyGap)) {
		t.Error("still busy after a pause")
	}
}
