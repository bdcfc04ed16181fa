package mesh

import "testing"

// A client that sends more than a node takes is not read, and is read again when half of it was
// taken. If it were not, one client would fill the memory of a backend; if it were never read
// again, it would hang.
func TestSessionWindows(t *testing.T) {
	var w sessionPeers
	p, q := new(peer), new(peer)
	open := func(full <-chan struct{}) bool {
		select {
		case <-full:
			return true
		default:
			return false
		}
	}
	if w.enter(p, sessionWindow) != nil {
		t.Error("what fits stops the reader")
	}
	if w.enter(q, sessionWindow) != nil {
		t.Error("another node's window counts")
	}
	full := w.enter(p, 1)
	if full == nil || open(full) {
		t.Fatal("what does not fit does not stop the reader")
	}
	w.leave(p, sessionWindow/2+1)
	if open(full) {
		t.Error("it is read while the window of the other node is full")
	}
	w.leave(q, 1)
	w.forget(q)
	if !open(full) {
		t.Error("it is not read although half of each window is free")
	}
	if w.leave(p, 10*sessionWindow); len(w.list) != 0 {
		t.Errorf("%v is counted after more was taken than was sent", w.list)
	}
	full = w.enter(p, 2*sessionWindow)
	if w.close(); !open(full) {
		t.Error("the reader of a session that has ended waits")
	}
}

// A node that does not keep up with calls gets no more of them, and gets them again when it has
// taken some.
func TestWindow(t *testing.T) {
	var w window
	if !w.enter(nodeWindow) || w.enter(1) {
		t.Error("the limit is not that of the window")
	}
	w.leave(1)
	if !w.enter(1) || w.enter(1) {
		t.Error("what was taken makes no room")
	}
	w.leave(1 << 40) // a node may say anything
	if got := w.sent.Load(); got != 0 {
		t.Errorf("%d bytes are counted", got)
	}
	w.enter(5)
	if w.reset(); w.sent.Load() != 0 {
		t.Error("it counts on")
	}
}

// The sender is told of all that was taken, in few frames.
func TestTaken(t *testing.T) {
	var c taken
	var told, frames uint64
	for range 1000 {
		if n := c.add(100, 1600); n > 0 {
			told += n
			frames++
		}
	}
	if left := uint64(c.bytes.Load()); told+left != 100_000 || left >= 1600 || frames > 63 {
		t.Errorf("told %d bytes in %d frames, %d are left", told, frames, left)
	}
}
