package link_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/link"
)

// A peer that hangs must delay nobody: neither who queues for it nor the node that stops.
func TestHungPeer(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(w *wire)
		down error // nil: not for as long as the transport says nothing
	}{
		{"dial hangs until its context ends", func(w *wire) {
			w.onDial = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}, link.ErrTimeout},
		{"no first word", func(w *wire) { w.deaf = true }, link.ErrTimeout},
		{"send hangs", func(w *wire) {
			w.onSend = func(c *conn, seq uint64) error { <-c.ctx.Done(); return c.ctx.Err() }
		}, nil},
		{"handler hangs", func(w *wire) {
			w.handle = func(*link.Reader) error { time.Sleep(time.Minute); return nil }
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: new(book).handle}
				c.set(w)
				var downs []error
				s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, MaxQueue: 10_000,
					Down: func(err error) { downs = append(downs, err) }})
				began := time.Now()
				full := false
				for id := range uint64(1000) {
					_, err := s.Queue(numbered(id))
					s.Flush()
					if full = errors.Is(err, link.ErrFull); full {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if !full || s.Stats().Refused == 0 {
					t.Error("the queue has no end")
				}
				if time.Since(began) != 0 {
					t.Error("queueing waited for the peer")
				}
				time.Sleep(20 * time.Second)
				synctest.Wait()
				switch {
				case c.down == nil && len(downs) > 0:
					t.Errorf("down: %v", downs)
				case c.down != nil && (len(downs) != 1 || !errors.Is(downs[0], c.down)):
					t.Errorf("down: %v, want %v once", downs, c.down)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began = time.Now()
				if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if took := time.Since(began); took != time.Second {
					t.Errorf("Close took %v", took)
				}
				<-s.Done()
				if err := s.Close(t.Context()); !errors.Is(err, link.ErrClosed) {
					t.Error("frames were lost, and the second Close says", err)
				}
				w.cut()
				w.running.Wait()
			})
		})
	}
}

// Even a transport that ignores its context can not hold up the node's end.
func TestDialThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newSender(t, link.SenderConfig{Epoch: 1, Dial: func(context.Context) (link.Stream, error) {
			<-release
			return nil, errCut
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(release)
		<-s.Done()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What was queued before the node stops is delivered, flushed or not; nothing is taken after.
func TestCloseFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: b.handle}
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1})
		synctest.Wait()
		for id := range uint64(100) {
			if dirty, err := s.Queue(numbered(id + 1)); !dirty || err != nil {
				t.Fatal("nobody flushes, and nobody is told to:", dirty, err)
			}
		}
		w.end(t, s)
		if got := b.read(); !slices.Equal(got, upTo(100)) {
			t.Errorf("got %v", got)
		}
		if st := s.Stats(); st.Batches != 1 {
			t.Errorf("%d batches for what was queued in one go", st.Batches)
		}
		if _, err := s.Queue(numbered(1)); !errors.Is(err, link.ErrClosed) {
			t.Error(err)
		}
		s.Flush()
	})
}

// The last acknowledgement may be lost with its stream: the next stream's first word is as good,
// and the node can stop.
func TestCloseAfterALostAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: b.handle}
		w.onAck = func(c *conn, seq uint64) error {
			if c.number == 1 && seq > 0 {
				return errCut
			}
			return nil
		}
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1})
		mustQueue(t, s, 1)
		w.end(t, s)
		if got := b.read(); !slices.Equal(got, upTo(1)) || w.dials != 2 {
			t.Errorf("got %v, %d dials", got, w.dials)
		}
	})
}

// A queue that was full takes frames again when the peer has taken some, and one that never fits is
// told apart.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2}), epoch: 1, handle: b.handle}
		w.onDial = func(ctx context.Context) error { time.Sleep(time.Second); return nil }
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, MaxQueue: 1000, MaxFrame: 900})
		n := uint64(0)
		var err error
		for ; err == nil; n++ {
			_, err = s.Queue(numbered(n + 1))
		}
		n--
		if !errors.Is(err, link.ErrFull) || n < 10 {
			t.Fatal(n, err)
		}
		if _, err := s.Queue(&link.Frame{Kind: link.Push, Data: make([]byte, 900)}); !errors.Is(err, link.ErrTooLarge) {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		mustQueue(t, s, n+1)
		w.end(t, s)
		if got := b.read(); !slices.Equal(got, upTo(int(n)+1)) {
			t.Errorf("got %v", got)
		}
	})
}

// A node that is away is asked again soon, then less often, and not by all others in the same
// moment.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{onDial: func(context.Context) error { return errCut }}
		downs := 0
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Down: func(error) { downs++ }})
		dials := func() int { w.mu.Lock(); defer w.mu.Unlock(); return w.dials }
		time.Sleep(time.Second)
		if n := dials(); n < 4 || n > 8 {
			t.Errorf("%d attempts in the first second", n)
		}
		before := dials()
		time.Sleep(100 * time.Second)
		if n := dials() - before; n < 99 || n > 201 {
			t.Errorf("%d attempts in 100 s", n)
		}
		synctest.Wait()
		if downs != 1 {
			t.Errorf("down %d times", downs)
		}
		mustQueue(t, s, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Error("one frame was not delivered:", err)
		}
		<-s.Done()
	})
}

// A peer that is known from the list of members, but answers as another run, gets nothing that was
// meant for the former.
func TestPeerEpoch(t *testing.T) {
	for _, c := range []struct {
		name  string
		epoch uint64
		want  []uint64
	}{
		{"the run that is meant", 2, []uint64{1}},
		{"another", 3, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b book
				w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: c.epoch}), epoch: 1, handle: b.handle}
				w.onDial = func(context.Context) error { time.Sleep(time.Second); return nil }
				fresh := false
				s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, PeerEpoch: 2, Up: func(_ uint64, f bool) { fresh = f }})
				mustQueue(t, s, 1)
				w.end(t, s)
				if got := b.read(); !slices.Equal(got, c.want) || fresh != (c.epoch != 2) {
					t.Errorf("got %v, fresh %v", got, fresh)
				}
			})
		})
	}
}

// A peer that acknowledges what it never got is not believed.
func TestFalseAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{deaf: true}
		var downs []error
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Down: func(err error) { downs = append(downs, err) }})
		synctest.Wait()
		w.conns[0].acks <- link.Ack{Epoch: 2}
		w.conns[0].acks <- link.Ack{Seq: 1}
		synctest.Wait()
		if len(downs) != 1 || !errors.Is(downs[0], link.ErrAck) {
			t.Errorf("down: %v", downs)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What applications send does not take the room of what the peer has to know: a session that has
// ended, an answer.
func TestFullQueueTakesNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, link.SenderConfig{Dial: (&wire{deaf: true}).dial, Epoch: 1, MaxQueue: 1000})
		for _, kind := range []link.Kind{link.Request, link.Notify, link.Push, link.Multicast, link.Call, link.Cast, link.SessionClosed, link.Reply} {
			var kept int
			var err error
			for err == nil {
				_, err = s.Queue(&link.Frame{Kind: kind, Session: 5, Data: make([]byte, 20)})
				kept = s.Stats().Unsent
			}
			limit := 1000
			if !kind.Bulk() {
				limit = 2000
			}
			if !errors.Is(err, link.ErrFull) || kept > limit || kept < limit-50 {
				t.Errorf("%v: %v with %d bytes kept, want about %d", kind, err, kept, limit)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = s.Close(ctx)
		<-s.Done()
	})
}

// What a stream takes without waiting is sent by who flushes: no goroutine is woken for it. Beyond
// that nobody who flushes waits, however long the stream does.
func TestFlushWithinQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{deaf: true} // its streams take two batches
		f := numbered(1)
		size := link.FrameSize(f)
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Quick: 2*(link.QuickOverhead+size) + size})
		synctest.Wait()
		c := w.conns[0]
		c.acks <- link.Ack{Epoch: 2}
		synctest.Wait()
		send := func(want uint64, why string) {
			t.Helper()
			if dirty, err := s.Queue(f); err != nil || !dirty && want > 0 {
				t.Fatalf("dirty %v, %v", dirty, err)
			}
			s.Flush()
			if n := s.Stats().Batches; want > 0 && n != want {
				t.Fatalf("%s: %d batches were sent, want %d", why, n, want)
			}
		}
		send(1, "the first")
		time.Sleep(10 * time.Millisecond)
		send(2, "the second")
		time.Sleep(10 * time.Millisecond)
		for range 3 {
			send(0, "beyond quick")
		}
		synctest.Wait() // now the sending goroutine waits in Send
		if n := s.Stats().Batches; n != 2 {
			t.Fatalf("%d batches were sent, and the stream takes 2", n)
		}
		for len(c.batches) > 0 {
			<-c.batches
			synctest.Wait()
		}
		sent := s.Stats().Batches
		c.acks <- link.Ack{Seq: sent}
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		send(sent+1, "after the acknowledgement")
		c.acks <- link.Ack{Seq: sent + 1}
		synctest.Wait()
		if st := s.Stats(); st.Frames != 6 || st.Unacked != 0 || st.Unsent != 0 {
			t.Errorf("%+v", st)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The end of a node does not wait until its peers see fit to acknowledge.
func TestCloseAsksForTheLastAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2, AckDelay: time.Hour}), epoch: 1, handle: b.handle}
		downs := 0
		s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Down: func(error) { downs++ }})
		synctest.Wait()
		mustQueue(t, s, 1)
		began := time.Now()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		if err := w.receiver.Close(t.Context()); err != nil {
			t.Error(err)
		}
		w.running.Wait()
		if len(w.results) != 1 || w.results[0] != nil || downs != 0 || w.dials != 1 {
			t.Errorf("streams ended by %v, Down was called %d times, and there were %d streams", w.results, downs, w.dials)
		}
	})
}

// Frames of many schedulers keep the order in which each of them queued, and every one of them
// arrives.
func TestManyQueue(t *testing.T) {
	for _, quick := range []int{0, 1 << 10} {
		t.Run(strconv.Itoa(quick), func(t *testing.T) { manyQueue(t, quick) })
	}
}

func manyQueue(t *testing.T, quick int) {
	const each, writers = 2000, 8
	var last [writers]uint64
	got := 0
	w := &wire{receiver: newReceiver(t, link.ReceiverConfig{Epoch: 2, AckDelay: time.Millisecond}), epoch: 1}
	w.handle = func(r *link.Reader) error {
		var f link.Frame
		for {
			ok, err := r.Next(&f)
			if !ok || err != nil {
				return err
			}
			if f.ID != last[f.UID]+1 {
				t.Errorf("writer %d: %d after %d", f.UID, f.ID, last[f.UID])
			}
			last[f.UID] = f.ID
			got++
		}
	}
	s := newSender(t, link.SenderConfig{Dial: w.dial, Epoch: 1, Quick: quick, MaxBatch: 4096, BackoffMin: time.Millisecond, BackoffMax: 2 * time.Millisecond})
	var writing sync.WaitGroup
	for uid := range writers {
		writing.Go(func() {
			for id := range uint64(each) {
				if _, err := s.Queue(&link.Frame{Kind: link.Cast, UID: int64(uid), ID: id + 1}); err != nil {
					t.Error(err)
				}
				s.Flush()
				if id%500 == 499 {
					w.cut()
				}
				s.Stats()
			}
		})
	}
	writing.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.receiver.Close(t.Context()); err != nil {
		t.Error(err)
	}
	w.running.Wait()
	if got != each*writers {
		t.Errorf("%d frames arrived", got)
	}
}

func TestConfig(t *testing.T) {
	dial := func(context.Context) (link.Stream, error) { return nil, errCut }
	for _, c := range []struct {
		name string
		cfg  link.SenderConfig
	}{
		{"no Dial", link.SenderConfig{}},
		{"negative MaxQueue", link.SenderConfig{Dial: dial, MaxQueue: -1}},
		{"negative Quick", link.SenderConfig{Dial: dial, Quick: -1}},
		{"negative DialTimeout", link.SenderConfig{Dial: dial, DialTimeout: -1}},
		{"backoff upside down", link.SenderConfig{Dial: dial, BackoffMin: time.Second, BackoffMax: time.Millisecond}},
	} {
		if _, err := link.NewSender(c.cfg); err == nil {
			t.Errorf("%s: taken", c.name)
		}
	}
	for _, cfg := range []link.ReceiverConfig{{}, {Epoch: 1, AckBytes: -1}, {Epoch: 1, AckDelay: -1}} {
		if _, err := link.NewReceiver(cfg); err == nil {
			t.Errorf("%+v: taken", cfg)
		}
	}
}

// A frame that is larger than all that may ever wait is the fault of who sends it, and no sign of a
// peer that does not keep up: the link would be begun anew for it, and all sessions over it close.
func TestFrameLargerThanTheQueue(t *testing.T) {
	s, err := link.NewSender(link.SenderConfig{
		MaxQueue: 1000, Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context) (link.Stream, error) { <-ctx.Done(); return nil, ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = s.Close(ctx)
		<-s.Done()
	}()
	for _, c := range []struct {
		kind link.Kind
		size int
		want error
	}{
		{link.Push, 1100, link.ErrTooLarge},
		{link.Response, 2100, link.ErrTooLarge},
		{link.Push, 900, nil},
		{link.Push, 900, link.ErrFull},
		{link.Response, 900, nil},
		{link.Response, 900, link.ErrFull},
	} {
		if _, err := s.Queue(&link.Frame{Kind: c.kind, Session: 1, Data: make([]byte, c.size)}); !errors.Is(err, c.want) {
			t.Errorf("%v of %d bytes: %v, want %v", c.kind, c.size, err, c.want)
		}
	}
}
