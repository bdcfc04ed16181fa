package link_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano/internal/link"
)

var request = link.Frame{Kind: link.Request, Session: 1<<62 + 12345, ID: 77, Route: []byte("Room.Message"), Data: make([]byte, 64)}

func multicast(n int) *link.Frame {
	f := &link.Frame{Kind: link.Multicast, Route: []byte("onMessage"), Data: make([]byte, 64)}
	for i := range n {
		f.Sessions = append(f.Sessions, 1<<62+int64(i*3))
	}
	return f
}

func BenchmarkAppendFrame(b *testing.B) {
	for _, c := range []struct {
		name string
		f    *link.Frame
	}{{"request", &request}, {"multicast 1000", multicast(1000)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, link.FrameSize(c.f))
			b.SetBytes(int64(cap(buf)))
			for b.Loop() {
				buf = link.AppendFrame(buf[:0], c.f)
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	for _, c := range []struct {
		name string
		f    *link.Frame
	}{{"request", &request}, {"multicast 1000", multicast(1000)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			batch := link.AppendFrame(nil, c.f)
			b.SetBytes(int64(len(batch)))
			var r link.Reader
			var f link.Frame
			for b.Loop() {
				r.Reset(batch)
				if ok, err := r.Next(&f); !ok || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// direct is a stream that lends the sender's bytes to the receiver and copies nothing.
type direct struct {
	ctx     context.Context
	cancel  context.CancelFunc
	batches chan packet
	taken   chan struct{}
	acks    chan link.Ack
	lent    bool
}

func (d *direct) Send(seq uint64, frames []byte) error {
	select {
	case d.batches <- packet{seq: seq, frames: frames}:
	case <-d.ctx.Done():
		return io.EOF
	}
	select {
	case <-d.taken:
		return nil
	case <-d.ctx.Done():
		return io.EOF
	}
}

func (d *direct) Recv() (link.Ack, error) {
	select {
	case a := <-d.acks:
		return a, nil
	case <-d.ctx.Done():
		return link.Ack{}, io.EOF
	}
}

func (d *direct) CloseSend() error {
	close(d.batches)
	return nil
}

func (d *direct) Close() { d.cancel() }

type directServer struct{ *direct }

func (d directServer) Context() context.Context { return d.ctx }

func (d directServer) Recv() (uint64, []byte, error) {
	if d.lent {
		d.taken <- struct{}{}
	}
	select {
	case p, more := <-d.batches:
		if !more {
			return 0, nil, io.EOF
		}
		d.direct.lent = true
		return p.seq, p.frames, nil
	case <-d.ctx.Done():
		return 0, nil, io.EOF
	}
}

func (d directServer) Send(a link.Ack) error {
	select {
	case d.acks <- a:
		return nil
	case <-d.ctx.Done():
		return io.EOF
	}
}

func newDirect(b *testing.B, handle func(*link.Reader) error) *link.Sender {
	r, err := link.NewReceiver(link.ReceiverConfig{Epoch: 2})
	if err != nil {
		b.Fatal(err)
	}
	up := make(chan struct{})
	s, err := link.NewSender(link.SenderConfig{Epoch: 1, Log: quiet,
		Up: func(uint64, bool) { close(up) },
		Dial: func(context.Context) (link.Stream, error) {
			d := &direct{batches: make(chan packet), taken: make(chan struct{}, 1), acks: make(chan link.Ack, 1)}
			d.ctx, d.cancel = context.WithCancel(context.Background())
			go func() {
				defer d.cancel()
				_ = r.Serve(directServer{d}, 1, handle)
			}()
			return d, nil
		}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx)
		_ = r.Close(ctx)
	})
	<-up
	return s
}

// Frames of 95 bytes over a stream, flushed every n frames; as many as the queue takes are under
// way.
func BenchmarkThroughput(b *testing.B) {
	for _, c := range []struct {
		name string
		each int
	}{{"flush each", 1}, {"flush every 8", 8}, {"flush every 100", 100}} {
		b.Run(c.name, func(b *testing.B) {
			var got atomic.Int64
			var f link.Frame
			s := newDirect(b, func(r *link.Reader) error {
				n := int64(0)
				for {
					ok, err := r.Next(&f)
					if !ok || err != nil {
						got.Add(n)
						return err
					}
					n++
				}
			})
			b.ReportAllocs()
			b.SetBytes(int64(link.FrameSize(&request)))
			b.ResetTimer()
			for i := range b.N {
				for {
					_, err := s.Queue(&request)
					if err == nil {
						break
					}
					s.Flush()
					time.Sleep(100 * time.Microsecond)
				}
				if i%c.each == c.each-1 {
					s.Flush()
				}
			}
			s.Flush()
			for got.Load() < int64(b.N) {
				time.Sleep(10 * time.Microsecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/float64(s.Stats().Batches), "frames/batch")
		})
	}
}

// One frame there and one back, as a single request does it: what the two links add to its way.
func BenchmarkRoundTrip(b *testing.B) {
	var back *link.Sender
	var f, g link.Frame
	answer := link.Frame{Kind: link.Response, Session: request.Session, ID: 77, Data: request.Data}
	done := make(chan struct{}, 1)
	there := newDirect(b, func(r *link.Reader) error {
		for {
			ok, err := r.Next(&f)
			if !ok || err != nil {
				return err
			}
			if dirty, err := back.Queue(&answer); err != nil {
				return err
			} else if dirty {
				back.Flush()
			}
		}
	})
	back = newDirect(b, func(r *link.Reader) error {
		for {
			ok, err := r.Next(&g)
			if !ok || err != nil {
				return err
			}
			done <- struct{}{}
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		if dirty, err := there.Queue(&request); err != nil {
			b.Fatal(err)
		} else if dirty {
			there.Flush()
		}
		<-done
	}
}
