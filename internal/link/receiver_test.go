package link_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/link"
)

// A stream that is not yet known to be dead must not play its part beside the one that has replaced
// it.
func TestNewerStreamReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, link.ReceiverConfig{Epoch: 2})
		var order []string
		handling := false
		serve := func(name string, slow time.Duration) (*conn, chan error) {
			c := &conn{w: &wire{}, batches: make(chan packet, 5), acks: make(chan link.Ack, 5)}
			c.ctx, c.cancel = context.WithCancelCause(context.Background())
			result := make(chan error, 1)
			go func() {
				result <- r.Serve(&server{conn: c}, 1, func(*link.Reader) error {
					if handling {
						t.Error("two batches at once")
					}
					handling = true
					order = append(order, name)
					time.Sleep(slow)
					handling = false
					return nil
				})
				c.cancel(errCut)
			}()
			return c, result
		}
		older, olderEnd := serve("older", time.Second)
		if hello := <-older.acks; hello.Seq != 0 || hello.Epoch != 2 {
			t.Errorf("first word %+v", hello)
		}
		for seq := range uint64(3) {
			older.batches <- packet{seq: seq + 1}
		}
		synctest.Wait() // the first is being handled, and takes a second
		newer, newerEnd := serve("newer", 0)
		if hello := <-newer.acks; hello.Seq != 1 || hello.Epoch != 2 {
			t.Errorf("first word %+v", hello)
		}
		if err := <-olderEnd; !errors.Is(err, link.ErrReplaced) {
			t.Error(err)
		}
		newer.batches <- packet{seq: 1} // again
		newer.batches <- packet{seq: 2}
		newer.batches <- packet{seq: 3}
		if ack := <-newer.acks; ack.Seq != 3 || ack.Epoch != 0 {
			t.Errorf("acknowledged %+v", ack)
		}
		newer.batches <- packet{seq: 5}
		if err := <-newerEnd; !errors.Is(err, link.ErrGap) {
			t.Error(err)
		}
		if want := []string{"older", "newer", "newer"}; !slices.Equal(order, want) {
			t.Errorf("handled by %v", order)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := r.Serve(&server{conn: newer}, 1, nil); !errors.Is(err, link.ErrClosed) {
			t.Error(err)
		}
	})
}

// A busy link must not carry an acknowledgement for every batch, and an idle one not a single
// wake-up.
func TestAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		acks := 0
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: b.handle}
		w.onAck = func(*conn, uint64) error { acks++; return nil }
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1})
		for id := range uint64(1000) { // a batch each millisecond
			mustQueue(t, s, id+1)
			s.Flush()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if batches := s.Stats().Batches; batches < 900 || acks < 4 || acks > 8 {
			t.Errorf("%d batches, %d acknowledgements", batches, acks)
		}
		if st := s.Stats(); st.Unacked != 0 {
			t.Errorf("%+v", st)
		}
		at := acks
		time.Sleep(time.Hour)
		synctest.Wait()
		if acks != at || w.dials != 1 {
			t.Error("an idle link does something")
		}
		w.end(t, s)
	})
}

// Under load an acknowledgement stands for many batches, and a new run of the sender is counted
// from 0.
func TestReceiverAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, link.ReceiverConfig{Epoch: 2, AckBytes: 10_000, AckDelay: time.Hour})
		for _, sender := range []uint64{1, 7} {
			c := &conn{w: &wire{}, batches: make(chan packet), acks: make(chan link.Ack, 1000)}
			c.ctx, c.cancel = context.WithCancelCause(context.Background()) //nolint:fatcontext // one a sender, none in another
			result := make(chan error, 1)
			go func() {
				result <- r.Serve(&server{conn: c}, sender, func(*link.Reader) error { return nil })
			}()
			if hello := <-c.acks; hello.Seq != 0 || hello.Epoch != 2 {
				t.Errorf("sender %d: first word %+v", sender, hello)
			}
			for seq := range uint64(100) {
				c.batches <- packet{seq: seq + 1, frames: make([]byte, 1000)}
				synctest.Wait()
			}
			if n := len(c.acks); n < 8 || n > 10 {
				t.Errorf("sender %d: %d acknowledgements for 100 batches of 1,000 bytes", sender, n)
			}
			c.cancel(errCut)
			if err := <-result; !errors.Is(err, errCut) {
				t.Error(err)
			}
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
