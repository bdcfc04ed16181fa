package link_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano/internal/link"
)

// Whoever pushes to a user at a node that is given up has nil for an answer already. What did not
// arrive is counted, once; what gets its error elsewhere, such as a request, is not.
func TestLostFramesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{onDial: func(context.Context) error { return errCut }}
		var lost atomic.Uint64
		s := newSender(t, link.SenderConfig{Dial: w.dial, MaxBatch: 100, Lost: &lost})
		for _, kind := range []link.Kind{
			link.Push, link.Multicast, link.Kick, link.Notify, link.Cast,
			link.Request, link.Response, link.Call, link.Reply, link.SessionOpened, link.SessionClosed, link.Bound, link.Credit,
		} {
			for range 3 {
				if _, err := s.Queue(&link.Frame{Kind: kind, Session: 1, ID: 1, Route: []byte("Room.Said"), Data: make([]byte, 60)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 2 {
			if s.Close(ctx) == nil {
				t.Error("all has arrived")
			}
		}
		<-s.Done()
		if got := lost.Load(); got != 5*3 {
			t.Errorf("%d frames are counted as lost", got)
		}
	})
}

// A link that ends in good order has lost nothing.
func TestNothingIsLostInGoodOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: new(book).handle}
		var lost atomic.Uint64
		s := newSender(t, link.SenderConfig{Dial: w.dial, Lost: &lost})
		for range 3 {
			if _, err := s.Queue(&link.Frame{Kind: link.Push, Session: 1, Route: []byte("Room.Said")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := w.receiver.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := lost.Load(); got != 0 {
			t.Errorf("%d frames are counted as lost", got)
		}
	})
}
