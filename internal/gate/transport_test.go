package gate

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// eachTransport runs a test of real sockets with each transport.
func eachTransport(t *testing.T, test func(t *testing.T, portable func(*Config))) {
	t.Helper()
	for _, portable := range []bool{false, true} {
		name := "loop"
		if portable {
			name = "portable"
		}
		t.Run(name, func(t *testing.T) { test(t, func(c *Config) { c.Portable = portable }) })
	}
}

// sockets opens an endpoint of each kind on 127.0.0.1.
func (w *world) sockets(t *testing.T) (tcp, ws net.Addr) {
	t.Helper()
	var at [2]net.Addr
	for i := range at {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at[i] = l.Addr()
		if i == 0 {
			w.ServeTCP(l, nil)
		} else {
			w.ServeWebSocket(l, "/", nil)
		}
	}
	return at[0], at[1]
}

// gateway blocks whoever comes with the word, until it is opened.
type gateway struct {
	once    sync.Once
	arrived chan struct{}
	opened  chan struct{}
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{arrived: make(chan struct{}), opened: make(chan struct{})}
	t.Cleanup(g.open)
	return g
}

const blockWord = "block me"

func (g *gateway) pass(s string) {
	if strings.Contains(s, blockWord) {
		select {
		case g.arrived <- struct{}{}:
		case <-g.opened:
		}
		<-g.opened
	}
}

func (g *gateway) open() { g.once.Do(func() { close(g.opened) }) }

// slowSerializer is JSON that waits.
type slowSerializer struct {
	json.Serializer
	gateway *gateway
}

func (s *slowSerializer) Unmarshal(data []byte, v any) error {
	s.gateway.pass(string(data))
	return s.Serializer.Unmarshal(data, v)
}

// What belongs to the application may wait. If it held up the connections that share a loop with
// the one it waits for, one slow look-up would stop a node's players.
func TestWhoWaitsHoldsUpNobody(t *testing.T) {
	for _, row := range []struct {
		name  string
		hook  func(c *Config, g *gateway)
		block func(t *testing.T, tcp, ws net.Addr) (done func()) // comes to the gateway; done sees that it goes on behind it
	}{
		{"handshake hook", func(c *Config, g *gateway) {
			c.Handshake = func(_ *session.Session, h *session.Handshake) error { g.pass(string(h.Payload)); return nil }
		}, func(t *testing.T, tcp, _ net.Addr) func() {
			c := nanotest.Dial(t, tcp)
			c.WritePacket(codec.Handshake, []byte(`{"sys":{"version":"`+blockWord+`"}}`))
			return func() {
				if p := c.Packet(); p.Type != codec.Handshake {
					t.Errorf("got %v", p)
				}
				c.Ack()
				isServed(t, c)
			}
		}},
		{"origin check", func(c *Config, g *gateway) {
			c.CheckOrigin = func(r *http.Request) bool { g.pass(r.Header.Get("Origin")); return true }
		}, func(t *testing.T, _, ws net.Addr) func() {
			nc := dialed(t, ws)
			in := make(chan *nanotest.Client, 1)
			go func() {
				defer close(in)
				if c, err := nanotest.Upgrade(t, nc, "/", http.Header{"Origin": {blockWord}}); err == nil {
					in <- c
				}
			}()
			return func() {
				c := <-in
				if c == nil {
					t.Fatal("the upgrade failed")
				}
				c.Ready()
				isServed(t, c)
			}
		}},
		{"filter", func(c *Config, g *gateway) {
			c.Pipeline = pipeline.New()
			c.Pipeline.Inbound().PushBack(func(_ *session.Session, m *pipeline.Message) error { g.pass(string(m.Data)); return nil })
		}, blockByMessage("T.Echo")},
		{"serializer", func(c *Config, g *gateway) { c.Serializer = &slowSerializer{gateway: g} }, blockByMessage("T.Typed")},
		{"page", func(c *Config, g *gateway) {
			c.Pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				g.pass(r.Header.Get("Word"))
				_, _ = io.WriteString(w, "a page")
			})
		}, func(t *testing.T, _, ws net.Addr) func() {
			nc := dialed(t, ws)
			if _, err := fmt.Fprintf(nc, "GET /page HTTP/1.1\r\nHost: x\r\nWord: %s\r\nConnection: close\r\n\r\n", blockWord); err != nil {
				t.Fatal(err)
			}
			return func() {
				if b, err := io.ReadAll(nc); err != nil || !strings.HasSuffix(string(b), "a page") {
					t.Errorf("got %q, %v", b, err)
				}
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, portable func(*Config)) {
				g := newGateway(t)
				w := newWorld(t, portable, func(c *Config) { c.Heartbeat = time.Minute; row.hook(c, g) })
				tcp, ws := w.sockets(t)
				before := nanotest.Dial(t, tcp)
				before.Ready()
				done := row.block(t, tcp, ws)
				<-g.arrived
				isServed(t, before)
				for _, c := range []*nanotest.Client{nanotest.Dial(t, tcp), nanotest.DialWebSocket(t, ws)} {
					c.Ready()
					isServed(t, c)
				}
				g.open()
				done()
				isServed(t, before)
			})
		})
	}
}

func dialed(t *testing.T, to net.Addr) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// isServed sees that a client is served, in order.
func isServed(t *testing.T, c *nanotest.Client) {
	t.Helper()
	var ids []uint64
	for i := range 3 {
		ids = append(ids, c.Request("T.Echo", fmt.Append(nil, i)))
	}
	for i, id := range ids {
		if m := c.Message(); m.ID != id || string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("got %v, want answer %d", m, i)
		}
	}
}

// blockByMessage has a message come to the gateway, with others before and behind it.
func blockByMessage(route string) func(t *testing.T, tcp, ws net.Addr) func() {
	return func(t *testing.T, tcp, _ net.Addr) func() {
		c := nanotest.Dial(t, tcp)
		c.Ready()
		ids := []uint64{c.Request("T.Echo", []byte("first")), c.Request(route, []byte(`"`+blockWord+`"`))}
		for range 5 {
			ids = append(ids, c.Request("T.Echo", []byte("behind")))
		}
		return func() {
			t.Helper()
			ids = append(ids, c.Request("T.Echo", []byte("last")))
			for _, id := range ids {
				if m := c.Message(); m.ID != id {
					t.Fatalf("got %v, want an answer to %d", m, id)
				}
			}
		}
	}
}

// A session that has to wait for a full scheduler, for another node or for its rate is not read,
// and costs others nothing.
func TestSessionsThatWaitAreNotRead(t *testing.T) {
	eachTransport(t, func(t *testing.T, portable func(*Config)) {
		w := newWorld(t, portable, func(c *Config) { c.Heartbeat = time.Minute })
		tcp, ws := w.sockets(t)
		for _, at := range []net.Addr{tcp, ws} {
			dial := nanotest.Dial
			if at == ws {
				dial = nanotest.DialWebSocket
			}
			c := dial(t, at)
			c.Ready()
			conn := (<-w.opened).NetworkEntity().(*Conn)
			until := make(chan struct{})
			conn.Pause(until)
			first := c.Request("T.Echo", []byte("read with the pause"))
			if m := c.Message(); m.ID != first {
				t.Fatalf("got %v", m)
			}
			in := w.counters.BytesIn.Load()
			second := c.Request("T.Echo", []byte("behind the pause"))
			other := dial(t, at)
			other.Ready()
			<-w.opened
			sent := w.counters.BytesIn.Load()
			isServed(t, other)
			if w.counters.BytesIn.Load() == sent || sent == in {
				t.Error("nothing of the other was read")
			}
			if !conn.busy.Load() {
				t.Error("the session does not wait")
			}
			close(until)
			if m := c.Message(); m.ID != second {
				t.Errorf("got %v", m)
			}
			isServed(t, c)
		}
	})
}

// The scheduler of a component stands still, and one of its clients floods it: the lane is full,
// and the reader waits.
func TestFullSchedulerHoldsUpNobody(t *testing.T) {
	eachTransport(t, func(t *testing.T, portable func(*Config)) {
		w := newWorld(t, portable, func(c *Config) { c.Heartbeat = time.Minute })
		tcp, _ := w.sockets(t)
		c := nanotest.Dial(t, tcp)
		c.Ready()
		conn := (<-w.opened).NetworkEntity().(*Conn)
		c.Request("W.Wait", nil)
		<-w.slow.waits
		const flood = 5000
		go func() {
			for range flood {
				if c.SendPacket(codec.Data, append([]byte{byte(codec.Notify) << 1, 7}, "W.Count"...)) != nil {
					return
				}
			}
		}()
		nanotest.Until(t, "the reader waits", conn.busy.Load)
		other := nanotest.Dial(t, tcp)
		other.Ready()
		isServed(t, other)
		w.slow.goesOn <- struct{}{}
		nanotest.Until(t, "all were served", func() bool { return w.slow.served.Load() == flood })
	})
}

// A thousand connections that say nothing have no goroutines, and what they hold is given back at
// their end.
func TestQuietConnectionsHaveNoGoroutines(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no event loop on this system")
	}
	w := newWorld(t, func(c *Config) { c.Portable, c.Heartbeat = false, time.Minute })
	tcp, ws := w.sockets(t)
	warm := nanotest.Dial(t, tcp)
	warm.Ready()
	before := runtime.NumGoroutine()
	const each = 500
	var all []*nanotest.Client
	for range each {
		for _, c := range []*nanotest.Client{nanotest.Dial(t, tcp), nanotest.DialWebSocket(t, ws)} {
			c.Ready()
			if m := c.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
				t.Fatalf("got %v", m)
			}
			all = append(all, c)
		}
	}
	nanotest.Until(t, "there are few goroutines", func() bool { return runtime.NumGoroutine() <= before+10 })
	for _, c := range all {
		c.Close()
	}
	nanotest.Until(t, "the connections are gone", func() bool { return w.Len() == 1 })
}

// Upgrades and pages come in pieces of any size, and pages on one connection one after the other.
func TestRequestsInPieces(t *testing.T) {
	eachTransport(t, func(t *testing.T, portable func(*Config)) {
		mux := http.NewServeMux()
		mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "page of %d bytes", len(b))
		})
		w := newWorld(t, portable, func(c *Config) { c.Pages = mux; c.Heartbeat = time.Minute })
		_, ws := w.sockets(t)
		upgrade := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		for _, row := range []struct{ name, send, want string }{
			{"upgrade", upgrade, "HTTP/1.1 101 Switching Protocols\r\n"},
			{"upgrade of one host too many", strings.Replace(upgrade, "Host: x", "Host: x\r\nHost: y", 1), "HTTP/1.1 400 "},
			{"upgrade without a host", strings.Replace(upgrade, "Host: x\r\n", "", 1), "HTTP/1.1 400 "},
			{"upgrade with a version of old", strings.Replace(upgrade, ": 13", ": 8", 1), "HTTP/1.1 426 "},
			{"upgrade of HTTP/1.0", strings.Replace(upgrade, "HTTP/1.1", "HTTP/1.0", 1), "505 "},
			{"upgrade without a key", strings.Replace(upgrade, "Sec-WebSocket-Key", "Key", 1), "HTTP/1.1 400 "},
			{"upgrade of many fields", strings.Replace(upgrade, "\r\n\r\n", strings.Repeat("\r\nA: b", 200)+"\r\n\r\n", 1), "HTTP/1.1 431 "},
			{"page", "GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "page of 0 bytes"},
			{"posted page", "POST /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "page of 5 bytes"},
			{"two pages", "GET /page HTTP/1.1\r\nHost: x\r\n\r\nGET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "page of 0 bytesHTTP"},
			{"bare line feeds", "GET /page HTTP/1.1\nHost: x\nConnection: close\n\n", "page of 0 bytes"},
			{"long header", "GET /page HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431 Request Header Fields Too Large"},
			{"no HTTP", "BLAH\r\n\r\n", "400 Bad Request"},
			{"no WebSocket", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 426 "},
		} {
			for _, piece := range []int{1 << 20, 50, 1} {
				if piece == 1 && len(row.send) > 1000 {
					continue
				}
				t.Run(fmt.Sprintf("%s by %d", row.name, piece), func(t *testing.T) {
					nc := dialed(t, ws)
					go func() {
						for b := []byte(row.send); len(b) > 0; {
							n, err := nc.Write(b[:min(piece, len(b))])
							if err != nil {
								return
							}
							b = b[n:]
						}
					}()
					var got strings.Builder
					buf := make([]byte, 4<<10)
					_ = nc.SetReadDeadline(time.Now().Add(nanotest.Patience))
					for !strings.Contains(got.String(), row.want) {
						n, err := nc.Read(buf)
						got.Write(buf[:n])
						if err != nil {
							break
						}
					}
					if !strings.Contains(got.String(), row.want) {
						t.Fatalf("got %q, want %q", got.String(), row.want)
					}
					if row.name == "upgrade" {
						if _, err := nc.Write(wsframe.AppendMasked(nil, wsframe.OpPing, true, [4]byte{1, 2, 3, 4}, []byte("there?"))); err != nil {
							t.Fatal(err)
						}
						if n, err := nc.Read(buf); err != nil || string(buf[2:n]) != "there?" {
							t.Errorf("got %q, %v", buf[:n], err)
						}
					}
				})
			}
		}
	})
}
