package link_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/link"
)

// A player's 5,000 messages reach the backend in order and once each, wherever the link breaks
// meanwhile.
func TestOrder(t *testing.T) {
	const total = 5000
	once := func(at uint64) func(*conn, uint64) error {
		var done atomic.Bool
		return func(_ *conn, seq uint64) error {
			if seq >= at && !done.Swap(true) {
				return errCut
			}
			return nil
		}
	}
	for _, c := range []struct {
		name  string
		set   func(w *wire)
		dials int
	}{
		{"no reconnect", func(*wire) {}, 1},
		{"cut before a batch is sent", func(w *wire) { w.onSend = once(100) }, 2},
		{"cut after a batch is sent, before it is handled", func(w *wire) { w.onRecv = once(100) }, 2},
		{"cut after a batch is handled, before its acknowledgement", func(w *wire) { w.onAck = once(20) }, 2},
		{"cut while a batch is handled", func(w *wire) {
			handle, n := w.handle, 0
			w.handle = func(r *link.Reader) error {
				if n++; n == 100 {
					w.cut()
					time.Sleep(300 * time.Millisecond) // the next stream is there before this is over
				}
				return handle(r)
			}
		}, 2},
		{"handling fails", func(w *wire) {
			handle, n := w.handle, 0
			w.handle = func(r *link.Reader) error {
				if n++; n == 100 {
					return errors.Join(handle(r), errors.New("handler's error"))
				}
				return handle(r)
			}
		}, 2},
		{"cut all the time", func(w *wire) {
			cut := func(*conn, uint64) error {
				if rand.IntN(40) == 0 {
					return errCut
				}
				return nil
			}
			w.onSend, w.onRecv, w.onAck = cut, cut, cut
		}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b book
				w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2, AckBytes: 2000}), epoch: 1, handle: b.handle}
				c.set(w)
				var ups, downs, fresh int
				s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, MaxBatch: 500,
					Up: func(epoch uint64, isFresh bool) {
						ups++
						if isFresh || epoch != 2 {
							fresh++
						}
					},
					Down: func(error) { downs++ },
				})
				for id := range uint64(total) {
					mustQueue(t, s, id+1)
					if id%500 == 0 {
						time.Sleep(30 * time.Millisecond)
					}
				}
				w.end(t, s)
				if got := b.read(); !slices.Equal(got, upTo(total)) {
					t.Errorf("%d frames arrived, or in another order", len(got))
				}
				if w.dials < c.dials || c.dials < 5 && w.dials != c.dials {
					t.Errorf("%d dials, want %d", w.dials, c.dials)
				}
				if ups > w.dials || downs < ups-1 || downs > ups || fresh != 0 {
					t.Errorf("%d dials, up %d times, down %d times, fresh %d times", w.dials, ups, downs, fresh)
				}
				st := s.Stats()
				if st.Frames != total || st.Unacked != 0 || st.Unsent != 0 || st.Dropped != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// After a restart of the backend nothing of the old sessions may reach it: they are opened again,
// and play goes on.
func TestPeerRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var before, after book
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: before.handle}
		var s *link.Sender
		var events []string
		s = newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1,
			Up: func(epoch uint64, fresh bool) {
				events = append(events, "up "+strconv.FormatUint(epoch, 10)+" "+strconv.FormatBool(fresh))
				if fresh {
					mustQueue(t, s, 1000)
				}
			},
			Down: func(err error) { events = append(events, "down") },
		})
		for id := range uint64(10) {
			mustQueue(t, s, id+1)
		}
		s.Flush()
		synctest.Wait()

		old := w.receiver
		w.mu.Lock()
		w.receiver, w.handle = newReceiver(t, link.ReceiverConfig{Epoch: 3}), after.handle
		w.mu.Unlock()
		w.cut()
		synctest.Wait()
		mustQueue(t, s, 11) // meant for the old sessions, and lost with them
		mustQueue(t, s, 12) // nobody knows of the restart yet
		time.Sleep(time.Second)
		mustQueue(t, s, 1001)
		s.Flush()
		dropped := s.Stats().Dropped
		w.end(t, s)
		if err := old.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := before.read(); !slices.Equal(got, upTo(10)) {
			t.Errorf("the first run got %v", got)
		}
		if got := after.read(); !slices.Equal(got, []uint64{1000, 1001}) {
			t.Errorf("the second run got %v", got)
		}
		if want := []string{"up 2 false", "down", "up 3 true"}; !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
		if dropped < 2 {
			t.Errorf("%d frames dropped", dropped)
		}
	})
}

// A backend that has forgotten us, though it is the same run, is as good as restarted; and a link
// never stays stuck.
func TestPeerForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: b.handle}
		fresh := 0
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Up: func(_ uint64, f bool) {
			if f {
				fresh++
			}
		}})
		for id := range uint64(5) {
			mustQueue(t, s, id+1)
			s.Flush()
			time.Sleep(time.Second)
		}
		if err := w.receiver.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.receiver = newReceiver(t, link.ReceiverConfig{Epoch: 2})
		w.mu.Unlock()
		time.Sleep(time.Second)
		mustQueue(t, s, 6)
		w.end(t, s)
		if got := b.read(); fresh != 1 || !slices.Equal(got, upTo(6)) {
			t.Errorf("fresh %d times, %v", fresh, got)
		}
	})
}

// A backend forgets us before it has acknowledged anything, or what it then says is lost. What it
// had handled must not be handled again, or a player gets an answer twice; what it never got must
// arrive.
func TestPeerForgotBeforeItAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2, AckDelay: time.Hour}), epoch: 1, handle: b.handle}
		fresh := 0
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Up: func(_ uint64, f bool) {
			if f {
				fresh++
			}
		}})
		forget := func() {
			t.Helper()
			if err := w.receiver.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.mu.Lock()
			w.receiver = newReceiver(t, link.ReceiverConfig{Epoch: 2, AckDelay: time.Hour})
			w.mu.Unlock()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		forget() // nothing was sent: it has lost nothing
		if fresh != 0 {
			t.Error("fresh, although nothing was sent")
		}
		mustQueue(t, s, 1)
		mustQueue(t, s, 2)
		s.Flush()
		synctest.Wait()
		w.mu.Lock()
		w.onAck = func(c *conn, _ uint64) error { // of the last stream, as it ends, and the first word of the next
			if c.number < 4 {
				return errCut
			}
			return nil
		}
		w.mu.Unlock()
		forget()
		mustQueue(t, s, 3)
		w.end(t, s)
		if got := b.read(); fresh != 1 || !slices.Equal(got, upTo(3)) {
			t.Errorf("fresh %d times, %v", fresh, got)
		}
	})
}

// A restarted gate begins again at its first batch. A backend that held its numbers against those
// of the former run would take all that comes for repetitions.
func TestSenderRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := &wire{epoch: 1, handle: b.handle}
		w.receiver = newReceiver(t, link.ReceiverConfig{Epoch: 2})
		first := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1})
		for id := range uint64(10) {
			mustQueue(t, first, id+1)
			first.Flush()
			synctest.Wait()
		}
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.epoch = 7
		w.mu.Unlock()
		second := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 7})
		for id := range uint64(10) {
			mustQueue(t, second, id+11)
		}
		synctest.Wait()
		w.cut()
		time.Sleep(time.Second)
		if err := second.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A Sender of the same run goes on where the one before it was.
		third := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 7})
		mustQueue(t, third, 21)
		w.end(t, third)
		if got := b.read(); !slices.Equal(got, upTo(21)) {
			t.Errorf("got %v", got)
		}
	})
}

// What was answered with an error while the link was down must not run when it is up again, sent
// before or not; and what needs no answer is not lost with it.
func TestWithdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		var withdrawn atomic.Uint64
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: b.handle}
		var found atomic.Bool
		w.onRecv = func(*conn, uint64) error {
			if !found.Load() {
				return errCut
			}
			return nil
		}
		var down atomic.Bool
		w.onDial = func(context.Context) error {
			if down.Load() {
				return errCut
			}
			return nil
		}
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Withdrawn: &withdrawn, Down: func(error) { down.Store(true) }})
		synctest.Wait()
		queue := func(k link.Kind, id uint64) {
			f := numbered(id)
			f.Kind = k
			if _, err := s.Queue(f); err != nil {
				t.Fatal(err)
			}
		}
		queue(link.Request, 1)
		queue(link.Notify, 2)
		queue(link.Call, 3)
		s.Flush() // it is sent, and does not arrive
		synctest.Wait()
		queue(link.Request, 4)
		queue(link.Push, 5)
		s.Withdraw()
		queue(link.Request, 6) // by who takes the chance
		found.Store(true)
		down.Store(false)
		w.end(t, s)
		if got := b.read(); !slices.Equal(got, []uint64{2, 5, 6}) || withdrawn.Load() != 3 {
			t.Errorf("got %v, %d were withdrawn", got, withdrawn.Load())
		}
	})
}

// A call must not get its whole time again because the link was down: it arrives with what is left
// of it, or not at all.
func TestTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var withdrawn atomic.Uint64
		w, left := wireOfTimes(t)
		w.onRecv = func(c *conn, _ uint64) error { // the first two streams lose everything
			if c.number < 3 {
				return errCut
			}
			return nil
		}
		w.onDial = func(context.Context) error { time.Sleep(time.Second); return nil }
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Withdrawn: &withdrawn})
		for id, d := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 10 * time.Second} {
			if _, err := s.Queue(&link.Frame{Kind: link.Call, ID: uint64(id), Left: d}); err != nil {
				t.Fatal(err)
			}
		}
		w.end(t, s)
		if len(left) != 2 || left[0] != 0 || left[3] > 7*time.Second || left[3] < 6*time.Second || withdrawn.Load() != 2 {
			t.Errorf("what arrived has %v left, and %d were withdrawn", left, withdrawn.Load())
		}
	})
}

// wireOfTimes returns a wire, and the time that each frame has left which arrives there.
func wireOfTimes(t *testing.T) (w *wire, left map[uint64]time.Duration) {
	left = make(map[uint64]time.Duration)
	w = &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1}
	w.handle = func(r *link.Reader) error {
		var f link.Frame
		for {
			ok, err := r.Next(&f)
			if !ok || err != nil {
				return err
			}
			left[f.ID] = f.Left
		}
	}
	return w, left
}

// The time before the first stream counts, too, and each call pays for its own only.
func TestTimeLeftBeforeTheFirstStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var withdrawn atomic.Uint64
		w, left := wireOfTimes(t)
		w.onDial = func(context.Context) error { time.Sleep(time.Second); return nil }
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Withdrawn: &withdrawn})
		for _, f := range []struct {
			kind link.Kind
			id   uint64
			left time.Duration
			wait time.Duration // until the next
		}{
			{link.Call, 1, 500 * time.Millisecond, 0},
			{link.Call, 2, 10 * time.Second, 0},
			{link.Push, 3, 0, 900 * time.Millisecond},
			{link.Call, 4, 50 * time.Millisecond, 0},
			{link.Call, 5, 300 * time.Millisecond, 0},
		} {
			if _, err := s.Queue(&link.Frame{Kind: f.kind, ID: f.id, Left: f.left}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(f.wait)
		}
		w.end(t, s)
		want := map[uint64]time.Duration{2: 9 * time.Second, 3: 0, 5: 200 * time.Millisecond}
		if !maps.Equal(left, want) || withdrawn.Load() != 2 {
			t.Errorf("what arrived has %v left, want %v; %d were withdrawn", left, want, withdrawn.Load())
		}
	})
}

// A peer that was cut off without a word is found out, also when nothing is to be sent; one that is
// only idle is not troubled more than three times in that time.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: new(book).handle}
		var cut atomic.Bool
		w.onAck = func(c *conn, _ uint64) error {
			if cut.Load() {
				<-c.ctx.Done()
				return errCut
			}
			return nil
		}
		var asked atomic.Int64
		w.onRecv = func(*conn, uint64) error { asked.Add(1); return nil }
		downs := make(chan error, 10)
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Silence: 3 * time.Second, Down: func(err error) { downs <- err }})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := asked.Load(); len(downs) > 0 || n < 3500 || n > 3602 {
			t.Fatalf("in an hour an idle peer was asked %d times, and was down %d times", n, len(downs))
		}
		cut.Store(true)
		began := time.Now()
		err := <-downs
		if took := time.Since(began); !errors.Is(err, link.ErrSilent) || took > 3100*time.Millisecond {
			t.Errorf("down: %v, after %v", err, took)
		}
		if heard := s.Stats().Heard; heard.After(began) {
			t.Errorf("it was heard %v after the cut", heard.Sub(began))
		}
		cut.Store(false)
		time.Sleep(10 * time.Second)
		w.end(t, s)
	})
}
