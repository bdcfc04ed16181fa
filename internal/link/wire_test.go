package link_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano/internal/link"
)

var errCut = errors.New("wire: cut")

// wire leads a Sender's streams to whatever Receiver stands at its other end at the time.
type wire struct {
	mu       sync.Mutex
	receiver *link.Receiver
	epoch    uint64 // of the sender
	handle   func(*link.Reader) error
	dials    int
	results  []error // of Serve
	conns    []*conn
	running  sync.WaitGroup

	onDial func(ctx context.Context) error // nil: works
	onSend func(c *conn, seq uint64) error // in the sender, before the batch is under way
	onRecv func(c *conn, seq uint64) error // in the receiver, before it is handled
	onAck  func(c *conn, seq uint64) error // in the receiver, before it is under way
	deaf   bool                            // nobody serves the streams
}

type packet struct {
	seq    uint64
	frames []byte
}

type conn struct {
	w       *wire
	number  int // from 1
	ctx     context.Context
	cancel  context.CancelCauseFunc
	batches chan packet
	acks    chan link.Ack
	over    sync.Once
}

func (w *wire) dial(ctx context.Context) (link.Stream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials++
	if w.onDial != nil {
		w.mu.Unlock()
		err := w.onDial(ctx)
		w.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
	c := &conn{w: w, number: w.dials, batches: make(chan packet, 2), acks: make(chan link.Ack, 2)}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	w.conns = append(w.conns, c)
	if w.deaf {
		return c, nil
	}
	receiver, handle, epoch := w.receiver, w.handle, w.epoch
	w.running.Go(func() {
		err := receiver.Serve(&server{conn: c}, epoch, handle)
		c.cancel(errCut)
		w.mu.Lock()
		w.results = append(w.results, err)
		w.mu.Unlock()
	})
	return c, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.cancel(errCut)
	}
}

func (c *conn) Send(seq uint64, frames []byte) error {
	if c.w.onSend != nil {
		if err := c.w.onSend(c, seq); err != nil {
			c.cancel(err)
			return err
		}
	}
	select {
	case c.batches <- packet{seq: seq, frames: append([]byte(nil), frames...)}:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

func (c *conn) Recv() (link.Ack, error) {
	select {
	case a := <-c.acks:
		return a, nil
	case <-c.ctx.Done():
	}
	select { // what came before the end is there
	case a := <-c.acks:
		return a, nil
	default:
		return link.Ack{}, context.Cause(c.ctx)
	}
}

// CloseSend is called by who sends, between two batches.
func (c *conn) CloseSend() error {
	c.over.Do(func() { close(c.batches) })
	return nil
}

func (c *conn) Close() { c.cancel(io.EOF) }

type server struct {
	*conn
	lent []byte
}

func (s *server) Context() context.Context { return s.ctx }

func (s *server) Recv() (uint64, []byte, error) {
	for i := range s.lent { // whoever kept a part of it must notice
		s.lent[i] = 0xee
	}
	select {
	case p, more := <-s.batches:
		if !more {
			return 0, nil, io.EOF
		}
		s.lent = p.frames
		if s.w.onRecv != nil {
			if err := s.w.onRecv(s.conn, p.seq); err != nil {
				s.cancel(err)
				return 0, nil, err
			}
		}
		return p.seq, p.frames, nil
	case <-s.ctx.Done():
		return 0, nil, context.Cause(s.ctx)
	}
}

func (s *server) Send(a link.Ack) error {
	if s.w.onAck != nil {
		if err := s.w.onAck(s.conn, a.Seq); err != nil {
			s.cancel(err)
			return err
		}
	}
	select {
	case s.acks <- a:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// book writes down the ids of the frames that arrive.
type book struct {
	mu  sync.Mutex
	ids []uint64
}

func (b *book) handle(r *link.Reader) error {
	var f link.Frame
	for {
		ok, err := r.Next(&f)
		if !ok || err != nil {
			return err
		}
		if len(f.Data) != 8 || binary.LittleEndian.Uint64(f.Data) != f.ID {
			return errors.New("a frame was damaged on its way")
		}
		b.mu.Lock()
		b.ids = append(b.ids, f.ID)
		b.mu.Unlock()
	}
}

func (b *book) read() []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ids)
}

func numbered(id uint64) *link.Frame {
	f := &link.Frame{Kind: link.Notify, Session: 1 << 62, ID: id, Route: []byte("Room.Say"), Data: binary.LittleEndian.AppendUint64(nil, id)}
	if id%97 == 0 {
		f.Text = make([]byte, id%2000) // some are larger than a batch
	}
	return f
}

func upTo(n int) []uint64 {
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	return ids
}

func mustQueue(t *testing.T, s *link.Sender, id uint64) {
	t.Helper()
	dirty, err := s.Queue(numbered(id))
	if err != nil {
		t.Fatalf("frame %d: %v", id, err)
	}
	if dirty && id%3 == 0 {
		s.Flush()
	}
}

var quiet = slog.New(slog.DiscardHandler)

func newReceiver(t *testing.T, cfg link.ReceiverConfig) *link.Receiver {
	t.Helper()
	r, err := link.NewReceiver(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newSender(t *testing.T, cfg link.SenderConfig) *link.Sender {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet
	}
	s, err := link.NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// end closes both ends; the bubble of synctest sees that no goroutine is left.
func (w *wire) end(t *testing.T, s *link.Sender) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.receiver.Close(t.Context()); err != nil {
		t.Error(err)
	}
	w.running.Wait()
	synctest.Wait()
}
