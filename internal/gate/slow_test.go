package gate

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
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
// it. TLS takes the first write that is late for its end, so none may be.
func TestAShortQueueMayTakeItsTime(t *testing.T) {
	cert := nanotest.NewTLS(t)
	for name, dial := range map[string]func(t *testing.T, w *world) *nanotest.Client{
		"tcp": func(t *testing.T, w *world) *nanotest.Client { return w.tcp.Client(t) },
		"tls": func(t *testing.T, w *world) *nanotest.Client {
			l := nanotest.NewListener()
			w.ServeTCP(l, cert.Server)
			return nanotest.NewClient(t, secure(t, l, cert))
		},
		"websocket over tls": func(t *testing.T, w *world) *nanotest.Client {
			l := nanotest.NewListener()
			w.ServeWebSocket(l, "/", cert.Server)
			return nanotest.WebSocket(t, secure(t, l, cert))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Heartbeat, c.WriteTimeout = time.Hour, 10*time.Second })
				c := dial(t, w)
				c.Ready()
				s := <-w.opened
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
		})
	}
}

// secure connects with TLS.
func secure(t *testing.T, to *nanotest.Listener, cert nanotest.TLS) net.Conn {
	t.Helper()
	nc, err := to.Dial()
	if err != nil {
		t.Fatal(err)
	}
	return tls.Client(nc, cert.Client)
}

// The kernel tells of room when a third of its buffer is free. A client that frees less within the
// write timeout, and more than the floor, is not one that takes nothing.
func TestSlowReaderOfASocketGetsAll(t *testing.T) {
	t.Parallel()
	cert := nanotest.NewTLS(t)
	for name, row := range map[string]struct {
		change func(c *Config)
		client func(nc net.Conn) net.Conn
		conf   *tls.Config
	}{
		"loop":     {change: func(c *Config) { c.Portable = false }},
		"portable": {change: func(c *Config) { c.Portable = true }},
		"tls":      {client: func(nc net.Conn) net.Conn { return tls.Client(nc, cert.Client) }, conf: cert.Server},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *Config) {
				c.Heartbeat, c.WriteTimeout = time.Minute, 2*time.Second
				if row.change != nil {
					row.change(c)
				}
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			w.ServeTCP(l, row.conf)
			nc := dialed(t, l.Addr())
			if err := nc.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			if row.client != nil {
				nc = row.client(nc)
			}
			c := nanotest.NewClient(t, nc)
			c.Ready()
			const size = 24 * (64<<10 - 100)
			fill(t, <-w.opened, 24)
			if err := nc.SetReadDeadline(time.Now().Add(nanotest.Patience)); err != nil {
				t.Fatal(err)
			}
			buf, read := make([]byte, 6<<10), 0
			for began := time.Now(); time.Since(began) < 3*time.Second; read += len(buf) {
				if _, err := io.ReadFull(nc, buf); err != nil {
					t.Fatalf("after %d bytes and %v: %v", read, time.Since(began), err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if n, err := io.CopyN(io.Discard, nc, int64(size-read)); err != nil {
				t.Errorf("after %d bytes: %v", int64(read)+n, err)
			}
		})
	}
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
			if conn.weighed > 4<<16 {
				t.Errorf("a queue of %d bytes was left, and smaller ones were cut", conn.weighed)
			}
			conn.cut()
		}
		synctest.Wait()
		if n := w.heavies.queued.Load(); n != 0 {
			t.Errorf("%d bytes are counted, and nobody is left", n)
		}
	})
}

// What waits for many is in memory once, and counts once for the cap, whatever its form. What a
// client has of its own counts in full, and it is that client that is cut.
func TestCapOfAllQueuesCountsWhatIsSharedOnce(t *testing.T) {
	const members, limit = 40, 2 << 20
	for name, kind := range map[string]struct {
		websocket       bool
		body            string
		messages, bytes int
		delay           time.Duration
	}{
		"tcp":                  {false, "{}", 300, 1 << 10, 0},
		"websocket":            {true, "{}", 300, 1 << 10, 0},
		"websocket with batch": {true, batch, 300, 1 << 10, time.Millisecond},
		"one large message":    {false, "{}", 2, 300 << 10, 0}, // the first is being written
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) {
					c.SendQueues, c.WriteTimeout, c.Heartbeat, c.WriteDelay = limit, time.Hour, time.Hour, kind.delay
				})
				var clients []*nanotest.Client
				var to []*session.Session
				for range members {
					c, s := w.join(t, kind.websocket, kind.body)
					clients, to = append(clients, c), append(to, s)
				}
				sent := 0
				send := func(messages int) {
					for range messages {
						if err := w.Multicast("onIt", bytes.Repeat([]byte{byte(sent)}, kind.bytes), to); err != nil {
							t.Fatal(err)
						}
						sent++
						time.Sleep(kind.delay) // the bubble's clock, on which the delay runs
						synctest.Wait()
					}
					if n := w.counters.SlowKicked.Load(); n > 0 {
						t.Fatalf("%d of %d were cut; %d bytes are queued in all", n, members, w.heavies.queued.Load())
					}
				}
				read := func(i int) {
					for _, c := range clients {
						if got := c.Push("onIt"); len(got) != kind.bytes || got[0] != byte(i) {
							t.Fatalf("message %d is %d bytes of another", i, len(got))
						}
					}
				}
				send(kind.messages)
				if f := w.Figures(); f.Slow != members || f.Queued < int64(members*(kind.bytes*(kind.messages-1)-weighFrom)) {
					t.Errorf("figures: %d slow clients have %d bytes queued", f.Slow, f.Queued)
				}
				read(0) // all that waits is being written from then on
				send(1)

				_, s := w.join(t, kind.websocket, kind.body)
				for range 35 {
					if err := s.Push("onIt", make([]byte, 64<<10-100)); err != nil && !errors.Is(err, ErrBrokenPipe) {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				if n := w.counters.SlowKicked.Load(); n != 1 || w.Len() != members {
					t.Errorf("%d were cut, and %d members of %d are there", n, w.Len(), members)
				}

				for i := 1; i < sent; i++ {
					read(i)
				}
				synctest.Wait()
				if n := w.heavies.queued.Load(); n != 0 {
					t.Errorf("%d bytes are counted, and all is read", n)
				}
			})
		})
	}
}

// Clients share what waits for them with those who have stopped at the same message.
func TestCapOfAllQueuesCountsOnceForEachStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members, messages, size = 60, 300, 1 << 10
		w := newWorld(t, func(c *Config) { c.SendQueues, c.WriteTimeout, c.Heartbeat = 6<<20, time.Hour, time.Hour })
		var clients []*nanotest.Client
		var to []*session.Session
		for range members {
			c, s := w.join(t, false, "{}")
			clients, to = append(clients, c), append(to, s)
		}
		send := func() {
			if err := w.Multicast("onIt", make([]byte, size), to); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		const stops = 12
		for stop := range stops { // each twelfth stops at the first message, then those beside
			send()
			for i, c := range clients {
				if i%stops > stop {
					c.Push("onIt")
				}
			}
			synctest.Wait()
		}
		for range messages {
			send()
		}
		if n := w.counters.SlowKicked.Load(); n > 0 {
			t.Errorf("%d of %d were cut; %d bytes are queued in all", n, members, w.heavies.queued.Load())
		}
		if n := w.heavies.queued.Load(); n < messages*size {
			t.Errorf("%d bytes are counted, and %d are there", n, messages*size)
		}
	})
}

// What comes between broadcasts for many leaves it shared: heartbeats, each client's at another
// time, and messages that replace older ones.
func TestCapOfAllQueuesCountsOnceBesideOthers(t *testing.T) {
	const members, messages, size = 60, 300, 1 << 10
	beats := func(*world, int, []*session.Session) error {
		time.Sleep(10 * time.Millisecond) // the bubble's clock, which the heartbeats go by
		return nil
	}
	for name, row := range map[string]struct {
		world    func(*testing.T, ...func(*Config)) *world
		greeting string
		between  func(w *world, i int, to []*session.Session) error
	}{
		"heartbeats":                        {newWorld, "{}", beats},
		"heartbeats that say how many came": {newResumingWorld, greetingOf("", 0), beats},
		"messages that replace others": {newWorld, "{}", func(w *world, i int, to []*session.Session) error {
			return w.MulticastAs("at", make([]byte, size+3*size*(i%2)), session.DeliverLatest, "key", to)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := row.world(t, func(c *Config) { c.SendQueues, c.WriteTimeout, c.MissedBeats = 6<<20, time.Hour, 1000 })
				var to []*session.Session
				for range members {
					_, s := w.join(t, false, row.greeting)
					to = append(to, s)
				}
				for i := range messages {
					if err := w.Multicast("onIt", make([]byte, size), to); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if err := row.between(w, i, to); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				if n := w.counters.SlowKicked.Load(); n > 0 {
					t.Errorf("%d of %d were cut; %d bytes are queued in all", n, members, w.heavies.queued.Load())
				}
			})
		})
	}
}

// A queue that others have too becomes a client's own with the first message that is for it alone,
// and counts in full from then on.
func TestCapOfAllQueuesKnowsWhatIsNoLongerShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members, messages, size = 40, 300, 1 << 10
		w := newWorld(t, func(c *Config) { c.SendQueues, c.WriteTimeout, c.Heartbeat = 2<<20, time.Hour, time.Hour })
		var to []*session.Session
		for range members {
			_, s := w.join(t, false, "{}")
			to = append(to, s)
		}
		for range messages {
			if err := w.Multicast("onIt", make([]byte, size), to); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for _, s := range to {
			if err := s.Push("own", []byte("x")); err != nil && !errors.Is(err, ErrBrokenPipe) {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n := w.heavies.queued.Load(); n > 2<<20 {
			t.Errorf("%d bytes are queued", n)
		}
		if n := w.Len(); n*(messages*size-weighFrom) > 2<<20 || n < 3 {
			t.Errorf("%d members are left, each with %d bytes of its own", n, messages*size)
		}
	})
}

// A queue that has become small counts no more, though its client has read nothing: what was large
// was replaced.
func TestCapOfAllQueuesKnowsWhatWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, classes, func(c *Config) { c.SendQueues = 2 << 20 })
		c, s := hold(w, false, false)
		stall(c, true)
		for _, size := range []int{1 << 20, 1 << 10} {
			if err := s.Push("latest", append([]byte("a="), make([]byte, size)...)); err != nil {
				t.Fatal(err)
			}
			if n := w.heavies.queued.Load(); size > weighFrom && n < int64(size) || size < weighFrom && n != 0 {
				t.Errorf("with %d bytes queued %d are counted", size, n)
			}
		}
		takeOutput(t, c)
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
