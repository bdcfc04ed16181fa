package gate

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

const batch = `{"sys":{"accept":["batch","gzip","error"]}}`

// messages reads WebSocket messages until they held n data packets, and returns how many packets
// each held.
func messages(t *testing.T, c *nanotest.Client, n int) (counts []int, payloads []string) {
	t.Helper()
	for len(payloads) < n {
		b, err := c.NextWS()
		if err != nil {
			t.Fatalf("after %v: %v", counts, err)
		}
		d := codec.NewDecoder(0)
		d.Feed(b)
		count := 0
		for {
			p, ok, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			count++
			if p.Type == codec.Data {
				m, err := nanotest.Decode(p.Body, nil)
				if err != nil {
					t.Fatal(err)
				}
				payloads = append(payloads, string(m.Data))
			}
		}
		if d.Partial() {
			t.Fatal("a message ends inside a packet")
		}
		counts = append(counts, count)
	}
	return counts, payloads
}

// Clients in use read one packet a message and drop the rest: several in one only go to who said
// that it can.
func TestWebSocketMessages(t *testing.T) {
	for _, row := range []struct {
		name   string
		delay  time.Duration
		accept string
		merged bool
	}{
		{"no delay, old client", 0, "{}", false},
		{"no delay, new client", 0, batch, false},
		{"delay, old client", 5 * time.Millisecond, "{}", false},
		{"delay, new client", 5 * time.Millisecond, batch, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.WriteDelay = row.delay })
				c, s := w.join(t, true, row.accept)
				var want []string
				for i := range 300 {
					data := strings.Repeat(fmt.Sprint(i%10), i*7%2000)
					want = append(want, data)
					var err error
					if i%2 == 0 {
						err = s.Push("onIt", []byte(data))
					} else {
						err = w.Multicast("onIt", []byte(data), []*session.Session{s})
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				counts, got := messages(t, c, 300)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Error("not all came, or in another order")
				}
				if merged := len(counts) < 300; merged != row.merged {
					t.Errorf("300 packets came in %d messages", len(counts))
				}
				// The end of it: what is queued, the kick, and a close frame of its own.
				for _, p := range []string{"a", "b"} {
					if err := s.Push("onIt", []byte(p)); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Kick("bye"); err != nil {
					t.Fatal(err)
				}
				if a, b := c.Push("onIt"), c.Push("onIt"); string(a)+string(b) != "ab" {
					t.Errorf("got %q, %q", a, b)
				}
				if got := c.Kicked(); got != "bye" {
					t.Errorf("kicked: %q", got)
				}
				var closed *nanotest.ClosedError
				if _, err := c.Next(); !errors.As(err, &closed) || closed.Code != wsframe.CloseNormal {
					t.Errorf("the end: %v", err)
				}
			})
		})
	}
}

// The header of a WebSocket frame has three lengths; a packet at each border must lie right behind
// its own.
func TestWebSocketHeaderBorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, s := w.join(t, true, "{}")
		for _, border := range []int{125, 126, 65535, 65536} {
			for n := border - 24; n < border+8; n++ {
				if err := s.Push("onIt", bytes.Repeat([]byte("x"), n)); err != nil {
					t.Fatal(err)
				}
				if got := c.Push("onIt"); len(got) != n {
					t.Fatalf("%d bytes came as %d", n, len(got))
				}
			}
			c.Heartbeat()
		}
	})
}

// Payloads are compressed for whoever can decompress them, where that makes them smaller, and
// decompressed whoever sends them.
func TestGzipBothWays(t *testing.T) {
	text := []byte(strings.Repeat("the same again and again, ", 200))
	noise := make([]byte, 5000) // packs to more than it is
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		accept  string
		payload []byte
		gzip    bool
	}{
		{"long", batch, text, true},
		{"long, old client", "{}", text, false},
		{"noise", batch, noise, false},
		{"short", batch, []byte("short"), false},
		{"at the limit", batch, bytes.Repeat([]byte("a"), 100), true},
		{"below the limit", batch, bytes.Repeat([]byte("a"), 99), false},
	} {
		for _, websocket := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, websocket %v", row.name, websocket), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func(c *Config) { c.GzipMin = 100 })
					c, s := w.join(t, websocket, row.accept)
					want := func(what string, m *codec.Message) {
						t.Helper()
						if !bytes.Equal(m.Data, row.payload) || m.Gzip != row.gzip {
							t.Errorf("%s: compressed %v, %d bytes, the same %v", what, m.Gzip, len(m.Data), bytes.Equal(m.Data, row.payload))
						}
					}
					want("response", c.Call("T.Echo", row.payload))
					if err := s.Push("onIt", row.payload); err != nil {
						t.Fatal(err)
					}
					want("push", c.Message())
					if err := w.Multicast("onIt", row.payload, []*session.Session{s}); err != nil {
						t.Fatal(err)
					}
					want("broadcast", c.Message())

					var z bytes.Buffer
					g := gzip.NewWriter(&z)
					_, _ = g.Write(row.payload)
					_ = g.Close()
					c.WriteMessage(&codec.Message{Type: codec.Request, ID: 77, Route: "T.Echo", Data: z.Bytes(), Gzip: true})
					if row.accept == batch { // where it was not agreed, the bit is ignored
						want("request", c.Response(77))
					}
				})
			})
		}
	}

	t.Run("bad input", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.GzipMin = 100 })
			c, _ := w.join(t, false, batch)
			var zipped bytes.Buffer
			g := gzip.NewWriter(&zipped)
			_, _ = g.Write(make([]byte, 30<<10))
			_ = g.Close()
			for i, data := range [][]byte{[]byte("no gzip"), nil, zipped.Bytes()[:zipped.Len()/2]} {
				m := &codec.Message{Type: codec.Request, ID: uint64(100 + i), Route: "T.Echo", Data: data, Gzip: true}
				c.WriteMessage(m)
				if got := c.Response(m.ID); !got.Err || !strings.Contains(string(got.Data), "invalid_argument") {
					t.Errorf("input %d was answered with %v", i, got)
				}
			}
			if m := c.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
				t.Errorf("got %v", m)
			}
		})
	})
}

// A broadcast reaches every kind of client in its own form, in the order of what each is sent
// besides.
func TestMulticastToAllKinds(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := pipeline.New()
			w := newWorld(t, func(c *Config) { c.WriteDelay, c.GzipMin, c.Pipeline = time.Millisecond, 100, p })
			if filtered {
				p.Outbound().PushBack(func(s *session.Session, m *pipeline.Message) error {
					m.Data = append(bytes.Clone(m.Data), fmt.Sprintf("for %d", s.ID())...)
					return nil
				})
			}
			var clients []*nanotest.Client
			var sessions []*session.Session
			for _, websocket := range []bool{false, true} {
				for _, accept := range []string{"{}", batch} {
					for range 40 {
						c, s := w.join(t, websocket, accept)
						clients, sessions = append(clients, c), append(sessions, s)
					}
				}
			}
			gone := sessions[3]
			gone.Close()
			synctest.Wait()
			for i, s := range sessions {
				if i != 3 {
					if err := s.Push("before", []byte("b")); err != nil {
						t.Fatal(err)
					}
				}
			}
			err := w.Multicast("onAll", bytes.Repeat([]byte("z"), 500), sessions)
			if err != nil { // who speaks in a room cannot help it that somebody leaves
				t.Errorf("with one that is gone: %v", err)
			}
			for i, c := range clients {
				if i == 3 {
					continue
				}
				want := strings.Repeat("z", 500)
				if filtered {
					want += fmt.Sprintf("for %d", sessions[i].ID())
				}
				c.Push("before")
				if got := c.Push("onAll"); string(got) != want {
					t.Fatalf("client %d got %q", i, got)
				}
			}
		})
	}
}

// A queue that is full is a client that does not read: it is kicked with that reason, or loses what
// does not fit, as the application chose; and whoever pushes is told and never waits.
func TestSlowConsumer(t *testing.T) {
	for _, drop := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.SendQueue, c.DropSlow = 10_000, drop })
			c, s := w.join(t, false, "{}")
			var err error
			sent := 0
			began := time.Now()
			for err == nil && sent < 1000 {
				if err = s.Push("onIt", make([]byte, 100)); err == nil {
					sent++
				}
			}
			if !errors.Is(err, ErrBufferExceed) || sent < 80 || sent > 100 {
				t.Errorf("drop %v: after %d pushes: %v", drop, sent, err)
			}
			if time.Since(began) > 0 {
				t.Errorf("drop %v: Push waited", drop)
			}
			for range sent {
				c.Push("onIt")
			}
			synctest.Wait()
			if drop {
				if err := s.Push("onIt", []byte("again")); err != nil {
					t.Errorf("with room again: %v", err)
				}
				if got := c.Push("onIt"); string(got) != "again" {
					t.Errorf("got %q", got)
				}
				if got := w.counters.Dropped.Load(); got != 1 {
					t.Errorf("%d counted as dropped", got)
				}
				return
			}
			if err := s.Push("onIt", nil); !errors.Is(err, ErrBrokenPipe) {
				t.Errorf("after the kick: %v", err)
			}
			if got := c.Kicked(); got != "slow consumer" {
				t.Errorf("kicked: %q", got)
			}
			c.Ended()
			if got := w.counters.SlowKicked.Load(); got != 1 {
				t.Errorf("%d counted as kicked for it", got)
			}
		})
	}
}

// A close flushes what was queued before, in its time and no longer.
func TestCloseFlushesWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Heartbeat, c.WriteTimeout = time.Minute, time.Minute })
		_, s := w.join(t, false, "{}")
		if err := s.Push("onIt", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if err := w.snapshot()[0].Close(); !errors.Is(err, ErrCloseClosedSession) {
			t.Errorf("a second Close: %v", err)
		}
		began := time.Now()
		for w.Len() > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(began); d < 2*time.Second || d > 2100*time.Millisecond {
			t.Errorf("a client that does not read was held for %v, want 2 s", d)
		}
		if got := w.closed.Load(); got != 1 {
			t.Errorf("its end was told %d times", got)
		}
	})
}
