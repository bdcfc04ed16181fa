package node_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/test/internal/apptest"
)

// Clients in the field, and proxies on the way, cut WebSocket messages as they like.
func TestFramesOfAnyShapeAreRead(t *testing.T) {
	handshake := codec.AppendPacket(nil, codec.Handshake, []byte("{}"))
	ack := packet(codec.HandshakeAck)
	request := packet(codec.Data, append([]byte{0, 1, 6}, "H.Echo!"...)...)
	all := append(append(append([]byte{}, handshake...), ack...), request...)
	for _, row := range []struct {
		name string
		send func(c *nanotest.Client)
	}{
		{"text frames", func(c *nanotest.Client) {
			for _, b := range [][]byte{handshake, ack, request} {
				c.WriteFrame(wsframe.OpText, true, b)
			}
		}},
		{"several packets in a message", func(c *nanotest.Client) { c.WriteFrame(wsframe.OpBinary, true, all) }},
		{"one message of single bytes", func(c *nanotest.Client) {
			for i, b := range all {
				op := wsframe.OpContinuation
				if i == 0 {
					op = wsframe.OpBinary
				}
				c.WriteFrame(op, i == len(all)-1, []byte{b})
			}
		}},
		{"a message for each byte", func(c *nanotest.Client) {
			for _, b := range all {
				c.WriteFrame(wsframe.OpBinary, true, []byte{b})
			}
		}},
		{"empty messages and fragments between", func(c *nanotest.Client) {
			for i, b := range [][]byte{handshake, ack, request} {
				c.WriteFrame(wsframe.OpBinary, true, nil)
				c.WriteFrame(wsframe.OpText, false, nil)
				c.WriteFrame(wsframe.OpContinuation, false, b[:i])
				c.WriteFrame(wsframe.OpContinuation, false, b[i:])
				c.WriteFrame(wsframe.OpContinuation, true, nil)
			}
		}},
		{"pings and pongs inside of messages", func(c *nanotest.Client) {
			for _, b := range [][]byte{handshake, ack, request} {
				c.WriteFrame(wsframe.OpBinary, false, b[:1])
				c.WriteFrame(wsframe.OpPing, true, []byte("during"))
				c.WriteFrame(wsframe.OpPong, true, []byte("nobody asked"))
				c.WriteFrame(wsframe.OpContinuation, true, b[1:])
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps())
				c := n.WS.WebSocket(t)
				sent := make(chan struct{})
				go func() { // the server answers before all is sent
					defer close(sent)
					row.send(c)
				}()
				if p := c.Packet(); p.Type != codec.Handshake {
					t.Fatalf("got %v", p)
				}
				if m := c.Response(1); string(m.Data) != "!" {
					t.Errorf("got %v", m)
				}
				<-sent
				if got := n.Stats().Malformed; got != 0 {
					t.Errorf("%d connections counted as malformed", got)
				}
			})
		})
	}
}

// A ping is answered by its pong, which some proxies need to keep the connection.
func TestPingIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hostile{}
		n := apptest.Start(t, h.comps())
		c := n.WS.WebSocket(t)
		c.Ready()
		c.WriteFrame(wsframe.OpPing, true, []byte("are you there"))
		ev, err := c.NextFrame()
		if err != nil || ev.Kind != wsframe.Pong || string(ev.Payload) != "are you there" {
			t.Errorf("got %v %q, %v", ev.Kind, ev.Payload, err)
		}
		alive(t, c)
	})
}

// What is no WebSocket ends the connection, with the code that says why, and nothing else.
func TestBrokenFrameEndsOnlyItsConnection(t *testing.T) {
	big := make([]byte, 2<<20)
	key := [4]byte{1, 2, 3, 4}
	for _, row := range []struct {
		name string
		send []byte
		code int
	}{
		{"unmasked", wsframe.AppendFrame(nil, wsframe.OpBinary, packet(codec.Heartbeat)), wsframe.CloseProtocolError},
		{"reserved bits", []byte{0xF2, 0x80, 1, 2, 3, 4}, wsframe.CloseProtocolError},
		{"reserved opcode", []byte{0x83, 0x80, 1, 2, 3, 4}, wsframe.CloseProtocolError},
		{"continuation of nothing", wsframe.AppendMasked(nil, wsframe.OpContinuation, true, key, []byte("x")), wsframe.CloseProtocolError},
		{"long ping", wsframe.AppendMasked(nil, wsframe.OpPing, true, key, make([]byte, 126)), wsframe.CloseProtocolError},
		{"fragmented ping", wsframe.AppendMasked(nil, wsframe.OpPing, false, key, nil), wsframe.CloseProtocolError},
		{"oversize", wsframe.AppendMasked(nil, wsframe.OpBinary, true, key, big), wsframe.CloseTooBig},
		{"length with its top bit", []byte{0x82, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, wsframe.CloseProtocolError},
		{"oversize in fragments", append(wsframe.AppendMasked(nil, wsframe.OpBinary, false, key, packet(codec.Heartbeat)),
			wsframe.AppendMasked(nil, wsframe.OpContinuation, true, key, big)...), wsframe.CloseTooBig},
		{"no packet in it", wsframe.AppendMasked(nil, wsframe.OpBinary, true, key, []byte("{}")), wsframe.CloseProtocolError},
		{"goodbye", wsframe.AppendMasked(nil, wsframe.OpClose, true, key, wsframe.AppendCloseBody(nil, 1001, "leaving")), 0},
	} {
		for _, how := range []string{"pipe", "socket"} {
			t.Run(how+" "+row.name, func(t *testing.T) {
				body := func(t *testing.T) {
					h := &Hostile{}
					var opts []nano.Option
					if how == "socket" {
						opts = append(opts, nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true}))
					}
					n := apptest.Start(t, h.comps(), opts...)
					dial := func() *nanotest.Client {
						if how == "socket" {
							return nanotest.DialWebSocket(t, n.Addrs()[2])
						}
						return n.WS.WebSocket(t)
					}
					neighbour, c := dial(), dial()
					neighbour.Ready()
					c.Ready()
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						_ = c.SendRaw(row.send) // it may be cut off
					}()
					_, err := c.NextMessage()
					var closed *nanotest.ClosedError
					if !errors.As(err, &closed) {
						t.Fatalf("instead of a close frame: %v", err)
					}
					if row.code != 0 && closed.Code != row.code {
						t.Errorf("closed with %d, want %d", closed.Code, row.code)
					}
					c.Ended()
					c.Close()
					<-sent
					alive(t, neighbour)
				}
				if how == "pipe" {
					synctest.Test(t, body)
				} else {
					nanotest.Leaks(t)
					body(t)
				}
			})
		}
	}
}

// Any page on the web could play as its visitor otherwise.
func TestForeignPageCannotConnect(t *testing.T) {
	for _, row := range []struct {
		name   string
		opt    nano.Option
		origin string
		host   string
		pass   bool
	}{
		{"default, any", nil, "https://evil.example", "", true},
		{"same origin, own host", nano.WithSameOrigin(), "https://game.example.com", "game.example.com", true},
		{"same origin, own host and port", nano.WithSameOrigin(), "http://game.example.com:3250", "game.example.com:3250", true},
		{"same origin, other port", nano.WithSameOrigin(), "http://game.example.com:8080", "game.example.com:3250", false},
		{"same origin, usual port in the host", nano.WithSameOrigin(), "https://game.example.com", "game.example.com:443", true},
		{"same origin, usual port of http", nano.WithSameOrigin(), "http://game.example.com", "game.example.com:80", true},
		{"same origin, usual port in the origin", nano.WithSameOrigin(), "https://game.example.com:443", "game.example.com", true},
		{"same origin, other case", nano.WithSameOrigin(), "https://Game.example.com", "game.example.COM:443", true},
		{"same origin, IPv6", nano.WithSameOrigin(), "https://[::1]", "[::1]:443", true},
		{"same origin, port of another scheme", nano.WithSameOrigin(), "http://game.example.com", "game.example.com:443", false},
		{"same origin, another with the usual port", nano.WithSameOrigin(), "https://evil.example", "game.example.com:443", false},
		{"list, usual port", nano.WithAllowedOrigins("https://b.example:443"), "https://b.example", "", true},
		{"list, usual port of another scheme", nano.WithAllowedOrigins("https://b.example:80"), "https://b.example", "", false},
		{"same origin, another", nano.WithSameOrigin(), "https://evil.example", "game.example.com", false},
		{"same origin, no browser", nano.WithSameOrigin(), "", "game.example.com", true},
		{"same origin, null", nano.WithSameOrigin(), "null", "game.example.com", false},
		{"same origin, no URL", nano.WithSameOrigin(), "://", "game.example.com", false},
		{"list, one of it", nano.WithAllowedOrigins("https://a.example", "https://b.example"), "https://b.example", "", true},
		{"list, other case", nano.WithAllowedOrigins("https://B.example"), "https://b.example", "", true},
		{"list, other scheme", nano.WithAllowedOrigins("https://b.example"), "http://b.example", "", false},
		{"list, longer", nano.WithAllowedOrigins("https://b.example"), "https://b.example.evil.example", "", false},
		{"list, star", nano.WithAllowedOrigins("*"), "https://evil.example", "", true},
		{"function, no", nano.WithCheckOriginFunc(func(*http.Request) bool { return false }), "", "", false},
		{"function, yes", nano.WithCheckOriginFunc(func(*http.Request) bool { return true }), "https://evil.example", "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps(), row.opt)
				nc, err := n.WS.Dial()
				if err != nil {
					t.Fatal(err)
				}
				header := http.Header{}
				if row.origin != "" {
					header.Set("Origin", row.origin)
				}
				if row.host != "" {
					header.Set("Host", row.host)
				}
				c, err := nanotest.Upgrade(t, nc, "/", header)
				var refused *nanotest.RefusedError
				switch {
				case row.pass && err != nil:
					t.Errorf("it was refused: %v", err)
				case row.pass:
					c.Ready()
					alive(t, c)
				case !errors.As(err, &refused) || refused.Status != http.StatusForbidden:
					t.Errorf("it was not refused: %v", err)
				default:
					synctest.Wait()
					if got := n.Stats().Refused; got != 1 {
						t.Errorf("%d refusals counted", got)
					}
				}
			})
		})
	}
}

// With TLS asked for, nothing may ever be served in plain text.
func TestTLSIsNeverPlainText(t *testing.T) {
	cert := nanotest.NewTLS(t)
	for _, row := range []struct {
		name string
		opts []nano.Option
		ws   bool
	}{
		{"files, tcp", []nano.Option{nano.WithTSLConfig(cert.CertFile, cert.KeyFile)}, false},
		{"files, websocket", []nano.Option{nano.WithTSLConfig(cert.CertFile, cert.KeyFile), nano.WithIsWebsocket(true)}, true},
		{"config, tcp", []nano.Option{nano.WithTLSConfig(cert.Server)}, false},
		{"config, websocket", []nano.Option{nano.WithTLSConfig(cert.Server), nano.WithIsWebsocket(true)}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			nanotest.Leaks(t)
			h := &Hostile{}
			n := apptest.Start(t, h.comps(), append(row.opts, nano.WithClientAddr("127.0.0.1:0"), nano.WithHeartbeatInterval(time.Minute))...)
			addr := n.App.Addr().String()

			nc, err := tls.Dial("tcp", addr, cert.Client)
			if err != nil {
				t.Fatal(err)
			}
			c := nanotest.NewClient(t, nc)
			if row.ws {
				c = nanotest.WebSocket(t, nc)
			}
			c.Ready()
			alive(t, c)

			plain, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			if err := plain.SetDeadline(time.Now().Add(nanotest.Patience)); err != nil {
				t.Fatal(err)
			}
			hello := string(codec.AppendPacket(nil, codec.Handshake, []byte("{}")))
			if row.ws {
				hello = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
			}
			if _, err := io.WriteString(plain, hello); err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(plain)
			if strings.Contains(string(got), "heartbeat") || strings.Contains(string(got), "101") {
				t.Errorf("a client without TLS was answered %q", got)
			}

			// A client that does not trust the certificate leaves; the others stay.
			if nc, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "localhost"}); err == nil {
				nc.Close()
				t.Error("the certificate was trusted by everybody")
			}
			alive(t, c)
		})
	}
}

// A node that cannot serve TLS does not start; least of all without it.
func TestBadCertificateIsAnErrorOfStart(t *testing.T) {
	cert, other := nanotest.NewTLS(t), nanotest.NewTLS(t)
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, cert, key string }{
		{"missing files", "/no/such/cert.pem", "/no/such/key.pem"},
		{"garbage", garbage, garbage},
		{"another's key", cert.CertFile, other.KeyFile},
		{"no key", cert.CertFile, ""},
		{"no certificate", "", cert.KeyFile},
		{"neither", "", ""},
	} {
		for _, ws := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				h := &Hostile{}
				for _, opts := range [][]nano.Option{
					{nano.WithTSLConfig(row.cert, row.key), nano.WithClientAddr("127.0.0.1:0"), nano.WithIsWebsocket(ws)},
					{nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", CertFile: row.cert, KeyFile: row.key, TLS: &tls.Config{}, WebSocket: ws})},
				} {
					n := apptest.New(h.comps(), opts...)
					if err := n.Start(t.Context()); err == nil {
						n.Stop(t)
						t.Error("the node started")
					}
				}
			})
		}
	}
}

// The WebSocket is at its path only, and the rest belongs to the pages.
func TestWebSocketIsAtItsPathOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hostile{}
		l := nanotest.NewListener()
		n := apptest.Start(t, h.comps(),
			nano.WithEndpoint(nano.Endpoint{Listener: l, WebSocket: true, Path: "game"}),
			nano.WithHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "page "+r.URL.Path)
			})))
		dial := func() net.Conn {
			nc, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			return nc
		}
		c, err := nanotest.Upgrade(t, dial(), "/game?token=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Ready()
		alive(t, c)
		var refused *nanotest.RefusedError
		if _, err := nanotest.Upgrade(t, dial(), "/other", nil); !errors.As(err, &refused) || refused.Status != http.StatusOK {
			t.Errorf("another path: %v", err)
		}
		client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return l.Dial() }, DisableKeepAlives: true}}
		for _, path := range []string{"/", "/game", "/lobby.html"} { // at the WebSocket's path too, without an upgrade
			resp, err := client.Get("http://game.example.com" + path)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if string(b) != "page "+path {
				t.Errorf("%s: %q", path, b)
			}
		}
		_ = n
	})
}

// A client at any path is served where v0.5 served it, and the log tells where that is, to be
// copied into a client.
func TestWebSocketsOfV05HaveEveryPath(t *testing.T) {
	nanotest.Leaks(t)
	for _, row := range []struct {
		path  string
		paths []string
		url   string
	}{
		{"", []string{"/", "/ws", "/nano", "/a/b?x=1"}, "/"},
		{"/nano", []string{"/nano", "/nano?x=1"}, "/nano"},
		{"game/", []string{"/game/", "/game/a/b"}, "/game/"},
	} {
		logger, log := nanotest.NewLog()
		h := &Hostile{}
		app := nano.New("127.0.0.1:0", nano.WithProcessDefaults(), nano.WithIsWebsocket(true), nano.WithWSPath(row.path),
			nano.WithComponents(h.comps()), nano.WithSerializer(json.NewSerializer()), nano.WithSlog(logger))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, path := range row.paths {
			nc, err := net.Dial("tcp", app.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c, err := nanotest.Upgrade(t, nc, path, nil)
			if err != nil {
				t.Errorf("a client at %s of a node with the path %q: %v", path, row.path, err)
				continue
			}
			c.Ready()
			alive(t, c)
			c.Close()
		}
		if want := "ws://" + app.Addr().String() + row.url; !log.Has("[" + want + "]") {
			t.Errorf("the log does not name %s: %v", want, log.Lines())
		}
		(&apptest.Node{App: app}).Stop(t)
	}
}

// A page speaks a subprotocol with the node only if the application has named it.
func TestWithSubprotocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hostile{}
		n := apptest.Start(t, h.comps(), nano.WithSubprotocols("v2", "v1"))
		nc, err := n.WS.Dial()
		if err != nil {
			t.Fatal(err)
		}
		ws, resp, err := websocket.NewClient(nc, &url.URL{Scheme: "ws", Host: "game.example.com", Path: "/"},
			http.Header{"Sec-Websocket-Protocol": {"v1, v2"}}, 0, 0)
		if err != nil {
			t.Fatalf("%v: %v", err, resp)
		}
		_ = resp.Body.Close()
		if got := ws.Subprotocol(); got != "v2" {
			t.Errorf("agreed on %q", got)
		}
		_ = ws.Close()
	})
}
