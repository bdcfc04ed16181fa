package nano_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
)

// sink is a client's connection that says its handshake and swallows what it is sent.
type sink struct {
	say     []byte
	written *atomic.Int64 // bytes, of all sinks
	greeted func()        // called at the first write, which is the handshake's answer
	closed  chan struct{}
	once    sync.Once
	first   sync.Once
}

func (s *sink) Read(b []byte) (int, error) {
	if n := copy(b, s.say); n > 0 {
		s.say = s.say[n:]
		return n, nil
	}
	<-s.closed
	return 0, io.EOF
}

func (s *sink) Write(b []byte) (int, error) {
	s.written.Add(int64(len(b)))
	s.first.Do(s.greeted)
	return len(b), nil
}

func (s *sink) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *sink) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *sink) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// sinks is a listener of sinks.
type sinks struct {
	queue   chan net.Conn
	closed  chan struct{}
	once    sync.Once
	written atomic.Int64
}

func (l *sinks) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *sinks) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *sinks) Addr() net.Addr { return &net.TCPAddr{} }

// await waits until n bytes more than before were written.
func (l *sinks) await(n int64) {
	for l.written.Load() < n {
		runtime.Gosched()
	}
}

// crowd starts a node with n clients that are all in the group.
func crowd(b *testing.B, n int) (*nano.App, *sinks, *nano.Group) {
	b.Helper()
	l := &sinks{queue: make(chan net.Conn, n), closed: make(chan struct{})}
	g := nano.NewGroup("crowd")
	var there sync.WaitGroup
	there.Add(n)
	app := nano.New("", nano.WithComponents(new(component.Components)), nano.WithHeartbeatInterval(time.Hour), quiet(),
		nano.WithEndpoint(nano.Endpoint{Listener: l}))
	app.Lifetime().OnOpened(func(s *session.Session) {
		if err := g.Add(s); err != nil {
			b.Error(err)
		}
		there.Done()
	})
	if err := app.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
		defer cancel()
		if err := app.Shutdown(ctx); err != nil {
			b.Errorf("shutdown: %v", err)
		}
	})
	say := append(codec.AppendPacket(nil, codec.Handshake, nil), codec.AppendPacket(nil, codec.HandshakeAck, nil)...)
	var greeted sync.WaitGroup
	greeted.Add(n)
	for range n {
		l.queue <- &sink{say: say, written: &l.written, greeted: greeted.Done, closed: make(chan struct{})}
	}
	there.Wait()
	greeted.Wait()
	return app, l, g
}

// onScheduler runs fn where handlers run.
func onScheduler(app *nano.App, fn func()) {
	done := make(chan struct{})
	app.Scheduler().PushTask(func() { fn(); close(done) })
	<-done
}

const payload = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// benchmarkOne measures output to one session, 64 messages at a time as a busy handler makes them.
func benchmarkOne(b *testing.B, size int, out func(s *session.Session) error) {
	app, l, g := crowd(b, 1)
	s := g.Sessions()[0]
	want := l.written.Load()
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= 64 {
		n := min(left, 64)
		onScheduler(app, func() {
			for range n {
				if err := out(s); err != nil {
					b.Error(err)
				}
			}
		})
		want += int64(n * size)
		l.await(want)
	}
}

func BenchmarkPush(b *testing.B) {
	data := []byte(payload)
	size := codec.HeadLength + 1 + 1 + len("onIt") + len(data)
	benchmarkOne(b, size, func(s *session.Session) error { return s.Push("onIt", data) })
}

func BenchmarkResponse(b *testing.B) {
	data := []byte(payload)
	size := codec.HeadLength + 1 + 1 + len(data)
	benchmarkOne(b, size, func(s *session.Session) error { return s.ResponseMID(7, data) })
}

// BenchmarkBroadcast measures until every member's connection was written to; "ns/call" is what of
// it is the scheduler's time.
func BenchmarkBroadcast(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			app, l, g := crowd(b, n)
			data := []byte(payload)
			size := int64(codec.HeadLength + 1 + 1 + len("onIt") + len(data))
			want := l.written.Load()
			var inside time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				onScheduler(app, func() {
					began := time.Now()
					if err := g.Broadcast("onIt", data); err != nil {
						b.Error(err)
					}
					inside += time.Since(began)
				})
				want += int64(n) * size
				l.await(want)
			}
			b.ReportMetric(float64(inside.Nanoseconds())/float64(b.N), "ns/call")
		})
	}
}

// BenchmarkGroupChurn measures joins and leaves of a group, one of each per operation, while 20
// broadcasts a second go to its 10,000 members. "changes/s" counts both.
func BenchmarkGroupChurn(b *testing.B) {
	movers := runtime.GOMAXPROCS(0)
	app, _, g := crowd(b, 10_000+movers)
	moving := make(chan *session.Session, movers)
	for _, s := range g.Sessions()[:movers] {
		if err := g.Leave(s); err != nil {
			b.Fatal(err)
		}
		moving <- s
	}
	stop := make(chan struct{})
	var broadcasts sync.WaitGroup
	broadcasts.Go(func() {
		every := time.NewTicker(time.Second / 20)
		defer every.Stop()
		for {
			select {
			case <-stop:
				return
			case <-every.C:
				onScheduler(app, func() {
					if err := g.Broadcast("onIt", []byte(payload)); err != nil {
						b.Error(err)
					}
				})
			}
		}
	})
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		s := <-moving
		for pb.Next() {
			if err := g.Add(s); err != nil {
				b.Error(err)
			}
			if err := g.Leave(s); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "changes/s")
	close(stop)
	broadcasts.Wait()
}
