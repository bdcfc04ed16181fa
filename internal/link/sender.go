package link

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is the sending end of one stream to the peer, as the transport makes it.
type Stream interface {
	// Send hands one batch to the transport, and may wait for as long as the peer takes none. It
	// may use frames until it returns, and must not change them. There is one call at a time, not
	// all from one goroutine.
	Send(seq uint64, frames []byte) error
	// CloseSend says that there is no more to send. The peer acknowledges all that it has taken,
	// and ends the stream.
	CloseSend() error
	// Recv waits for the next acknowledgement. One goroutine calls it.
	Recv() (Ack, error)
	// Close ends the stream, and makes Send and Recv return. It may be called several times, by any
	// goroutine, and does not wait.
	Close()
}

// Ack is an acknowledgement.
type Ack struct {
	Seq uint64 // the batch that it has taken last

	// In the first one of a stream only.
	Epoch    uint64 // the run of the peer
	Receiver uint64 // which of the peer's receivers it is: another one has taken nothing of what went to the one before; 0: not known
}

// SenderConfig configures a [Sender]. Zero values mean the defaults.
type SenderConfig struct {
	// Dial opens a stream to the peer. ctx ends when the stream is no longer wanted, not when Dial
	// returns. Required.
	Dial func(ctx context.Context) (Stream, error)
	// Epoch is the run of this node. The transport tells it to the peer; the Sender does not.
	Epoch uint64
	// PeerEpoch is the run of the peer that is meant; another run counts as a restart. 0 means the
	// run that answers first.
	PeerEpoch uint64
	// MaxQueue bounds the bytes that are kept, including those that the peer has not acknowledged.
	// Default 64 MiB. Frames that are not [Kind.Bulk] may use twice as much, because the peer would
	// otherwise hold outdated state.
	MaxQueue int
	// MaxBatch bounds the bytes of a batch, unless one frame alone is larger. Default 256 KiB.
	MaxBatch int
	// Quick is how many bytes a stream's Send takes without waiting, as long as the peer has not
	// acknowledged them (with QuickOverhead bytes more for each batch). Within it, [Sender.Flush]
	// may send by itself, and wake no goroutine for it. 0: Send may wait at any time.
	Quick int
	// MaxFrame bounds the bytes of one encoded frame. Default 4 MiB less 4 KiB: what passes a gRPC
	// stream as it comes.
	MaxFrame int
	// BackoffMin and BackoffMax bound the wait before the next attempt to connect; it doubles from
	// attempt to attempt, and up to half of it is taken off at random. Defaults 50 ms and 1 s.
	BackoffMin, BackoffMax time.Duration
	// DialTimeout bounds an attempt, from Dial to the first word of the peer. Default 5 s.
	DialTimeout time.Duration
	// Silence is how long the peer may say nothing while a stream is established. After a third of
	// it the Sender asks for a sign of life, by an empty batch without a number, so that the peer
	// hears something as often. 0: there is no limit, and nothing is asked, as of a peer that does
	// not answer that.
	Silence time.Duration
	// Withdrawn counts the frames that were not sent because nobody waits for their answer any
	// more, see [Sender.Withdraw] and [Frame.Left]. May be nil, and may count for several Senders.
	Withdrawn *atomic.Uint64
	// Lost counts the frames that ask for no answer, such as pushes and kicks, and that the peer
	// may not have got when [Sender.Close] gave up: nobody else is told. May be nil, and may count
	// for several Senders.
	Lost *atomic.Uint64
	// Up is called when a stream is established, before anything is sent on it. fresh says that the
	// peer is another run than before, or has lost what it knew of us: what was queued is dropped
	// (in the second case only what was sent already), and what the peer is to know must be told
	// again. The first stream is not fresh (unless the peer is not PeerEpoch): what was queued
	// before it is sent.
	Up func(peerEpoch uint64, fresh bool)
	// Down is called when an established stream has ended, and when the first attempt of all has
	// failed; then not again before Up. Closing the Sender calls nothing.
	Down func(err error)
	// Log receives a line for each connect and loss. Default slog.Default().
	Log *slog.Logger
}

// Sender sends frames to one peer. Its methods are safe for concurrent use, and none but Close ever
// waits. Up and Down are called one at a time, with no lock held: they may call all methods but
// Close.
type Sender struct {
	cfg    SenderConfig
	ctx    context.Context // ends with the Sender
	cancel context.CancelFunc
	done   chan struct{} // closed when no goroutine is left
	wake   chan struct{} // gets one token whenever parked is taken back

	mu      sync.Mutex
	log     backlog
	peer    uint64 // epoch of the peer; 0 until it is known
	other   uint64 // the peer's receiver that has the batches; 0 until it is known
	closing bool
	gaveUp  bool          // Close has counted what is lost
	drained chan struct{} // closed when closing, and nothing is left
	stream  Stream        // in use: established, and not known to be over
	parked  bool          // all is sent; the goroutine sleeps until somebody takes this back, who may then send
	broken  error         // why the stream in use can not go on
	sent    time.Time     // when a batch was handed to a stream last
	heard   time.Time     // when the peer last said something on the stream
	ask     bool          // for a sign of life
	asked   time.Time     // when that was asked for; zero: it has come
	after   uint64        // the batch before that: what acknowledges less is no answer
	timed   time.Time     // when the round trip was measured last
	stats   Stats
}

// Stats is what a [Sender] did so far.
type Stats struct {
	Connected bool
	PeerEpoch uint64 // 0: not yet known
	Unsent    int    // bytes that wait to be sent
	Unacked   int    // bytes that were sent and may have to be sent again

	Frames   uint64 // queued
	Batches  uint64 // sent, each time counted
	Bytes    uint64 // of these batches
	Resent   uint64 // batches that were sent again after a reconnect
	Acks     uint64 // acknowledgements received
	Dropped  uint64 // frames that were given up because the peer was restarted
	Refused  uint64 // frames that Queue had no room for
	Connects uint64
	LastErr  error     // why the last stream ended or the last attempt failed
	Heard    time.Time // when the peer last said something; zero: never
	// RoundTrip is how long the peer took to answer when it was last asked for a sign of life; 0:
	// it was not yet. What was sent before has to be handled first, and is part of it.
	RoundTrip time.Duration
}

// NewSender returns a Sender and begins to connect. The caller must close it.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if cfg.Dial == nil {
		return nil, fmt.Errorf("%w: Dial is missing", errConfig)
	}
	for _, c := range []struct {
		name string
		v    *int
		def  int
	}{
		{"MaxQueue", &cfg.MaxQueue, 64 << 20},
		{"MaxBatch", &cfg.MaxBatch, 256 << 10},
		{"MaxFrame", &cfg.MaxFrame, 4<<20 - 4<<10},
		{"Quick", &cfg.Quick, 0},
	} {
		if *c.v < 0 {
			return nil, fmt.Errorf("%w: %s is %d", errConfig, c.name, *c.v)
		}
		if *c.v == 0 {
			*c.v = c.def
		}
	}
	for _, c := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"BackoffMin", &cfg.BackoffMin, 50 * time.Millisecond},
		{"BackoffMax", &cfg.BackoffMax, max(time.Second, cfg.BackoffMin)},
		{"DialTimeout", &cfg.DialTimeout, 5 * time.Second},
		{"Silence", &cfg.Silence, 0},
	} {
		if *c.v < 0 {
			return nil, fmt.Errorf("%w: %s is %v", errConfig, c.name, *c.v)
		}
		if *c.v == 0 {
			*c.v = c.def
		}
	}
	if cfg.BackoffMax < cfg.BackoffMin {
		return nil, fmt.Errorf("%w: BackoffMax %v is below BackoffMin %v", errConfig, cfg.BackoffMax, cfg.BackoffMin)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Withdrawn = cmp.Or(cfg.Withdrawn, new(atomic.Uint64))
	cfg.Lost = cmp.Or(cfg.Lost, new(atomic.Uint64))
	s := &Sender{
		cfg:     cfg,
		done:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		drained: make(chan struct{}),
		peer:    cfg.PeerEpoch,
		log:     newBacklog(cfg.MaxBatch),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s, nil
}

// Queue encodes a frame behind all that were queued before, and keeps nothing of f. If dirty is
// true, the sending goroutine sleeps, and the caller must call [Sender.Flush], now or after a few
// more frames. Queue returns ErrFull, ErrTooLarge or ErrClosed if it has not queued the frame. A
// link that is down is no error: the frame waits for it.
func (s *Sender) Queue(f *Frame) (dirty bool, err error) {
	body := bodySize(f)
	size := uvarintSize(uint64(body)) + body
	if size > min(s.cfg.MaxFrame, s.limit(f.Kind)) { // no wait would help
		return false, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	wake := false
	s.mu.Lock()
	switch {
	case s.closing:
		err = ErrClosed
	case s.log.bytes+size > s.limit(f.Kind):
		s.stats.Refused++
		err = ErrFull
	default:
		s.stats.Frames++
		if s.log.put(f, body, size) {
			wake = s.unparkLocked() // a whole batch waits, which is reason enough
		}
		dirty = s.parked
	}
	s.mu.Unlock()
	s.signal(wake)
	return dirty, err
}

// Withdraw removes every queued frame that asks for an answer (Request and Call, but no Call with
// [FlagOff]), because its sender was told that there is none. The peer may still take what was sent
// already.
func (s *Sender) Withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Withdrawn.Add(uint64(s.log.withdraw()))
	s.drainedLocked()
}

// limit is how many bytes may be kept with a frame of that kind.
func (s *Sender) limit(k Kind) int {
	if k.Bulk() {
		return s.cfg.MaxQueue
	}
	return 2 * s.cfg.MaxQueue
}

// Flush sends what is queued, unless the sending goroutine is about to. On an idle link, the caller
// sends the batch itself if it cannot wait (see Quick). Otherwise Flush wakes the sending
// goroutine.
func (s *Sender) Flush() {
	s.mu.Lock()
	wake := s.log.unsent > 0 && s.unparkLocked()
	if wake && s.quickLocked() && time.Since(s.sent) > quiet {
		s.sendLocked(s.quickLocked)
		if wake = s.broken != nil || s.closing || s.log.unsent > 0; !wake {
			s.parked = true
		}
	}
	s.mu.Unlock()
	s.signal(wake)
}

// quiet is how long a link has sent nothing for when it is worth more to wake nobody than to
// gather: until a goroutine that is woken runs, a busy link has more frames for the batch.
const quiet = time.Millisecond

// QuickOverhead is how many bytes a batch may have on a stream beyond those of its frames.
const QuickOverhead = 32

// quickLocked tells whether the stream takes all that waits without having the caller wait.
func (s *Sender) quickLocked() bool {
	return s.stream != nil && s.log.bytes+(s.log.next+1)*QuickOverhead <= s.cfg.Quick
}

// unparkLocked takes parked back, and reports whether the caller owes the token for it.
func (s *Sender) unparkLocked() (wake bool) {
	wake, s.parked = s.parked, false
	return wake
}

// signal is called without the lock: the goroutine that it wakes wants it at once.
func (s *Sender) signal(wake bool) {
	if wake {
		s.wake <- struct{}{} // has room: whoever parked takes the token before parking again
	}
}

// Stats returns the figures of the Sender.
func (s *Sender) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Heard = s.heard
	st.PeerEpoch, st.Unsent, st.Unacked = s.peer, s.log.unsent, s.log.bytes-s.log.unsent
	return st
}

// Close refuses further frames, waits until the peer has acknowledged all that were queued, then
// disconnects and waits for the Sender's goroutines. When ctx ends first it disconnects at once and
// returns an error that wraps ctx's and tells how many bytes the peer may not have got; goroutines
// may then take a moment more, see Done. It may be called several times.
func (s *Sender) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		s.drainedLocked()
	}
	wake := s.unparkLocked()
	s.mu.Unlock()
	s.signal(wake)

	select {
	case <-s.drained:
	case <-s.done: // another Close gave up
	case <-ctx.Done():
	}
	s.cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	lost := s.log.bytes
	if lost > 0 && !s.gaveUp {
		s.gaveUp = true
		s.cfg.Lost.Add(uint64(s.log.count(Kind.untold)))
	}
	s.mu.Unlock()
	if lost > 0 {
		why := context.Cause(ctx)
		if why == nil {
			why = ErrClosed // by another Close, whose ctx ended
		}
		return fmt.Errorf("link: closed with %d bytes not acknowledged: %w", lost, why)
	}
	select {
	case <-s.done:
		return nil
	default:
		return fmt.Errorf("link: closed, but the stream does not end: %w", context.Cause(ctx))
	}
}

// Done returns a channel that is closed when the Sender was closed and none of its goroutines is
// left.
func (s *Sender) Done() <-chan struct{} { return s.done }

func (s *Sender) drainedLocked() {
	if s.closing && s.log.empty() {
		select {
		case <-s.drained:
		default:
			close(s.drained)
		}
	}
}
