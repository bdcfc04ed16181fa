package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// ServerStream is the receiving end of one stream from the peer, as the transport makes it.
type ServerStream interface {
	// Recv waits for the next batch. frames are valid until the next Recv. io.EOF: the peer has
	// ended the stream in good order.
	Recv() (seq uint64, frames []byte, err error)
	// Send says what was taken. One goroutine calls it.
	Send(Ack) error
	// Context ends with the stream; Recv returns then. The transport must end the stream when Serve
	// has returned.
	Context() context.Context
}

// ReceiverConfig configures a [Receiver]. Zero values mean the defaults.
type ReceiverConfig struct {
	// Epoch tells this run of our node from others. Not 0.
	Epoch uint64
	// AckBytes is how many bytes may be taken before they are acknowledged at once. Default 16 KiB,
	// so that a Sender whose Quick is a few times larger seldom waits.
	AckBytes int
	// AckDelay is how long an acknowledgement waits otherwise, because each one wakes both nodes. A
	// Sender that closes gets it at once. Default 250 ms.
	AckDelay time.Duration
}

// Receiver takes the batches of one peer, each once and in order, over any number of streams. Its
// methods are safe for concurrent use.
type Receiver struct {
	cfg      ReceiverConfig
	id       uint64
	current  atomic.Pointer[serving] // whose batches are handled; changed under mu
	handling chan struct{}           // holds one token while a batch is handled; guards what follows
	known    bool
	sender   uint64 // epoch
	last     uint64 // the batch that was handled last

	mu     sync.Mutex
	closed bool
	users  int           // Serve calls and their goroutines
	gone   chan struct{} // closed when closed and users is 0
}

// serving is one call of Serve.
type serving struct {
	stop     chan struct{} // closed when another takes its place, or none is to be served any more
	why      error         // set before stop is closed
	received chan error    // why Recv or handle failed
	ackNow   chan struct{}
	delay    *time.Timer
	delayed  atomic.Bool   // delay is running
	taken    atomic.Uint64 // to be acknowledged
	asked    atomic.Bool   // for a sign of life
}

// NewReceiver returns a Receiver. It has no goroutine while it serves no stream.
func NewReceiver(cfg ReceiverConfig) (*Receiver, error) {
	switch {
	case cfg.Epoch == 0:
		return nil, fmt.Errorf("%w: Epoch is missing", errConfig)
	case cfg.AckBytes < 0:
		return nil, fmt.Errorf("%w: AckBytes is %d", errConfig, cfg.AckBytes)
	case cfg.AckDelay < 0:
		return nil, fmt.Errorf("%w: AckDelay is %v", errConfig, cfg.AckDelay)
	}
	if cfg.AckBytes == 0 {
		cfg.AckBytes = 16 << 10
	}
	if cfg.AckDelay == 0 {
		cfg.AckDelay = 250 * time.Millisecond
	}
	return &Receiver{cfg: cfg, id: 1 + rand.Uint64N(math.MaxUint64), handling: make(chan struct{}, 1), gone: make(chan struct{})}, nil
}

// Serve takes batches from a stream until it ends. senderEpoch is the run of the peer, as the
// stream's headers say.
//
// handle gets each batch before it is acknowledged, one at a time; while it works nothing more is
// read, and the sender is slowed down. What the Reader gives is valid until handle returns. A batch
// counts as taken whatever handle returns: an error ends the stream, and the batch is not sent
// again.
//
// A newer stream ends the older with [ErrReplaced]: the newer begins when the older's handle has
// returned. Serve returns nil after the sender's orderly end, and never before the last handle has
// returned.
func (r *Receiver) Serve(s ServerStream, senderEpoch uint64, handle func(*Reader) error) error {
	me := &serving{stop: make(chan struct{}), received: make(chan error, 1), ackNow: make(chan struct{}, 1)}
	if err := r.enter(me); err != nil {
		return err
	}
	defer r.leave()
	defer r.retire(me)

	// Whoever handles is the older stream, in its last batch.
	ctx := s.Context()
	select {
	case r.handling <- struct{}{}:
	case <-me.stop:
		return me.why
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	last, ok := r.begin(me, senderEpoch)
	<-r.handling
	if !ok {
		<-me.stop
		return me.why
	}
	if err := s.Send(Ack{Seq: last, Epoch: r.cfg.Epoch, Receiver: r.id}); err != nil {
		return err
	}
	me.taken.Store(last)
	me.delay = time.NewTimer(time.Hour)
	me.delay.Stop()
	defer me.delay.Stop()
	r.mu.Lock()
	r.users++
	r.mu.Unlock()
	go r.receive(s, me, handle)
	return r.acknowledge(ctx, s, me, last)
}

// enter makes me the stream that is served.
func (r *Receiver) enter(me *serving) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.users++
	if old := r.current.Swap(me); old != nil {
		old.why = ErrReplaced
		close(old.stop)
	}
	return nil
}

// retire sees that nothing of me is handled any more.
func (r *Receiver) retire(me *serving) {
	r.current.CompareAndSwap(me, nil)
	r.handling <- struct{}{}
	<-r.handling
}

func (r *Receiver) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users--
	if r.closed && r.users == 0 {
		close(r.gone)
	}
}

// begin is called with handling.
func (r *Receiver) begin(me *serving, senderEpoch uint64) (last uint64, ok bool) {
	if r.current.Load() != me {
		return 0, false
	}
	if !r.known || r.sender != senderEpoch {
		r.known, r.sender, r.last = true, senderEpoch, 0
	}
	return r.last, true
}

// receive reads and handles until the stream or its time is over. It may wait in Recv for a moment
// after Serve has returned.
func (r *Receiver) receive(s ServerStream, me *serving, handle func(*Reader) error) {
	defer r.leave()
	var reader Reader
	taken := 0 // bytes since the last acknowledgement that we asked for
	for {
		seq, frames, err := s.Recv()
		if err == nil && seq == 0 { // the sender asks whether somebody is here
			me.asked.Store(true)
			select {
			case me.ackNow <- struct{}{}:
			default:
			}
			continue
		}
		if err == nil {
			reader.Reset(frames)
			err = r.handle(me, seq, &reader, handle)
		}
		if err != nil {
			me.received <- err
			return
		}
		if taken += len(frames); taken > r.cfg.AckBytes {
			taken = 0
			select {
			case me.ackNow <- struct{}{}:
			default:
			}
		} else if !me.delayed.Swap(true) {
			me.delay.Reset(r.cfg.AckDelay)
		}
	}
}

// handle handles one batch, unless it was handled before.
func (r *Receiver) handle(me *serving, seq uint64, reader *Reader, fn func(*Reader) error) error {
	r.handling <- struct{}{}
	defer func() { <-r.handling }()
	switch {
	case r.current.Load() != me:
		return ErrReplaced
	case seq <= r.last:
		return nil
	case seq != r.last+1:
		return fmt.Errorf("%w: %d after %d", ErrGap, seq, r.last)
	}
	r.last = seq
	err := fn(reader)
	me.taken.Store(seq)
	return err
}

// acknowledge says what was taken, by bytes or after the delay, until the stream is over.
func (r *Receiver) acknowledge(ctx context.Context, s ServerStream, me *serving, said uint64) error {
	for {
		var over error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-me.stop:
			return me.why
		case over = <-me.received:
		case <-me.ackNow:
		case <-me.delay.C:
			me.delayed.Store(false) // before taken is read: what comes later runs the timer again
		}
		asked := me.asked.Swap(false) // before taken is read
		if taken := me.taken.Load(); taken != said || asked {
			said = taken
			if err := s.Send(Ack{Seq: taken}); err != nil && over == nil {
				return err
			}
		}
		if errors.Is(over, io.EOF) {
			return nil
		}
		if over != nil {
			return over
		}
	}
}

// Close ends the stream that is served and refuses others. It waits until the running handle has
// returned and the transport has ended the streams, but not longer than ctx.
func (r *Receiver) Close(ctx context.Context) error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		if old := r.current.Swap(nil); old != nil {
			old.why = ErrClosed
			close(old.stop)
		}
		if r.users == 0 {
			close(r.gone)
		}
	}
	r.mu.Unlock()
	select {
	case <-r.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("link: receiver does not end: %w", context.Cause(ctx))
	}
}
