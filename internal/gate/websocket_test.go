package gate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// closedWith reads up to the close frame and returns its code.
func closedWith(t *testing.T, c *nanotest.Client) int {
	t.Helper()
	for {
		_, err := c.NextFrame()
		var closed *nanotest.ClosedError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			t.Fatalf("instead of a close frame: %v", err)
		}
	}
}

// A client that says goodbye gets its own code back: a browser reports what it reads as the end's
// reason, and 1006 if it reads nothing.
func TestAWebSocketsCloseIsEchoed(t *testing.T) {
	body := func(code int, reason string) []byte { return wsframe.AppendCloseBody(nil, code, reason) }
	for _, row := range []struct {
		name    string
		payload []byte
		code    int
	}{
		{"normal", body(1000, ""), 1000},
		{"going away", body(1001, "closing the tab"), 1001},
		{"an application's", body(4321, ""), 4321},
		{"registered", body(3000, ""), 3000},
		{"later ones", body(1012, ""), 1012},
		{"no code", nil, wsframe.CloseNoStatus},
		{"half a code", []byte{3}, wsframe.CloseProtocolError},
		{"no status, said aloud", body(1004, "")[:2], wsframe.CloseProtocolError},
		{"reserved 1005", []byte{1005 >> 8, 1005 & 0xff}, wsframe.CloseProtocolError},
		{"reserved 1006", []byte{1006 >> 8, 1006 & 0xff}, wsframe.CloseProtocolError},
		{"reserved 1015", []byte{1015 >> 8, 1015 & 0xff}, wsframe.CloseProtocolError},
		{"below all", body(999, ""), wsframe.CloseProtocolError},
		{"unassigned", body(2999, ""), wsframe.CloseProtocolError},
		{"above all", body(5000, ""), wsframe.CloseProtocolError},
		{"a reason that is no UTF-8", append(body(1000, ""), 0xff), wsframe.CloseInvalidData},
	} {
		for _, ready := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, handshake %v", row.name, ready), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					c := w.ws.WebSocket(t)
					if ready {
						c.Ready()
					}
					c.WriteFrame(wsframe.OpClose, true, row.payload)
					if got := closedWith(t, c); got != row.code {
						t.Errorf("closed with %d, want %d", got, row.code)
					}
					c.Ended()
				})
			})
		}
	}
}

// A page can tell a node that is being restarted from one that has thrown it out.
func TestAWebSocketOfANodeThatEndsIsGoingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		kicked, s := w.join(t, true, "{}")
		ready, _ := w.join(t, true, "{}")
		fresh := w.ws.WebSocket(t)
		synctest.Wait()
		go func() { _ = s.Kick("why not") }()
		if got := closedWith(t, kicked); got != wsframe.CloseNormal {
			t.Errorf("a kicked session is closed with %d", got)
		}
		go w.KickAll("over")
		for name, c := range map[string]*nanotest.Client{"a client": ready, "one before its handshake": fresh} {
			if got := closedWith(t, c); got != wsframe.CloseGoingAway {
				t.Errorf("%s is told %d, want %d", name, got, wsframe.CloseGoingAway)
			}
		}
	})
}

// Proxies ping from the first moment, and end a connection that does not answer. Nothing else may
// go before the handshake's answer.
func TestAPingIsAnsweredAtAnyTime(t *testing.T) {
	for _, kind := range []string{"pipe", "socket"} {
		t.Run(kind, func(t *testing.T) {
			body := func(t *testing.T) {
				w := newWorld(t)
				var c *nanotest.Client
				if kind == "socket" {
					l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					w.ServeWebSocket(l, "/", nil)
					c = nanotest.DialWebSocket(t, l.Addr())
				} else {
					c = w.ws.WebSocket(t)
				}
				answered := func(payload string) {
					t.Helper()
					c.WriteFrame(wsframe.OpPing, true, []byte(payload))
					if ev, err := c.NextFrame(); err != nil || ev.Kind != wsframe.Pong || string(ev.Payload) != payload {
						t.Fatalf("got %v %q, %v", ev.Kind, ev.Payload, err)
					}
				}
				answered("first")
				answered("")
				for _, c := range w.snapshot() {
					if err := c.Push("onEarly", "early"); err != nil { // it waits for the handshake's answer
						t.Fatal(err)
					}
				}
				answered(strings.Repeat("x", 125))
				c.WritePacket(codec.Handshake, []byte("{}"))
				if p := c.Packet(); p.Type != codec.Handshake {
					t.Fatalf("got %v", p)
				}
				if got := c.Push("onEarly"); string(got) != `"early"` {
					t.Errorf("got %s", got)
				}
				answered("before the ack")
				c.Ack()
				answered("after it")
			}
			if kind == "socket" {
				nanotest.Leaks(t)
				body(t)
			} else {
				synctest.Test(t, body)
			}
		})
	}
}

// A client that pings without end and reads nothing must not grow the node's memory before its
// handshake either.
func TestPingsBeforeTheHandshakeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.ws.WebSocket(t)
		began := time.Now()
		for range 10_000 {
			if c.SendRaw(wsframe.AppendMasked(nil, wsframe.OpPing, true, [4]byte{1, 2, 3, 4}, make([]byte, 125))) != nil {
				break
			}
		}
		for _, conn := range w.snapshot() {
			conn.mu.Lock()
			if got := len(conn.aheadLocked()); got > 127 || conn.queuedLocked() {
				t.Errorf("%d bytes wait, more are queued: %v", got, conn.queuedLocked())
			}
			conn.mu.Unlock()
		}
		time.Sleep(4*time.Second - time.Since(began))
		synctest.Wait()
		if got := w.Len(); got != 0 {
			t.Errorf("%d connections after the handshake's deadline", got)
		}
	})
}

// upgradeRest is what an upgrade has after its first lines.
const upgradeRest = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// What RFC 6455 does not let a server answer with 101.
func TestUpgradesThatAreRefused(t *testing.T) {
	const rest = upgradeRest
	for _, row := range []struct {
		name, request string
		status        int
	}{
		{"as it should be", "GET / HTTP/1.1\r\nHost: x\r\n" + rest, http.StatusSwitchingProtocols},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\n" + rest, http.StatusHTTPVersionNotSupported},
		{"POST", "POST / HTTP/1.1\r\nHost: x\r\n" + rest, http.StatusMethodNotAllowed},
		{"no host", "GET / HTTP/1.1\r\n" + rest, http.StatusBadRequest},
		{"version 8", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Replace(rest, "13", "8", 1), http.StatusUpgradeRequired},
		{"no version", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Replace(rest, "Sec-WebSocket-Version: 13\r\n", "", 1), http.StatusUpgradeRequired},
		{"no key", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Replace(rest, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1), http.StatusBadRequest},
		{"short key", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Replace(rest, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1), http.StatusBadRequest},
		{"another protocol", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Replace(rest, "WebSocket\r\n", "h2c\r\n", 1), http.StatusUpgradeRequired},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				nc := dialPages(t, w.ws)
				if _, err := io.WriteString(nc, row.request); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != row.status {
					t.Errorf("status %d, want %d", resp.StatusCode, row.status)
				}
				if row.status == http.StatusUpgradeRequired && strings.Contains(row.name, "version") && resp.Header.Get("Sec-Websocket-Version") != "13" {
					t.Errorf("it does not say which version: %v", resp.Header)
				}
			})
		})
	}
}

// A page that names subprotocols is connected only if the node agrees to one of them.
func TestSubprotocols(t *testing.T) {
	for _, row := range []struct {
		speaks  []string
		offered []string // a header each
		agreed  string
	}{
		{nil, []string{"nano"}, ""},
		{[]string{"nano"}, nil, ""},
		{[]string{"nano"}, []string{"nano"}, "nano"},
		{[]string{"nano"}, []string{"nano, token-123"}, "nano"},
		{[]string{"v2", "v1"}, []string{"v1, v2"}, "v2"},
		{[]string{"v2", "v1"}, []string{"v1"}, "v1"},
		{[]string{"v2"}, []string{"v1"}, ""},
		{[]string{"v2"}, []string{"V2"}, ""},
	} {
		t.Run(fmt.Sprintf("%v, offered %v", row.speaks, row.offered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := make(chan string, 1)
				w := newWorld(t, func(cfg *Config) {
					cfg.Subprotocols = row.speaks
					cfg.Handshake = func(_ *session.Session, h *session.Handshake) error {
						seen <- h.Request.Header.Get("Sec-Websocket-Protocol")
						return nil
					}
				})
				nc := dialPages(t, w.ws)
				offered := ""
				for _, names := range row.offered {
					offered += "Sec-WebSocket-Protocol: " + names + "\r\n"
				}
				if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n"+offered+upgradeRest); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if got := resp.Header.Get("Sec-Websocket-Protocol"); got != row.agreed || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Errorf("status %d, agreed on %q, want %q", resp.StatusCode, got, row.agreed)
				}
				hello := wsframe.AppendMasked(nil, wsframe.OpBinary, true, [4]byte{1}, codec.AppendPacket(nil, codec.Handshake, nil))
				if _, err := nc.Write(hello); err != nil {
					t.Fatal(err)
				}
				if got := <-seen; got != strings.Join(row.offered, "") {
					t.Errorf("the validator sees %q", got)
				}
			})
		})
	}
}
