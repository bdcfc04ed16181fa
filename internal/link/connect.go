package link

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// run connects, again and again, until the Sender is closed.
func (s *Sender) run() {
	defer close(s.done)
	attempt, told := 0, false
	for {
		established, progress, err := s.connect()
		if s.ctx.Err() != nil || s.finished() {
			return
		}
		if progress {
			attempt = 0
		}
		if established || !told {
			told = true
			s.cfg.Log.Info("link went down", slog.Uint64("peer_epoch", s.Stats().PeerEpoch), slog.Any("error", err))
			if s.cfg.Down != nil {
				s.cfg.Down(err)
			}
		}
		wait := time.NewTimer(s.backoff(attempt))
		attempt++
		select {
		case <-wait.C:
		case <-s.ctx.Done():
			wait.Stop()
			return
		}
	}
}

// finished tells whether the Sender is closed and the peer has all.
func (s *Sender) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing && s.log.empty()
}

func (s *Sender) backoff(attempt int) time.Duration {
	d := s.cfg.BackoffMin
	for ; attempt > 0 && d < s.cfg.BackoffMax; attempt-- {
		d *= 2
	}
	d = min(d, s.cfg.BackoffMax)
	return d - rand.N(d/2+1)
}

// connect opens one stream, and returns when it has ended and its goroutines are gone. progress
// says that the stream was good for something: the next attempt need not wait long.
func (s *Sender) connect() (established, progress bool, err error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	timeout := time.AfterFunc(s.cfg.DialTimeout, func() { cancel(ErrTimeout) })
	defer timeout.Stop()

	stream, err := s.cfg.Dial(ctx)
	if err != nil {
		return false, false, s.failed(ctx, err)
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()

	ack, err := stream.Recv()
	if err == nil && !timeout.Stop() {
		err = ErrTimeout
	}
	if err != nil {
		return false, false, s.failed(ctx, err)
	}
	fresh, further := s.begin(ack)
	s.cfg.Log.Debug("link came up", slog.Uint64("peer_epoch", ack.Epoch), slog.Uint64("last", ack.Seq), slog.Bool("fresh", fresh))
	if s.cfg.Up != nil {
		s.cfg.Up(ack.Epoch, fresh)
	}

	received := make(chan struct{})
	acks := s.Stats().Acks
	go func() {
		defer close(received)
		s.broke(s.receive(stream))
		stream.Close()
	}()
	began := time.Now()
	silence := s.watch(stream)
	s.send(stream)
	silence.end()
	stream.Close()
	<-received

	s.mu.Lock()
	err = s.broken
	s.broken = nil
	s.stats.Connected = false
	progress = s.stats.Acks > acks
	s.mu.Unlock()
	return true, progress || further || time.Since(began) > s.cfg.BackoffMax, s.failed(ctx, err)
}

// failed prefers our own reason, if we ended the attempt ourselves, to what the transport makes of
// it.
func (s *Sender) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	s.mu.Lock()
	s.stats.LastErr = err
	s.mu.Unlock()
	return err
}

// begin makes the backlog fit what the peer says that it has. further says that this is more than
// the stream before had heard of: that one was good for something, though it broke before it was
// told.
func (s *Sender) begin(ack Ack) (fresh, further bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.log.first
	epoch, last := ack.Epoch, ack.Seq
	// A receiver that is new may have nothing to say by which that shows: if the one before it had
	// acknowledged nothing.
	forgot := s.log.sent && s.other != 0 && ack.Receiver != 0 && s.other != ack.Receiver
	first := s.peer == 0 || s.stats.Connects == 0 && s.peer == epoch
	switch {
	case first:
		// It may have had batches from an earlier Sender of our run, which did not know that they
		// had arrived.
		s.log.first = last + 1
	case epoch == s.peer && !forgot && s.log.resume(last):
	default:
		frames, bytes := s.log.restart(last, epoch == s.peer)
		s.stats.Dropped += uint64(frames)
		s.cfg.Log.Info("peer was restarted", slog.Uint64("peer_epoch", epoch), slog.Uint64("epoch_before", s.peer),
			slog.Int("dropped_frames", frames), slog.Int("dropped_bytes", bytes))
		fresh = true
	}
	s.drainedLocked() // the peer's word may be that it has all
	s.peer, s.other = epoch, ack.Receiver
	s.stats.Connects++
	s.stats.Connected = true
	s.heard, s.ask = time.Now(), s.cfg.Silence > 0
	s.asked = time.Time{}
	return fresh, s.log.first > before
}

// send hands batches to the stream until it is broken: all that is there, one behind the other, and
// then it sleeps.
func (s *Sender) send(stream Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = stream
	defer func() { s.stream = nil }()
	for ended := false; ; {
		s.sendLocked(func() bool { return true })
		if s.broken != nil {
			return
		}
		if s.closing && !ended {
			ended = true
			s.mu.Unlock()
			err := stream.CloseSend()
			s.mu.Lock()
			s.brokeLocked(err)
			continue
		}
		s.parked = true
		s.mu.Unlock()
		<-s.wake
		s.mu.Lock()
	}
}

// sendLocked hands over one batch after the other, as long as the stream is whole and more says so.
// The lock is held, but for the time of the stream's Send. It is for whoever has taken parked back.
func (s *Sender) sendLocked(more func() bool) {
	for s.broken == nil && more() {
		now := time.Now()
		if s.ask {
			s.ask = false
			if err := s.askLocked(); err != nil {
				return
			}
			continue
		}
		s.cfg.Withdrawn.Add(uint64(s.log.age(now)))
		b, seq, again, ok := s.log.take()
		if !ok {
			return
		}
		stream := s.stream
		s.sent = now
		s.mu.Unlock()
		err := stream.Send(seq, b.bytes)
		s.mu.Lock()
		s.log.release(b.chunk)
		if err != nil {
			s.brokeLocked(err)
			return
		}
		s.stats.Batches++
		s.stats.Bytes += uint64(len(b.bytes))
		if again {
			s.stats.Resent++
		}
	}
}

// askLocked asks the peer for a sign of life.
func (s *Sender) askLocked() error {
	stream := s.stream
	s.asked, s.after = time.Now(), s.log.first+uint64(s.log.next)-1
	s.mu.Unlock()
	err := stream.Send(0, nil)
	s.mu.Lock()
	if err != nil {
		s.brokeLocked(err)
	}
	return err
}

// silence ends a stream whose peer says nothing. It is a timer without a goroutine.
type silence struct {
	sender *Sender
	stream Stream
	timer  *time.Timer
	due    time.Time // when the timer fires; under Sender.mu, as over
	over   bool
}

// watch begins when a stream is established.
func (s *Sender) watch(stream Stream) *silence {
	w := &silence{sender: s, stream: stream}
	if s.cfg.Silence == 0 {
		return w
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.cfg.Silence / 3
	w.due = s.heard.Add(wait)
	w.timer = time.AfterFunc(wait, w.look)
	return w
}

func (w *silence) end() {
	s := w.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// timeEvery is how often the round trip of a busy link is measured.
const timeEvery = 10 * time.Second

// look asks for a sign of life after each third of the time, and ends the stream after the last.
func (w *silence) look() {
	s := w.sender
	third := s.cfg.Silence / 3
	s.mu.Lock()
	if w.over {
		s.mu.Unlock()
		return
	}
	now := time.Now()
	if now.Sub(w.due) > third && now.Sub(s.heard) > 2*third {
		s.heard = now.Add(-2 * third) // this process has stood still itself: what the peer said may lie unread
	}
	wake, dead := false, false
	switch quiet := now.Sub(s.heard); {
	case quiet >= 3*third:
		s.brokeLocked(ErrSilent)
		wake, dead = s.unparkLocked(), true
	case quiet >= third:
		s.ask = true
		wake = s.unparkLocked()
		w.due = s.heard.Add(quiet - quiet%third + third)
	default:
		if s.asked.IsZero() && now.Sub(s.timed) > timeEvery { // a busy link: nothing else would be asked there
			s.ask = true
			wake = s.unparkLocked()
		}
		w.due = s.heard.Add(third)
	}
	if !dead {
		w.timer.Reset(w.due.Sub(now))
	}
	s.mu.Unlock()
	s.signal(wake)
	if dead {
		w.stream.Close() // it may be in Send
	}
}

// receive takes acknowledgements until the stream ends.
func (s *Sender) receive(stream Stream) error {
	for {
		ack, err := stream.Recv()
		if err != nil {
			return err
		}
		s.mu.Lock()
		ok := s.log.ack(ack.Seq)
		s.stats.Acks++
		s.heard = time.Now()
		if !s.asked.IsZero() && ack.Seq >= s.after {
			s.stats.RoundTrip, s.timed, s.asked = s.heard.Sub(s.asked), s.heard, time.Time{}
		}
		s.drainedLocked()
		s.mu.Unlock()
		if !ok {
			return ErrAck
		}
	}
}

// broke ends send, with the first reason that anybody had.
func (s *Sender) broke(err error) {
	s.mu.Lock()
	s.brokeLocked(err)
	wake := s.unparkLocked()
	s.mu.Unlock()
	s.signal(wake)
}

// brokeLocked notes why the stream can not go on, if nobody has yet.
func (s *Sender) brokeLocked(err error) {
	if s.broken == nil {
		s.broken = err
	}
}
