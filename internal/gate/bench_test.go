package gate

import (
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/lonng/nano/internal/transport"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// away is a connection whose writes cost nothing: what is left is the gate's own part.
type away struct{ transport.Conn }

func (away) WriteSome(segs [][]byte) (n int, err error) {
	for _, s := range segs {
		n += len(s)
	}
	return n, nil
}

func (away) Blocks() bool         { return false }
func (away) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// BenchmarkMulticast measures what a delivery of a push of 64 bytes to 10,000 connections costs the
// gate, from the call to the write, without the system's part: alone, and as one of ten that go
// together. "queue-ns" is the part of it that the caller has to do. With "kept", the sessions can
// be resumed, and their clients say after each 100 messages that they have them.
func BenchmarkMulticast(b *testing.B) {
	const members = 10_000
	for _, together := range []int{1, 10} {
		for _, form := range []struct {
			name            string
			websocket, kept bool
		}{{"websocket=false", false, false}, {"websocket=true", true, false}, {"kept", false, true}} {
			b.Run(fmt.Sprintf("together=%d/%s", together, form.name), func(b *testing.B) {
				g, err := New(Config{Heartbeat: time.Hour, MissedBeats: 3, WriteDelay: time.Hour, SendQueue: 4 << 20,
					Resume:     ResumeConfig{Window: time.Minute, Buffer: 256 << 10},
					Serializer: json.NewSerializer(), Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				defer g.flushes.stop()
				var ids int64
				to := make([]*session.Session, members)
				all := make([]*Conn, members)
				for i := range to {
					c := newConn(g, away{})
					c.websocket = form.websocket
					if form.kept {
						c.res.Store(&resumable{front: c, carrier: c})
					}
					ids++
					c.sess = session.NewWithID(c, ids)
					to[i], all[i] = c.sess, c
				}
				data := []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
				var queueing time.Duration
				b.ReportAllocs()
				b.ResetTimer()
				deliveries := 0
				for range b.N {
					began := time.Now()
					for range together {
						if err := g.Multicast("onIt", data, to); err != nil {
							b.Fatal(err)
						}
					}
					queueing += time.Since(began)
					for _, c := range all {
						c.Flush()
						if r := c.res.Load(); r != nil && r.Out.Sent()-r.Out.Base() >= 100 {
							if err := r.Out.Acknowledge(r.Out.Sent()); err != nil {
								b.Fatal(err)
							}
						}
					}
					g.flushes.mu.Lock()
					g.flushes.later = emptied(g.flushes.later)
					g.flushes.mu.Unlock()
					g.flushes.round.Add(1)
					deliveries += together * members
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(deliveries), "ns/delivery")
				b.ReportMetric(float64(queueing.Nanoseconds())/float64(deliveries), "queue-ns/delivery")
			})
		}
	}
}
