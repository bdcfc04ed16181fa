package nanotest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
)

// Next returns the next packet, its body a copy. io.EOF, or what the network says, is the end of
// the connection; a *ClosedError is that of a WebSocket that said goodbye.
func (c *Client) Next() (codec.Packet, error) {
	for {
		if c.fed {
			p, ok, err := c.packets.Next()
			if err != nil {
				return codec.Packet{}, fmt.Errorf("the server sent what is no packet: %w", err)
			}
			if ok {
				p.Body = bytes.Clone(p.Body)
				if p.Type == codec.Heartbeat && c.Beats {
					_ = c.SendPacket(codec.Heartbeat, nil) // a connection that has ended shows when reading
				}
				return p, nil
			}
			c.fed = false
			if c.websocket && c.packets.Partial() {
				return codec.Packet{}, errors.New("a WebSocket message from the server ends inside a packet")
			}
		}
		var b []byte
		var err error
		if c.websocket {
			b, err = c.NextWS()
		} else {
			b, err = c.take()
		}
		if err != nil {
			return codec.Packet{}, err
		}
		c.packets.Feed(b)
		c.fed = true
	}
}

// NextWS returns the next whole WebSocket message, a copy, and skips pings and pongs. Do not mix it
// with Next unless each message so far held exactly one packet.
func (c *Client) NextWS() ([]byte, error) {
	var b []byte
	for {
		ev, err := c.NextFrame()
		if err != nil {
			return nil, err
		}
		if ev.Kind != wsframe.Data {
			continue
		}
		b = append(b, ev.Payload...)
		if ev.Final {
			return b, nil
		}
	}
}

// NextFrame returns the next piece of a WebSocket message or control frame; a close frame is an
// error *ClosedError.
func (c *Client) NextFrame() (wsframe.Event, error) {
	for {
		ev, rest, err := c.frames.Next(c.raw)
		c.raw = rest
		switch {
		case err != nil:
			return ev, fmt.Errorf("the server sent what is no WebSocket frame: %w", err)
		case ev.Kind == wsframe.Close:
			code, reason := wsframe.ParseClose(ev.Payload)
			return ev, &ClosedError{code, reason}
		case ev.Kind != wsframe.None:
			return ev, nil
		}
		if c.raw, err = c.read(); err != nil {
			return ev, err
		}
	}
}

// take returns what is there to decode, and reads if that is nothing.
func (c *Client) take() (b []byte, err error) {
	if b, c.raw = c.raw, nil; len(b) > 0 {
		return b, nil
	}
	return c.read()
}

// read reads once into a buffer of its own.
func (c *Client) read() ([]byte, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(Patience)) // of a pipe whose other end is closed it fails; Read says what there is
	if c.room == nil {
		c.room = make([]byte, 16<<10)
	}
	n, err := c.nc.Read(c.room)
	if n > 0 {
		return bytes.Clone(c.room[:n]), nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return nil, err
}

// NextMessage returns the next data packet's message, with a gzip payload unpacked, and passes over
// heartbeats. A kick is an error *KickedError.
func (c *Client) NextMessage() (*codec.Message, error) {
	for {
		p, err := c.Next()
		if err != nil {
			return nil, err
		}
		switch p.Type {
		case codec.Heartbeat:
		case codec.Data:
			return Decode(p.Body, c.Dictionary)
		case codec.Kick:
			var k KickedError
			if err := json.Unmarshal(p.Body, &k); err != nil {
				return nil, fmt.Errorf("the body %q of a kick: %w", p.Body, err)
			}
			return nil, &k
		default:
			return nil, fmt.Errorf("instead of a message came %v %q", p.Type, p.Body)
		}
	}
}

// Decode reads a data packet's body. A gzip payload is unpacked; Gzip stays set.
func Decode(body []byte, d *codec.Dictionary) (*codec.Message, error) {
	v, err := codec.ParseMessage(body)
	if err != nil {
		return nil, err
	}
	m, err := v.Message(d)
	if err != nil || !m.Gzip {
		return m, err
	}
	z, err := gzip.NewReader(bytes.NewReader(m.Data))
	if err != nil {
		return nil, err
	}
	m.Data, err = io.ReadAll(z)
	return m, err
}

// Packet returns the next packet.
func (c *Client) Packet() codec.Packet {
	c.t.Helper()
	p, err := c.Next()
	if err != nil {
		c.t.Fatalf("a packet was expected: %v", err)
	}
	return p
}

// Message returns the next message; see NextMessage.
func (c *Client) Message() *codec.Message {
	c.t.Helper()
	m, err := c.NextMessage()
	if err != nil {
		c.t.Fatalf("a message was expected: %v", err)
	}
	return m
}

// Response returns the next message, which must answer request id.
func (c *Client) Response(id uint64) *codec.Message {
	c.t.Helper()
	m := c.Message()
	if m.Type != codec.Response || m.ID != id {
		c.t.Fatalf("the answer to request %d was expected, got %v", id, m)
	}
	return m
}

// Push returns the payload of the next message, which must be a push with this route.
func (c *Client) Push(route string) []byte {
	c.t.Helper()
	m := c.Message()
	if m.Type != codec.Push || m.Route != route {
		c.t.Fatalf("a push %q was expected, got %v", route, m)
	}
	return m.Data
}

// Kicked returns the reason of the kick that must come next, heartbeats aside.
func (c *Client) Kicked() string {
	c.t.Helper()
	m, err := c.NextMessage()
	var k *KickedError
	if !errors.As(err, &k) {
		c.t.Fatalf("a kick was expected, got %v, %v", m, err)
	}
	return k.Reason
}

// Rest reads until the connection ends and returns the packets that came before.
func (c *Client) Rest() []codec.Packet {
	c.t.Helper()
	var all []codec.Packet
	for {
		p, err := c.Next()
		switch {
		case err == nil:
			all = append(all, p)
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.t.Fatalf("the connection did not end; packets until then: %v", all)
		default:
			return all
		}
	}
}

// Ended wants the connection to end without another packet but heartbeats.
func (c *Client) Ended() {
	c.t.Helper()
	for _, p := range c.Rest() {
		if p.Type != codec.Heartbeat {
			c.t.Fatalf("the end was expected, got %v %q", p.Type, p.Body)
		}
	}
}
