package nanotest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// upgrade asks for a WebSocket and returns what came behind the answer.
func upgrade(nc net.Conn, path string, h http.Header) ([]byte, error) {
	var b strings.Builder
	host := "game.example.com"
	if v := h.Get("Host"); v != "" {
		host = v
	}
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", path, host)
	b.WriteString("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	for k, vs := range h {
		for _, v := range vs {
			if k != "Host" {
				fmt.Fprintf(&b, "%s: %s\r\n", k, v)
			}
		}
	}
	b.WriteString("\r\n")
	if err := nc.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(nc, b.String()); err != nil {
		return nil, err
	}
	r := bufio.NewReader(nc)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, &RefusedError{resp.StatusCode}
	}
	if got := resp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		return nil, errors.New("the answer's Sec-WebSocket-Accept is wrong: " + got)
	}
	return r.Peek(r.Buffered())
}

// RefusedError is the error of Upgrade when the server answered with another status than 101.
type RefusedError struct{ Status int }

func (r *RefusedError) Error() string { return fmt.Sprintf("upgrade refused with status %d", r.Status) }

// Upgrade makes a WebSocket client of a connection. header adds to the request, and may replace its
// Host.
func Upgrade(t testing.TB, nc net.Conn, path string, header http.Header) (*Client, error) {
	early, err := upgrade(nc, path, header)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	c := NewClient(t, nc)
	c.websocket = true
	c.raw = append(c.raw, early...)
	return c, nil
}

// WebSocket is Upgrade on "/" that fails the test.
func WebSocket(t testing.TB, nc net.Conn) *Client {
	t.Helper()
	c, err := Upgrade(t, nc, "/", nil)
	if err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	return c
}

// WebSocket connects to a WebSocket endpoint of a listener in memory, on "/".
func (l *Listener) WebSocket(t testing.TB) *Client {
	t.Helper()
	nc, err := l.Dial()
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return WebSocket(t, nc)
}

// DialWebSocket connects to a WebSocket endpoint of the network, on "/".
func DialWebSocket(t testing.TB, to net.Addr) *Client {
	t.Helper()
	return WebSocket(t, dial(t, to))
}
