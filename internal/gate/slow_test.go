package gate

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/nanotest"
)

func queuedBytes(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queuedBytesLocked()
}

// fill queues n pushes of 64 KiB.
func fill(t *testing.T, s interface{ Push(string, any) error }, n int) {
	t.Helper()
	for range n {
		if err := s.Push("onIt", make([]byte, 64<<10-100)); err != nil {
			t.Fatal(err)
		}
	}
}

// A little that is queued costs little: a phone that reads a burst at 6 KiB a second gets all of
// it.
func TestAShortQueueMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Heartbeat, c.WriteTimeout = time.Hour, 10*time.Second })
		c, s := w.join(t, false, "{}")
		fill(t, s, 4)
		if err := c.Conn().SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 6<<10)
		for read := 0; read+len(buf) < 4*(64<<10-100); read += len(buf) {
			if _, err := io.ReadFull(c.Conn(), buf); err != nil {
				t.Fatalf("after %d bytes: %v", read, err)
			}
			time.Sleep(time.Second)
		}
		// A byte a second is not reading.
		fill(t, s, 3)
		for began := time.Now(); w.Len() > 0; time.Sleep(time.Second) {
			if _, err := io.ReadFull(c.Conn(), buf[:1]); err != nil || time.Since(began) > time.Minute {
				break
			}
		}
		synctest.Wait()
		if w.Len() != 0 {
			t.Error("a client that reads a byte a second is still there after a minute")
		}
	})
}

// A client that takes a little now and then, just before each deadline, must not hold megabytes for
// minutes. One that is slow and steady is served.
func TestWritesHaveAFloorRate(t *testing.T) {
	for name, reader := range map[string]struct {
		bytes int
		each  time.Duration
		stays bool
	}{
		"64 KiB each 8 s":  {64 << 10, 8 * time.Second, false},
		"1 KiB each 100ms": {1 << 10, 100 * time.Millisecond, false},
		"20 KiB a second":  {20 << 10, time.Second, true},
		"a byte a second":  {1, time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Heartbeat, c.WriteTimeout = time.Hour, 10*time.Second })
			c, s := w.join(t, false, "{}")
			fill(t, s, 32)
			began := time.Now()
			buf := make([]byte, reader.bytes)
			for w.Len() > 0 && time.Since(began) < 90*time.Second {
				if _, err := io.ReadFull(c.Conn(), buf); err != nil {
					break
				}
				time.Sleep(reader.each)
			}
			synctest.Wait()
			if gone := w.Len() == 0; gone == reader.stays {
				t.Errorf("%s: after %v gone: %v", name, time.Since(began), gone)
			}
		})
	}
}

// Many clients that do not read hold no more than the cap together, and the one with the largest
// queue goes first.
func TestCapOfAllQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.SendQueues, c.WriteTimeout = 2<<20, time.Hour; c.Heartbeat = time.Hour })
		for i := range 10 {
			_, s := w.join(t, false, "{}")
			fill(t, s, 4)
			if i == 3 {
				fill(t, s, 4) // the largest
			}
			synctest.Wait()
			if n := w.heavies.queued.Load(); n > 2<<20 {
				t.Errorf("after %d clients %d bytes are queued", i+1, n)
			}
		}
		if n := w.counters.SlowKicked.Load(); n == 0 || n > 5 {
			t.Errorf("%d sessions were cut", n)
		}
		if w.closed.Load() != int32(w.counters.SlowKicked.Load()) {
			t.Error("the ends of those that were cut were not told once each")
		}
		c, s := w.join(t, false, "{}")
		fill(t, s, 1)
		c.Push("onIt")
		for _, conn := range w.snapshot() {
			if conn.weight > 4<<16 {
				t.Errorf("a queue of %d bytes was left, and smaller ones were cut", conn.weight)
			}
			conn.cut()
		}
		synctest.Wait()
		if n := w.heavies.queued.Load(); n != 0 {
			t.Errorf("%d bytes are counted, and nobody is left", n)
		}
	})
}

// What the kernel holds for a client that does not read is bounded, and dropped with the
// connection: when the time to flush after a kick is over, and when the time to write is.
func TestKernelHoldsLittleForASlowReader(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what the kernel holds is known on Linux only")
	}
	for name, row := range map[string]struct {
		write, flush time.Duration
		kick         bool
		queued       int
	}{
		"kicked":                        {time.Minute, 100 * time.Millisecond, true, 16 << 20},
		"kicked, no time left to write": {100 * time.Millisecond, time.Minute, true, 16 << 20},
		"too slow":                      {100 * time.Millisecond, time.Minute, false, 16 << 20},
		"too slow for a short queue":    {100 * time.Millisecond, time.Minute, false, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) {
				c.SendQueue, c.FlushTimeout, c.WriteTimeout, c.Heartbeat = 32<<20, row.flush, row.write, time.Minute
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			w.ServeTCP(l, nil)
			c := nanotest.Dial(t, l.Addr())
			c.Ready()
			s := <-w.opened
			conn := w.snapshot()[0]
			w.BatchBegin() // so that a short queue is one write
			for s.Push("onIt", make([]byte, 64<<10-100)) == nil && queuedBytes(conn) < row.queued {
			}
			w.BatchEnd()
			w.Help(func() bool { return false })
			if n := conn.sock.Unsent(); n > 1<<20 {
				t.Errorf("the kernel holds %d bytes for a client that does not read", n)
			}
			if row.kick {
				_ = s.Kick("too slow") // it may have ended by itself
			}
			nanotest.Until(t, "the connection is gone", func() bool { return w.Len() == 0 })
			_ = c.Conn().SetReadDeadline(time.Now().Add(nanotest.Patience)) // what is queued may have taken long
			if _, err := io.Copy(io.Discard, c.Conn()); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client's connection ended with %v, want a reset: the kernel holds the rest", err)
			}
		})
	}
}
