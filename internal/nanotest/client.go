package nanotest

import (
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
)

// Patience is how long a Client waits for what it expects. Tests that expect something within a
// time measure it themselves; this is only what ends a test that would hang.
const Patience = 30 * time.Second

// Client is one connection of a client that does exactly what it is told. One goroutine may read
// and another may write. The methods without an error result fail the test, so they belong on the
// goroutine of the test; elsewhere, use those that return errors.
type Client struct {
	t  testing.TB
	nc net.Conn

	// Beats has the client answer each heartbeat that it reads. Set it before reading.
	Beats bool
	// Dictionary is used for routes both ways. Handshake fills it in.
	Dictionary *codec.Dictionary

	websocket bool
	writing   chan struct{} // one token: writes of two goroutines do not mix
	id        uint64
	key       [4]byte

	packets codec.Decoder
	frames  wsframe.Parser
	room    []byte // to read into
	raw     []byte // read and not decoded
	fed     bool   // packets may hold more of what it was fed
}

// ClosedError is the error of a read after a WebSocket close frame.
type ClosedError struct {
	Code   int
	Reason string
}

func (c *ClosedError) Error() string { return fmt.Sprintf("websocket closed: %d %s", c.Code, c.Reason) }

// KickedError is the error of a read of messages that met a kick.
type KickedError struct{ Reason string }

func (k *KickedError) Error() string { return "kicked: " + k.Reason }

// NewClient takes a connection to a TCP endpoint, or a TLS connection. It is closed when the test
// ends.
func NewClient(t testing.TB, nc net.Conn) *Client {
	c := &Client{t: t, nc: nc, writing: make(chan struct{}, 1), key: [4]byte{0xa1, 0x52, 0x3c, 0x0f}}
	c.packets.Init(1<<24 - 1)
	c.frames.InitClient(0)
	t.Cleanup(func() { _ = nc.Close() })
	return c
}

// Client connects to a TCP endpoint of a listener in memory.
func (l *Listener) Client(t testing.TB) *Client {
	t.Helper()
	nc, err := l.Dial()
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return NewClient(t, nc)
}

// Dial connects to a TCP endpoint of the network.
func Dial(t testing.TB, to net.Addr) *Client {
	t.Helper()
	return NewClient(t, dial(t, to))
}

func dial(t testing.TB, to net.Addr) net.Conn {
	t.Helper()
	nc, err := (&net.Dialer{Timeout: Patience}).DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return nc
}

// Conn returns the connection under the client.
func (c *Client) Conn() net.Conn { return c.nc }

// Close closes the connection without a word.
func (c *Client) Close() { _ = c.nc.Close() }

// Answer is what a server answers to a handshake.
type Answer struct {
	Code   int
	Reason string
	Sys    struct {
		Heartbeat  json.Number
		ServerTime int64
		Dict       map[string]uint16
		Accepted   []string
	}
	User json.RawMessage
	Body []byte // all of it, as it was sent
}

// Handshake sends a handshake with this body and reads the answer, whatever its code.
func (c *Client) Handshake(body string) Answer {
	c.t.Helper()
	c.WritePacket(codec.Handshake, []byte(body))
	p := c.Packet()
	if p.Type != codec.Handshake {
		c.t.Fatalf("instead of a handshake's answer came %v %q", p.Type, p.Body)
	}
	a := Answer{Body: p.Body}
	if err := json.Unmarshal(p.Body, &a); err != nil {
		c.t.Fatalf("the handshake's answer %q is not what clients read: %v", p.Body, err)
	}
	if len(a.Sys.Dict) > 0 {
		d, err := codec.NewDictionary(a.Sys.Dict)
		if err != nil {
			c.t.Fatalf("the dictionary %v of the handshake: %v", a.Sys.Dict, err)
		}
		c.Dictionary = d
	}
	return a
}

// Ack sends the handshake ack.
func (c *Client) Ack() {
	c.t.Helper()
	c.WritePacket(codec.HandshakeAck, nil)
}

// Ready does the whole handshake, with a body of {} or the one given, and wants code 200.
func (c *Client) Ready(body ...string) Answer {
	c.t.Helper()
	b := "{}"
	if len(body) > 0 {
		b = body[0]
	}
	a := c.Handshake(b)
	if a.Code != 200 {
		c.t.Fatalf("the handshake was refused: %s", a.Body)
	}
	c.Ack()
	return a
}

// Request sends a request and returns its id; ids count from 1.
func (c *Client) Request(route string, data []byte) uint64 {
	c.t.Helper()
	c.id++
	c.WriteMessage(&codec.Message{Type: codec.Request, ID: c.id, Route: route, Data: data})
	return c.id
}

// Notify sends a notify.
func (c *Client) Notify(route string, data []byte) {
	c.t.Helper()
	c.WriteMessage(&codec.Message{Type: codec.Notify, Route: route, Data: data})
}

// Call sends a request and returns its response, which must be the next message.
func (c *Client) Call(route string, data []byte) *codec.Message {
	c.t.Helper()
	return c.Response(c.Request(route, data))
}

// Heartbeat sends a heartbeat.
func (c *Client) Heartbeat() {
	c.t.Helper()
	c.WritePacket(codec.Heartbeat, nil)
}

// WriteMessage sends a message of any type in a data packet.
func (c *Client) WriteMessage(m *codec.Message) {
	c.t.Helper()
	b, err := codec.AppendMessage(nil, m, c.Dictionary)
	if err != nil {
		c.t.Fatalf("encode %v: %v", m, err)
	}
	c.WritePacket(codec.Data, b)
}

// WritePacket sends one packet, as a WebSocket message of its own where there are any.
func (c *Client) WritePacket(t codec.PacketType, body []byte) {
	c.t.Helper()
	if err := c.SendPacket(t, body); err != nil {
		c.t.Fatalf("write %v: %v", t, err)
	}
}

// SendPacket is WritePacket that returns the error.
func (c *Client) SendPacket(t codec.PacketType, body []byte) error {
	return c.Send(codec.AppendPacket(nil, t, body))
}

// Send writes bytes of the packet stream: as they are to TCP, as one binary message to a WebSocket.
func (c *Client) Send(b []byte) error {
	if c.websocket {
		b = wsframe.AppendMasked(nil, wsframe.OpBinary, true, c.key, b)
	}
	return c.SendRaw(b)
}

// Write is Send that fails the test.
func (c *Client) Write(b []byte) {
	c.t.Helper()
	if err := c.Send(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// WriteFrame sends one WebSocket frame, masked.
func (c *Client) WriteFrame(op byte, fin bool, payload []byte) {
	c.t.Helper()
	if err := c.SendRaw(wsframe.AppendMasked(nil, op, fin, c.key, payload)); err != nil {
		c.t.Fatalf("write a frame: %v", err)
	}
}

// SendRaw writes bytes to the connection as they are.
func (c *Client) SendRaw(b []byte) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	if err := c.nc.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	return err
}
