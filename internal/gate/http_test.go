package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/nanotest"
)

// request sends a request as it is written and returns the answer, with its whole body.
func request(t *testing.T, nc net.Conn, text string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp, string(b)
}

func dialPages(t *testing.T, l *nanotest.Listener) net.Conn {
	t.Helper()
	nc, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// Clients of v0.5 connect wherever they like where the node has no path of its own: there, the
// WebSocket was a pattern of an http.ServeMux. Who looks at its address with a browser is told what
// it is.
func TestPathsOfWebSocketsAndPages(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page "+r.URL.Path) }
	mux := http.NewServeMux()
	for _, pattern := range []string{"/help", "/a/pages/", "GET /v/{name}", "game.example.com/hosted"} {
		mux.HandleFunc(pattern, page)
	}
	all := http.NewServeMux()
	all.HandleFunc("/", page)
	const no = http.StatusUpgradeRequired
	for _, row := range []struct {
		name           string
		pages          http.Handler
		path           string   // of the WebSocket
		requested      []string // all of them behave alike
		upgrade, plain int      // the status of either kind of request
	}{
		{"every path", http.NewServeMux(), "", []string{"/", "/ws", "/nano", "/a/b?x=1", "/a%2Fb", "/a//b"}, 101, no},
		{"every path, no pages at all", nil, "/", []string{"/", "/ws", "/a/b?x=1"}, 101, no},
		{"every path that is no page", mux, "", []string{"/", "/ws", "/helpme", "/a/b", "/v"}, 101, no},
		{"pages, beside every path", mux, "", []string{"/help", "/a/pages/x", "/v/x", "/hosted"}, 200, 200},
		{"a page at the root", all, "", []string{"/", "/ws", "/a/b?x=1"}, 101, 200},
		{"pages of a handler that does not tell", http.HandlerFunc(page), "", []string{"/"}, 101, 200},
		{"beside every path, its pages", http.HandlerFunc(page), "", []string{"/ws", "/a/b"}, 200, 200},
		{"a path among its pages", http.HandlerFunc(page), "/nano", []string{"/nano"}, 101, 200},
		{"a subtree among its pages", http.HandlerFunc(page), "/a/", []string{"/a/", "/a/b"}, 101, 200},
		{"a path", mux, "nano", []string{"/nano", "/nano?token=1"}, 101, no},
		{"a path, and a page at the root", all, "/nano", []string{"/nano"}, 101, no},
		{"beside a path", all, "/nano", []string{"/", "/nano/", "/nano/x", "/nanotest"}, 200, 200},
		{"beside a path, nothing", mux, "/nano", []string{"/", "/nano/", "/nano/x"}, 404, 404},
		{"a subtree", mux, "/a/", []string{"/a/", "/a/b", "/a/b/c?x=1"}, 101, no},
		{"a subtree, and a page at the root", all, "a/", []string{"/a/", "/a/b"}, 101, no},
		{"pages in a subtree", mux, "/a/", []string{"/a/pages/", "/a/pages/x"}, 200, 200},
		{"beside a subtree", mux, "/a/", []string{"/a", "/", "/b"}, 404, 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.Pages = row.pages })
				l := nanotest.NewListener()
				w.ServeWebSocket(l, row.path, nil)
				for _, path := range row.requested {
					c, err := nanotest.Upgrade(t, dialPages(t, l), path, nil)
					status := http.StatusSwitchingProtocols
					var refused *nanotest.RefusedError
					if errors.As(err, &refused) {
						status = refused.Status
					}
					if status != row.upgrade {
						t.Errorf("an upgrade at %s has status %d, want %d", path, status, row.upgrade)
					}
					if err == nil {
						c.Ready()
						if m := c.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
							t.Errorf("%s: got %v", path, m)
						}
					}
					resp, body := request(t, dialPages(t, l), "GET "+path+" HTTP/1.1\r\nHost: game.example.com\r\n\r\n") //nolint:bodyclose // request has closed it
					if resp.StatusCode != row.plain {
						t.Errorf("GET %s has status %d, want %d", path, resp.StatusCode, row.plain)
					}
					if row.plain == no && (!strings.Contains(body, "WebSocket") || resp.Header.Get("Upgrade") != "websocket") {
						t.Errorf("GET %s does not say what to do: %v %q", path, resp.Header, body)
					}
				}
			})
		})
	}
}

// A header costs memory until the client's handshake is over, and anybody can send one.
func TestAnHTTPHeaderIsBounded(t *testing.T) {
	const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	const plain = "GET /page HTTP/1.1\r\nHost: x\r\n"
	for _, row := range []struct {
		name   string
		begin  string
		field  string
		size   int // of the whole header
		status int
	}{
		{"usual", upgrade, "A: b\r\n", 512, 101},
		{"as long as it may be", upgrade, "A: " + strings.Repeat("b", 245) + "\r\n", 16<<10 - 200, 101},
		{"too long, one field", upgrade, "A: " + strings.Repeat("b", 17<<10) + "\r\n", 17 << 10, 431},
		{"too long, many fields", upgrade, "A: " + strings.Repeat("b", 95) + "\r\n", 17 << 10, 431},
		{"60,000 fields", upgrade, "A: b\r\n", 360_000, 431},
		{"many small fields", upgrade, "A: b\r\n", 12 << 10, 431},
		{"of a page", plain, "A: " + strings.Repeat("b", 95) + "\r\n", 17 << 10, 431},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.MaxHeader = 16 << 10 })
				nc := dialPages(t, w.ws)
				text := row.begin + strings.Repeat(row.field, max((row.size-len(row.begin))/len(row.field), 1)) + "\r\n"
				go func() { _, _ = io.WriteString(nc, text) }() // it may be cut off
				resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
				if err != nil || resp.StatusCode != row.status {
					t.Fatalf("answered with %v, %v, want %d", resp, err, row.status)
				}
				_ = resp.Body.Close()
			})
		})
	}
}

// Whoever can be slow at will holds a goroutine, buffers and a descriptor for good otherwise.
func TestSlowHTTPEnds(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })
	mux.HandleFunc("/read", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	// By HTTP/2: the beginning of a connection, and a request for the large page.
	const hello, settings = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	const stream = "\x00\x00\x0d\x01\x05\x00\x00\x00\x01" + "\x82\x86\x04\x06/large\x01\x01x"
	const post = "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
	trickle := func(nc net.Conn, done <-chan struct{}) {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
			}
			if _, err := nc.Write([]byte("x")); err != nil {
				return
			}
		}
	}
	for _, row := range []struct {
		name  string
		send  string
		write func(nc net.Conn, done <-chan struct{}) // after that
		reads time.Duration                           // a byte each; 0: nothing is read, negative: everything
		gone  time.Duration
	}{
		{"nothing at all", "", nil, -1, 3 * time.Second},
		{"half a header", "GET / HT", nil, -1, 3 * time.Second},
		{"a header byte by byte", "GET /", trickle, -1, 3 * time.Second},
		{"a page that nobody reads", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", nil, 0, 3 * time.Second},
		{"a small page that nobody reads", "GET /small HTTP/1.1\r\nHost: x\r\n\r\n", nil, 0, 3 * time.Second},
		{"a refusal that nobody reads", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", nil, 0, 3 * time.Second},
		{"a page byte by byte", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", nil, time.Second, 3 * time.Second},
		{"a body that does not come", fmt.Sprintf(post, "/read"), nil, -1, 3 * time.Second},
		{"a body byte by byte", fmt.Sprintf(post, "/read"), trickle, -1, 3 * time.Second},
		{"a chunked body", "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", nil, -1, 3 * time.Second},
		{"a body for nobody", fmt.Sprintf(post, "/small"), trickle, -1, 3 * time.Second},
		{"a body at the WebSocket's path", fmt.Sprintf(post, "/"), nil, -1, 3 * time.Second},
		{"HTTP/2, half a hello", hello[:9], nil, -1, 3 * time.Second},
		{"HTTP/2, a hello and no more", hello, nil, -1, 2 * time.Second},
		{"HTTP/2, no request", hello + settings, nil, -1, pageIdle},
		{"HTTP/2, half a frame", hello + settings + stream[:12], nil, -1, pageIdle},
		{"HTTP/2, a page that nobody reads", hello + settings + stream, nil, 0, 3 * time.Second},
		{"HTTP/2, a page that nobody takes", hello + settings + stream, nil, -1, streamTime + pageIdle},
		{"no next request", "GET /small HTTP/1.1\r\nHost: x\r\n\r\n", nil, -1, pageIdle},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.Pages, cfg.MaxConns = mux, 1 })
				nc := dialPages(t, w.ws)
				began := time.Now()
				if _, err := io.WriteString(nc, row.send); err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				defer close(done)
				if row.write != nil {
					go row.write(nc, done)
				}
				switch {
				case row.reads < 0:
					go func() { _, _ = io.Copy(io.Discard, nc) }()
				case row.reads > 0:
					go func() {
						for b := []byte{0}; ; time.Sleep(row.reads) {
							if _, err := nc.Read(b); err != nil {
								return
							}
						}
					}()
				}
				// Its place is free when it is gone.
				time.Sleep(row.gone - time.Second/2)
				synctest.Wait()
				if got := w.taken(); got != 1 {
					t.Fatalf("it was gone before %v", time.Since(began))
				}
				time.Sleep(2 * time.Second) // net/http waits for half a second where it closes with input unread
				synctest.Wait()
				if got := w.taken(); got != 0 {
					t.Errorf("it is there after %v", time.Since(began))
				}
				c, _ := w.join(t, false, "{}")
				c.Call("T.Echo", nil)
			})
		})
	}
}

// Other systems that push through a node's pages may speak HTTP/2 without TLS on the clients' port.
func TestPagesByHTTP2(t *testing.T) {
	eachTransport(t, func(t *testing.T, portable func(*Config)) {
		mux := http.NewServeMux()
		mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(w, r.Proto, string(b), err)
		})
		w := newWorld(t, portable, func(cfg *Config) { cfg.Pages = mux })
		_, ws := w.sockets(t)
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols}
		defer transport.CloseIdleConnections()
		body := strings.Repeat("much ", 100_000)
		resp, err := (&http.Client{Transport: transport}).Post("http://"+ws.String()+"/echo", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(got) != "HTTP/2.0"+body+"<nil>" {
			t.Errorf("answered %d bytes, %.40q, %v", len(got), got, err)
		}
	})
}

func (g *Gate) taken() int {
	g.admission.mu.Lock()
	defer g.admission.mu.Unlock()
	return g.admission.places
}

// Pages may take as long as they like while the browser keeps up: a large download, a stream of
// events, an upload, a handler that works for a minute.
func TestLongHTTPLives(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 4<<20)) })
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Minute):
			_, _ = io.WriteString(w, "late")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) {
		for range 60 {
			_, _ = io.WriteString(w, "event\n")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
		}
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		time.Sleep(10 * time.Second)
		_, _ = fmt.Fprint(w, n, err, r.Context().Err())
	})
	for _, row := range []struct {
		name, request string
		body          int // of it, 64 KiB every 2 s
		want          func(body string) bool
	}{
		{"a download", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", 0, func(b string) bool { return len(b) == 4<<20 }},
		{"a late answer", "GET /late HTTP/1.1\r\nHost: x\r\n\r\n", 0, func(b string) bool { return b == "late" }},
		{"a late answer to a body", "POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 0, func(b string) bool { return b == "late" }},
		{"events", "GET /events HTTP/1.1\r\nHost: x\r\n\r\n", 0, func(b string) bool { return strings.Count(b, "event") == 60 }},
		{"an upload", "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n", 16, func(b string) bool { return b == "1048576 <nil> <nil>" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.Pages = mux })
				nc := dialPages(t, w.ws)
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					_, _ = io.WriteString(nc, row.request)
					for range row.body {
						_, _ = nc.Write(make([]byte, 64<<10))
						time.Sleep(2 * time.Second)
					}
				}()
				slow := readerFunc(func(p []byte) (int, error) { // 64 KiB every 2 s at most
					time.Sleep(2 * time.Second * time.Duration(min(len(p), 4096)) / (64 << 10))
					return nc.Read(p[:min(len(p), 4096)])
				})
				resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				b, err := io.ReadAll(resp.Body)
				if err != nil || !row.want(string(b)) {
					t.Errorf("read %d bytes, %.100s, %v", len(b), b, err)
				}
				<-sent
			})
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// One cap holds for whoever connects, in whatever state: what is not counted is what a stranger
// uses up.
func TestOneCapForAllConnections(t *testing.T) {
	keepAlive := func(t *testing.T, l *nanotest.Listener) net.Conn {
		nc := dialPages(t, l)
		request(t, nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") //nolint:bodyclose // request has closed it
		return nc
	}
	for _, row := range []struct {
		name string
		hold func(t *testing.T, w *world) net.Conn
	}{
		{"pages, kept alive", func(t *testing.T, w *world) net.Conn { return keepAlive(t, w.ws) }},
		{"HTTP that says nothing", func(t *testing.T, w *world) net.Conn { return dialPages(t, w.ws) }},
		{"TCP that says nothing", func(t *testing.T, w *world) net.Conn { return dialPages(t, w.tcp) }},
		{"a PROXY header that does not come", func(t *testing.T, w *world) net.Conn {
			nc, err := w.tcp.DialFrom("10.0.0.1:1000")
			if err != nil {
				t.Fatal(err)
			}
			return nc
		}},
		{"a WebSocket before its handshake", func(t *testing.T, w *world) net.Conn { return w.ws.WebSocket(t).Conn() }},
		{"a client", func(t *testing.T, w *world) net.Conn {
			c, _ := w.join(t, true, "{}")
			return c.Conn()
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, trust("10.0.0.0/8"), func(cfg *Config) {
					cfg.MaxConns, cfg.ProxyProtocol, cfg.HandshakeTimeout, cfg.Heartbeat = 3, true, time.Minute, time.Minute
				})
				var held []net.Conn
				for range 3 {
					held = append(held, row.hold(t, w))
				}
				synctest.Wait()
				began := time.Now()
				for _, l := range []*nanotest.Listener{w.tcp, w.ws} {
					nc := dialPages(t, l)
					if n, _ := io.Copy(io.Discard, nc); n > 0 || time.Since(began) > 0 {
						t.Errorf("one too many got %d bytes, and ended after %v", n, time.Since(began))
					}
				}
				if got := w.counters.Refused.Load(); got != 2 {
					t.Errorf("%d counted as refused", got)
				}
				for _, nc := range held {
					_ = nc.Close()
				}
				synctest.Wait()
				for range 3 {
					w.join(t, true, "{}")
				}
			})
		})
	}
}

// A proxy on the same machine speaks to a Unix socket, which has no address that could be named.
func TestAUnixSocketCanBeATrustedProxy(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		t.Run(fmt.Sprint(trusted), func(t *testing.T) {
			nanotest.Leaks(t)
			w := newWorld(t, func(cfg *Config) { cfg.TrustUnix = trusted })
			dir, err := os.MkdirTemp("", "nano") //nolint:usetesting // a socket's path has at most 100 bytes
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			w.ServeWebSocket(l, "/", nil)
			nc, err := (&net.Dialer{}).DialContext(context.Background(), "unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c, err := nanotest.Upgrade(t, nc, "/", http.Header{"X-Forwarded-For": {"203.0.113.9"}})
			if err != nil {
				t.Fatal(err)
			}
			c.Ready()
			got := (<-w.opened).RemoteAddr().String()
			if is := got == "203.0.113.9:0"; is != trusted {
				t.Errorf("the client's address is %q", got)
			}
			c.Call("T.Echo", nil)
			c.Close()
		})
	}
}
