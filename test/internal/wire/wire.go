// Package wire is a client of the raw protocol for the programs under test, over TCP or WebSocket.
// It checks nothing and hides nothing: what arrives is handed out packet by packet.
package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
)

// Hello is the body of a handshake that accepts errors.
const Hello = `{"sys":{"type":"test","version":"1","accept":["error"]}}`

// patience bounds each step of connecting, and each write.
const patience = 30 * time.Second

// maxPacket is the largest packet that a Conn reads.
const maxPacket = 1 << 20

// ErrKicked is wrapped by the error of Next after a kick.
var ErrKicked = errors.New("kicked")

// key masks every frame of a WebSocket client.
var key = [4]byte{0xa1, 0x52, 0x3c, 0x0f}

// Conn is a client's connection. One goroutine may read; any number may write.
type Conn struct {
	net.Conn
	WebSocket bool

	mu      sync.Mutex // one write at a time
	packets codec.Decoder
	frames  wsframe.Parser
	buf     []byte // what reads go to
	raw     []byte // read, and not parsed
	fed     bool   // packets may hold more of what it was fed
}

// Dial connects to an endpoint, without a handshake. A WebSocket is upgraded.
func Dial(addr string, webSocket bool) (*Conn, error) {
	nc, err := (&net.Dialer{Timeout: patience}).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: nc, WebSocket: webSocket, buf: make([]byte, 2<<10)}
	c.packets.Init(maxPacket)
	c.frames.InitClient(0)
	if !webSocket {
		return c, nil
	}
	if err := c.upgrade(addr); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

// UpgradeRequest is the request of a WebSocket client, with more header lines ("Name: value\r\n").
func UpgradeRequest(host, more string) string {
	return "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + more + "\r\n"
}

func (c *Conn) upgrade(host string) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.Conn, UpgradeRequest(host, "")); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c.Conn, 512)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upgrade refused: %s", resp.Status)
	}
	early, _ := r.Peek(r.Buffered())
	c.raw = slices.Clone(early)
	return c.SetDeadline(time.Time{})
}

// Shake does the whole handshake with a body such as [Hello].
func (c *Conn) Shake(body string) error {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if err := c.Send(codec.AppendPacket(nil, codec.Handshake, []byte(body))); err != nil {
		return err
	}
	p, err := c.Next()
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if p.Type != codec.Handshake || !strings.Contains(string(p.Body), `"code":200`) {
		return fmt.Errorf("handshake answered with %v %q", p.Type, p.Body)
	}
	_ = c.SetReadDeadline(time.Time{})
	return c.Send(codec.AppendPacket(nil, codec.HandshakeAck, nil))
}

// Ready connects and does the handshake.
func Ready(addr string, webSocket bool) (*Conn, error) {
	c, err := Dial(addr, webSocket)
	if err != nil {
		return nil, err
	}
	if err := c.Shake(Hello); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Send writes bytes of the packet stream: as they are to TCP, as one message to a WebSocket.
func (c *Conn) Send(b []byte) error {
	if c.WebSocket {
		b = wsframe.AppendMasked(nil, wsframe.OpBinary, true, key, b)
	}
	return c.SendRaw(b)
}

// SendRaw writes bytes to the connection as they are.
func (c *Conn) SendRaw(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Write(b)
	return err
}

// Frame makes a WebSocket frame of a client.
func Frame(op byte, fin bool, payload []byte) []byte {
	return wsframe.AppendMasked(nil, op, fin, key, payload)
}

// Message makes a data packet. It panics on a message that cannot be written, such as one with a
// route of more than 255 bytes.
func Message(t codec.Type, id uint64, route string, payload []byte) []byte {
	b, err := codec.AppendData(nil, t, id, route, payload, 0, nil, 0)
	if err != nil {
		panic(err)
	}
	return b
}

// Request sends a request, or with id 0 a notify.
func (c *Conn) Request(id uint64, route string, payload []byte) error {
	if id == 0 {
		return c.Send(Message(codec.Notify, 0, route, payload))
	}
	return c.Send(Message(codec.Request, id, route, payload))
}

// Next returns the next packet. Its body is valid until the next call. A heartbeat is answered, and
// handed out too. The error after a WebSocket close frame is io.EOF.
func (c *Conn) Next() (codec.Packet, error) {
	for {
		if c.fed {
			p, ok, err := c.packets.Next()
			if err != nil {
				return p, err
			}
			if ok {
				return p, c.answer(p)
			}
			c.fed = false
		}
		if err := c.feed(); err != nil {
			return codec.Packet{}, err
		}
	}
}

func (c *Conn) answer(p codec.Packet) error {
	if p.Type == codec.Heartbeat {
		return c.Send(codec.AppendPacket(nil, codec.Heartbeat, nil))
	}
	return nil
}

// NextMessage returns the next message. A kick is an error that wraps [ErrKicked].
func (c *Conn) NextMessage() (codec.View, error) {
	for {
		p, err := c.Next()
		if err != nil {
			return codec.View{}, err
		}
		switch p.Type {
		case codec.Data:
			return codec.ParseMessage(p.Body)
		case codec.Kick:
			return codec.View{}, fmt.Errorf("%w: %s", ErrKicked, p.Body)
		}
	}
}

// feed gives the decoder what comes next.
func (c *Conn) feed() error {
	if len(c.raw) == 0 {
		n, err := c.Read(c.buf)
		if n == 0 {
			return err
		}
		c.raw = c.buf[:n]
	}
	if !c.WebSocket {
		c.packets.Feed(c.raw)
		c.raw, c.fed = nil, true
		return nil
	}
	ev, rest, err := c.frames.Next(c.raw)
	c.raw = rest
	switch {
	case err != nil:
		return fmt.Errorf("no WebSocket frame: %w", err)
	case ev.Kind == wsframe.Close:
		return io.EOF
	case ev.Kind == wsframe.Ping:
		return c.SendRaw(Frame(wsframe.OpPong, true, ev.Payload))
	case ev.Kind == wsframe.Data:
		c.packets.Feed(ev.Payload)
		c.fed = true
	}
	return nil
}
