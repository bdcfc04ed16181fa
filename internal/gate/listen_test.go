package gate

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
)

// trust lets these addresses speak for others.
func trust(prefixes ...string) func(*Config) {
	return func(c *Config) {
		for _, p := range prefixes {
			c.Trusted = append(c.Trusted, netip.MustParsePrefix(p))
		}
	}
}

// Anybody can write an X-Forwarded-For header: only a trusted proxy's counts, and of that only what
// it added.
func TestForwardedFor(t *testing.T) {
	for _, row := range []struct {
		name   string
		from   string
		header []string
		want   string
	}{
		{"no proxy", "198.51.100.7:1000", nil, "198.51.100.7:1000"},
		{"a stranger who claims", "198.51.100.7:1000", []string{"203.0.113.9"}, "198.51.100.7:1000"},
		{"a proxy", "10.0.0.1:1000", []string{"203.0.113.9"}, "203.0.113.9:0"},
		{"a proxy that says nothing", "10.0.0.1:1000", nil, "10.0.0.1:1000"},
		{"the client claims before", "10.0.0.1:1000", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9:0"},
		{"two headers", "10.0.0.1:1000", []string{"1.2.3.4", "203.0.113.9"}, "203.0.113.9:0"},
		{"two proxies", "10.0.0.1:1000", []string{"1.2.3.4, 203.0.113.9, 10.0.0.2"}, "203.0.113.9:0"},
		{"an untrusted proxy between", "10.0.0.1:1000", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7:0"},
		{"with a port", "10.0.0.1:1000", []string{"203.0.113.9:4711"}, "203.0.113.9:0"},
		{"IPv6", "10.0.0.1:1000", []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"IPv6 with a port", "10.0.0.1:1000", []string{"[2001:db8::1]:99"}, "[2001:db8::1]:0"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1000", []string{"203.0.113.9"}, "203.0.113.9:0"},
		{"garbage", "10.0.0.1:1000", []string{"unknown"}, "10.0.0.1:1000"},
		{"garbage before", "10.0.0.1:1000", []string{"<script>, 203.0.113.9"}, "203.0.113.9:0"},
		{"garbage behind", "10.0.0.1:1000", []string{"203.0.113.9, unknown"}, "10.0.0.1:1000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, trust("10.0.0.0/8"))
				nc, err := w.ws.DialFrom(row.from)
				if err != nil {
					t.Fatal(err)
				}
				c, err := nanotest.Upgrade(t, nc, "/", http.Header{"X-Forwarded-For": row.header})
				if err != nil {
					t.Fatal(err)
				}
				c.Ready()
				if got := (<-w.opened).RemoteAddr().String(); got != row.want {
					t.Errorf("the client's address is %s, want %s", got, row.want)
				}
			})
		})
	}
}

// v2 is the binary PROXY header for a TCP connection from 203.0.113.9:4711.
func v2() []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, 0x11, 0, 12)
	b = append(b, 203, 0, 113, 9, 10, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, 4711)
	return binary.BigEndian.AppendUint16(b, 443)
}

// The same of a PROXY header, which comes before everything else, TLS included.
func TestProxyProtocol(t *testing.T) {
	cert := nanotest.NewTLS(t)
	const v1 = "PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n"
	for _, row := range []struct {
		name   string
		from   string
		header string
		want   string // "": it is not served
	}{
		{"version 1", "10.0.0.1:1000", v1, "203.0.113.9:4711"},
		{"version 2", "10.0.0.1:1000", string(v2()), "203.0.113.9:4711"},
		{"a trusted one without", "10.0.0.1:1000", "", "10.0.0.1:1000"},
		{"a stranger without", "198.51.100.7:1000", "", "198.51.100.7:1000"},
		{"a stranger who claims", "198.51.100.7:1000", v1, ""},
		{"a stranger who claims, version 2", "198.51.100.7:1000", string(v2()), ""},
		{"broken", "10.0.0.1:1000", "PROXY TCP4 what is this\r\n", ""},
		{"health check", "10.0.0.1:1000", "PROXY UNKNOWN\r\n", "10.0.0.1:1000"},
	} {
		for _, kind := range []string{"tcp", "websocket", "tls", "wss"} {
			t.Run(row.name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, trust("10.0.0.0/8"), func(c *Config) { c.ProxyProtocol = true })
					l := nanotest.NewListener()
					switch kind {
					case "tcp":
						w.ServeTCP(l, nil)
					case "tls":
						w.ServeTCP(l, cert.Server)
					case "websocket":
						w.ServeWebSocket(l, "/", nil)
					case "wss":
						w.ServeWebSocket(l, "/", cert.Server)
					}
					nc, err := l.DialFrom(row.from)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = nc.Close() })
					if row.header != "" {
						if _, err := io.WriteString(nc, row.header); err != nil && row.want != "" {
							t.Fatal(err)
						}
					}
					if row.want == "" {
						began := time.Now()
						_, _ = io.Copy(io.Discard, nc)
						if d := time.Since(began); d > 3*time.Second {
							t.Errorf("it ended after %v", d)
						}
						synctest.Wait()
						if len(w.opened) > 0 {
							t.Error("it was served")
						}
						return
					}
					if kind == "tls" || kind == "wss" {
						nc = tls.Client(nc, cert.Client)
					}
					c := nanotest.NewClient(t, nc)
					if kind == "websocket" || kind == "wss" {
						c = nanotest.WebSocket(t, nc)
					}
					c.Ready()
					if got := (<-w.opened).RemoteAddr().String(); got != row.want {
						t.Errorf("the client's address is %s, want %s", got, row.want)
					}
					if m := c.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
						t.Errorf("got %v", m)
					}
				})
			})
		}
	}
}

// A proxy, or who claims its address, that never says for whom it comes: gone in time, and it holds
// up no shutdown.
func TestProxyProtocolSilence(t *testing.T) {
	for _, half := range []string{"", "P", "PROXY TCP4 203.0", "\r\n\r\n\x00"} {
		for _, websocket := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, trust("10.0.0.0/8"), func(c *Config) { c.ProxyProtocol = true })
				l := w.tcp
				if websocket {
					l = w.ws
				}
				dial := func() net.Conn {
					nc, err := l.DialFrom("10.0.0.1:1000")
					if err != nil {
						t.Fatal(err)
					}
					if half != "" {
						if _, err := io.WriteString(nc, half); err != nil {
							t.Fatal(err)
						}
					}
					return nc
				}
				began := time.Now()
				_, _ = io.Copy(io.Discard, dial())
				// Without a header it is taken for a client, which has as long again to shake hands.
				if d := time.Since(began); d > 6*time.Second {
					t.Errorf("%q, websocket %v: gone after %v", half, websocket, d)
				}
				dial()
				synctest.Wait()
				began = time.Now()
				w.StopAccepting()
				if d := time.Since(began); d > 100*time.Millisecond { // net/http looks again and again
					t.Errorf("%q, websocket %v: it held up the shutdown for %v", half, websocket, d)
				}
			})
		}
	}
}

// Connections over the cap are closed at once, and there is room again when one has gone.
func TestMaxConnections(t *testing.T) {
	for _, websocket := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.MaxConns, c.Heartbeat = 3, time.Minute })
			var in []*nanotest.Client
			for range 3 {
				c, _ := w.join(t, websocket, "{}")
				in = append(in, c)
			}
			began := time.Now()
			for _, l := range []*nanotest.Listener{w.tcp, w.ws} {
				nc, err := l.Dial()
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, nc)
			}
			if d := time.Since(began); d > 0 {
				t.Errorf("they were held for %v", d)
			}
			synctest.Wait()
			if got := w.counters.Refused.Load(); got != 2 {
				t.Errorf("%d counted as refused", got)
			}
			for _, c := range in {
				if m := c.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
					t.Errorf("got %v", m)
				}
			}
			in[0].Close()
			synctest.Wait()
			c, _ := w.join(t, websocket, "{}")
			c.Call("T.Echo", nil)
			if got := w.Len(); got != 3 {
				t.Errorf("%d connections", got)
			}
		})
	}
}

// All kinds of endpoints on one gate are one world: a push to all reaches all.
func TestEndpointsOfAllKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert := nanotest.NewTLS(t)
		w := newWorld(t)
		tlsL, wssL := nanotest.NewListener(), nanotest.NewListener()
		w.ServeTCP(tlsL, cert.Server)
		w.ServeWebSocket(wssL, "/", cert.Server)
		secure := func(l *nanotest.Listener) net.Conn {
			nc, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			return tls.Client(nc, cert.Client)
		}
		clients := []*nanotest.Client{
			w.tcp.Client(t), w.ws.WebSocket(t), nanotest.NewClient(t, secure(tlsL)), nanotest.WebSocket(t, secure(wssL)),
		}
		for i, c := range clients {
			c.Ready()
			s := <-w.opened
			if err := s.Push("onIt", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			if got := c.Push("onIt"); string(got) != fmt.Sprint(i) {
				t.Errorf("got %q", got)
			}
			big := strings.Repeat("x", 60_000)
			if m := c.Call("T.Echo", []byte(big)); string(m.Data) != big {
				t.Errorf("%d bytes came back", len(m.Data))
			}
			if err := s.Kick("bye"); err != nil {
				t.Fatal(err)
			}
			if got := c.Kicked(); got != "bye" {
				t.Errorf("kicked: %q", got)
			}
			c.Ended()
			c.Close()
		}
	})
}

// A client with TLS that does not read must not hold up the scheduler, nor the wheel, when its
// session ends: to say goodbye, TLS writes.
func TestTLSGoodbyeHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert := nanotest.NewTLS(t)
		w := newWorld(t)
		l := nanotest.NewListener()
		w.ServeTCP(l, cert.Server)
		join := func() {
			nc, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			nanotest.NewClient(t, tls.Client(nc, cert.Client)).Ready()
		}
		join()
		s := <-w.opened
		began := time.Now()
		done := make(chan time.Duration, 2)
		w.sched.PushTask(func() { s.Close() })
		w.sched.PushTask(func() { done <- time.Since(began) })
		w.sched.PushTask(func() { w.sched.PushTask(func() { done <- time.Since(began) }) })
		for range 2 {
			if d := <-done; d > 0 {
				t.Errorf("a task ran %v late", d)
			}
		}
		join() // falls silent
		gone := <-w.opened
		neighbour, _ := w.join(t, false, "{}")
		neighbour.Beats = true
		for range 6 {
			began := time.Now()
			if p := neighbour.Packet(); p.Type != codec.Heartbeat || time.Since(began) > 1100*time.Millisecond {
				t.Fatalf("got %v after %v", p, time.Since(began))
			}
		}
		synctest.Wait()
		if got := w.closed.Load(); got != 2 {
			t.Errorf("%d sessions ended, want 2 (session %d)", got, gone.ID())
		}
	})
}

// The pages of a program that uses http.HandleFunc and Listen are http.DefaultServeMux's, beside
// the WebSocket.
func TestPagesBesideTheWebSocket(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/lobby", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") })
	for _, row := range []struct {
		name  string
		pages http.Handler
		want  int
	}{{"a mux", mux, 200}, {"nothing", nil, http.StatusUpgradeRequired}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Pages = row.pages })
				tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return w.ws.Dial() }}
				defer tr.CloseIdleConnections()
				resp, err := (&http.Client{Transport: tr}).Get("http://game.example.com/lobby")
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != row.want || row.want == 200 && string(b) != "hello" {
					t.Errorf("%d %q, %v", resp.StatusCode, b, err)
				}
				c, _ := w.join(t, true, "{}")
				c.Call("T.Echo", nil)
			})
		})
	}
}

// Who shuts down waits for no browser that only has a connection open.
func TestStopAcceptingIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, l := range []*nanotest.Listener{w.tcp, w.ws} {
			nc, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
		}
		in, _ := w.join(t, true, "{}")
		synctest.Wait()
		began := time.Now()
		w.StopAccepting()
		w.StopAccepting()
		if d := time.Since(began); d > 100*time.Millisecond { // net/http looks again and again
			t.Errorf("it took %v", d)
		}
		if m := in.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
			t.Errorf("who is in is not served any more: %v", m)
		}
		for _, l := range []*nanotest.Listener{w.tcp, w.ws} {
			if _, err := l.Dial(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("there is still a listener: %v", err)
			}
		}
		late := nanotest.NewListener()
		w.ServeTCP(late, nil)
		if _, err := late.Dial(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("an endpoint that came late was opened: %v", err)
		}
	})
}

// Who connects with a browser to an endpoint of plain packets looks for the mistake in the log.
func TestForeignProtocolsAreNamed(t *testing.T) {
	for name, row := range map[string]struct{ sent, want string }{
		"a browser":     {"GET /nano HTTP/1.1\r\nHost: x\r\n\r\n", "this looks like HTTP, which"},
		"a POST":        {"POST / HTTP/1.1\r\n", "this looks like HTTP, which"},
		"HTTP/2":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "this looks like HTTP, which"},
		"TLS":           {"\x16\x03\x01\x02\x00\x01\x00\x01", "this looks like TLS, which"},
		"nothing of it": {"GARBAGE", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				nc, err := w.tcp.Dial()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(nc, row.sent); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, nc)
				synctest.Wait()
				if row.want != "" && !w.log.Has("malformed", row.want) || row.want == "" && w.log.Has("looks like") {
					t.Errorf("the log says %v", w.log.Lines("malformed"))
				}
			})
		})
	}
}

// A client that never asked for gzip may use the bit for anything, as with v0.5; one that did and
// sends a bomb is gone.
func TestGzipIsReadOnlyWhereItWasAgreed(t *testing.T) {
	zip := func(n int) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, n))
		_ = z.Close()
		return b.Bytes()
	}
	small, bomb := zip(100), zip(10<<20)
	for _, row := range []struct {
		name    string
		min     int
		hello   string
		payload []byte
		want    []byte // what the handler gets; nil: the connection ends
	}{
		{"not asked for", 100, "{}", small, small},
		{"a bomb, not asked for", 100, "{}", bomb, bomb},
		{"asked for, and not offered", 0, `{"sys":{"accept":["gzip"]}}`, small, small},
		{"no gzip, not asked for", 100, "{}", []byte("plain"), []byte("plain")},
		{"agreed", 100, `{"sys":{"accept":["gzip"]}}`, small, make([]byte, 100)},
		{"a bomb", 100, `{"sys":{"accept":["gzip"]}}`, bomb, nil},
	} {
		for _, websocket := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, websocket %v", row.name, websocket), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func(cfg *Config) { cfg.GzipMin = row.min })
					c, _ := w.join(t, websocket, row.hello)
					for i := range uint64(2) { // the second with a reader that was used
						body, err := codec.AppendMessage(nil, &codec.Message{Type: codec.Request, ID: i + 1, Route: "T.Echo", Data: row.payload}, nil)
						if err != nil {
							t.Fatal(err)
						}
						body[0] |= 0x10
						c.WritePacket(codec.Data, body)
						if row.want == nil {
							c.Ended()
							if !w.log.Has("malformed", "bomb") {
								t.Errorf("the log says %v", w.log.Lines())
							}
							return
						}
						if m := c.Response(i + 1); !bytes.Equal(m.Data, row.want) {
							t.Errorf("the handler got %d bytes, want %d", len(m.Data), len(row.want))
						}
					}
				})
			})
		}
	}
}
