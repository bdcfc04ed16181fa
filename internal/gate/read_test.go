package gate

import (
	"bytes"
	"compress/gzip"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

// counts is a notify to W.Count.
func counts(t *testing.T, payload []byte, flags codec.Flags) []byte {
	t.Helper()
	b, err := codec.AppendData(nil, codec.Notify, 0, "W.Count", payload, flags, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A scheduler stands still, and a client sends it what unpacks to many times its bytes. As with any
// other input, the lane takes what it may, and the rest waits at the client: one read must not
// bring megabytes that no bound counts.
func TestCompressedInputIsBounded(t *testing.T) {
	zeros := make([]byte, 64<<10)
	for _, row := range []struct {
		name     string
		gzip     bool
		each     []byte // messages that are compressed together
		in, sent int    // how many are in each, and how often it is sent
		most     int    // messages that may be taken in: those of a full lane, and some bytes more
	}{
		{"large messages, deflated", false, counts(t, zeros, 0), 1, 150, 20},
		{"small messages, deflated", false, bytes.Repeat(counts(t, nil, 0), 5000), 5000, 10, 6000},
		{"gzip", true, zeros, 1, 150, 20},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, portable func(*Config)) {
				var passed atomic.Int32
				w := newWorld(t, portable, func(c *Config) {
					c.MaxPacket, c.CompressMin, c.GzipMin, c.Heartbeat = 128<<10, 1<<20, 1<<20, time.Minute
					c.Pipeline = pipeline.New()
					c.Pipeline.Inbound().PushBack(func(*session.Session, *pipeline.Message) error {
						passed.Add(1)
						return nil
					})
				})
				tcp, ws := w.sockets(t)
				connect, at := deflating, ws
				if row.gzip {
					connect, at = gzipping, tcp
				}
				c, one := connect(t, at, row.each)
				conn := (<-w.opened).NetworkEntity().(*Conn)
				c.Request("W.Wait", nil)
				<-w.slow.waits
				passed.Store(0)
				if err := c.SendRaw(bytes.Repeat(one, row.sent)); err != nil { // one read, or two
					t.Fatal(err)
				}
				lane := min(512, row.most-4)
				nanotest.Until(t, "the lane is full", func() bool { return conn.busy.Load() && w.slow.sched.Stats().Queued >= lane })
				if n := int(passed.Load()); n > row.most {
					t.Errorf("%d of %d messages were taken in, want %d at most", n, row.in*row.sent, row.most)
				}
				w.slow.goesOn <- struct{}{}
				nanotest.Until(t, "all are served", func() bool { return int(w.slow.served.Load()) == row.in*row.sent })
			})
		})
	}
}

// deflating connects a client with compression agreed, and returns what sends some packets
// compressed.
func deflating(t *testing.T, at net.Addr, packets []byte) (*nanotest.Client, []byte) {
	t.Helper()
	nc, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := nanotest.Upgrade(t, nc, "/", http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Ready()
	return c, wsframe.AppendMasked(nil, rsv1|wsframe.OpBinary, true, [4]byte{1, 2, 3, 4}, deflated(t, packets))
}

// gzipping connects a client with gzip agreed, and returns what sends a payload compressed.
func gzipping(t *testing.T, at net.Addr, payload []byte) (*nanotest.Client, []byte) {
	t.Helper()
	c := nanotest.Dial(t, at)
	c.Ready(`{"sys":{"accept":["gzip"]}}`)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(payload) // a bytes.Buffer takes everything
	_ = z.Close()
	return c, counts(t, b.Bytes(), codec.FlagGzip)
}

// A component stands still, and what came for it holds up what came behind it in the same read. The
// reader does not see heartbeats meanwhile: its client is not silent.
func TestReaderThatWaitsWithinAReadIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.dial(t, false)
		c.Ready()
		c.Request("W.Wait", nil)
		<-w.slow.waits
		time.AfterFunc(10*time.Second, func() { w.slow.goesOn <- struct{}{} })
		behind, err := codec.AppendData(nil, codec.Notify, 0, "T.Echo", nil, 0, nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = c.SendRaw(append(bytes.Repeat(counts(t, nil, 0), 600), behind...))
			for w.slow.served.Load() < 600 {
				time.Sleep(time.Second) // the bubble's clock
			}
			_ = c.SendRaw(echoes(t, 1))
		}()
		c.Response(1)
	})
}
