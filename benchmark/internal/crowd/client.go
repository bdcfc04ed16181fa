//go:build linux

package crowd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lonng/nano/codec"
)

// state is how far a client has come.
type state uint8

const (
	connecting state = iota
	upgrading        // the WebSocket
	greeting         // sent its handshake
	asking           // sent its request
	in
	gone
)

func (s state) String() string {
	return [...]string{"connecting", "upgrading", "greeting", "asking", "in", "gone"}[s]
}

// conn is one client.
type conn struct {
	fd    int32
	state state
	rest  []byte // of a frame that has not come whole
}

var errShort = errors.New("more bytes are needed")

// greet sends the first bytes of a client.
func (c *Crowd) greet(i int32) error {
	k := &c.conns[i]
	if !c.cfg.WebSocket {
		k.state = greeting
		return c.sendHello(k)
	}
	k.state = upgrading
	c.out = fmt.Appendf(c.out[:0], "GET %s HTTP/1.1\r\nHost: nano\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", c.cfg.Path)
	return c.write(k, c.out)
}

func (c *Crowd) sendHello(k *conn) error {
	hello := `{"sys":{"accept":["error"]}}`
	if c.cfg.Batch {
		hello = `{"sys":{"accept":["error","batch"]}}`
	}
	return c.sendPackets(k, codec.AppendPacket(nil, codec.Handshake, []byte(hello)))
}

// sendPackets sends packets, in one WebSocket message where there is one.
func (c *Crowd) sendPackets(k *conn, packets []byte) error {
	if !c.cfg.WebSocket {
		return c.write(k, packets)
	}
	c.out = append(c.out[:0], 0x82) // binary, whole
	switch n := len(packets); {
	case n <= 125:
		c.out = append(c.out, 0x80|byte(n))
	default:
		c.out = append(c.out, 0x80|126)
		c.out = binary.BigEndian.AppendUint16(c.out, uint16(n))
	}
	c.out = append(c.out, 0, 0, 0, 0) // a mask of zeros changes nothing
	return c.write(k, append(c.out, packets...))
}

// consume takes all that is whole of what a client has got, and returns the rest.
func (c *Crowd) consume(i int32, b []byte) (rest []byte, err error) {
	k := &c.conns[i]
	if k.state == upgrading {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			return b, nil
		}
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 101 ")) {
			line, _, _ := bytes.Cut(b, []byte("\r\n"))
			return nil, fmt.Errorf("the upgrade was answered with %q", line)
		}
		k.state = greeting
		if err := c.sendHello(k); err != nil {
			return nil, err
		}
		b = b[end+4:]
	}
	for len(b) > 0 {
		packets, n, err := c.message(k, b)
		if errors.Is(err, errShort) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if err := c.packets(i, packets); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return nil, nil
}

// message cuts the next piece that holds whole packets: a WebSocket message, or one packet. It
// returns how many bytes it takes with its head.
func (c *Crowd) message(k *conn, b []byte) (packets []byte, n int, err error) {
	if !c.cfg.WebSocket {
		if len(b) < codec.HeadLength {
			return nil, 0, errShort
		}
		n = codec.HeadLength + packetLength(b)
		if len(b) < n {
			return nil, 0, errShort
		}
		return b[:n], n, nil
	}
	if len(b) < 2 {
		return nil, 0, errShort
	}
	head, size := 2, int(b[1]&0x7f)
	switch size {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(b) < head {
		return nil, 0, errShort
	}
	switch head {
	case 4:
		size = int(binary.BigEndian.Uint16(b[2:]))
	case 10:
		size = int(binary.BigEndian.Uint64(b[2:]))
	}
	if size > len(c.buf)-head {
		return nil, 0, fmt.Errorf("a message of %d bytes", size)
	}
	if len(b) < head+size {
		return nil, 0, errShort
	}
	payload := b[head : head+size]
	switch b[0] & 0x0f {
	case 0x2:
		return payload, head + size, nil
	case 0x8:
		return nil, 0, fmt.Errorf("a WebSocket close frame: %x", payload)
	case 0x9, 0xA: // a ping: the server of this project sends none
		return nil, head + size, nil
	}
	return nil, 0, fmt.Errorf("a WebSocket frame of type %d (%s)", b[0]&0x0f, k.state)
}

func packetLength(b []byte) int { return int(b[1])<<16 | int(b[2])<<8 | int(b[3]) }

// packets serves whole packets.
func (c *Crowd) packets(i int32, b []byte) error {
	for len(b) > 0 {
		if len(b) < codec.HeadLength || len(b) < codec.HeadLength+packetLength(b) {
			return errors.New("a part of a packet in a message")
		}
		n := codec.HeadLength + packetLength(b)
		if err := c.packet(i, codec.PacketType(b[0]), b[codec.HeadLength:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (c *Crowd) packet(i int32, t codec.PacketType, body []byte) error {
	k := &c.conns[i]
	switch t {
	case codec.Handshake:
		return c.welcomed(i)
	case codec.Heartbeat:
		if c.cfg.OnBeat != nil {
			defer c.cfg.OnBeat()
		}
		return c.sendPackets(k, codec.AppendPacket(nil, codec.Heartbeat, nil))
	case codec.Kick:
		return fmt.Errorf("kicked: %s", body)
	case codec.Data:
		m, err := codec.ParseMessage(body)
		switch {
		case err != nil:
			return err
		case m.Err && bytes.Contains(m.Data, []byte(`"unavailable"`)) && c.again.Add(1) < maxAgain:
			return c.ask(i, nil) // a link between two nodes has begun anew
		case m.Err:
			return fmt.Errorf("the request failed: %s", m.Data)
		case m.Type == codec.Push:
			c.pushes.Add(1)
			c.bytes.Add(int64(len(m.Data)))
		case k.state == asking:
			c.enter(k)
		}
	}
	return nil
}

// welcomed acknowledges the handshake, and makes the request.
func (c *Crowd) welcomed(i int32) error {
	return c.ask(i, codec.AppendPacket(nil, codec.HandshakeAck, nil))
}

// maxAgain is how often clients on their way in try again, all together: a connection that broke,
// or a request that was not served.
const maxAgain = 1000

// ask makes the request of a client, behind other packets. A client without one is in.
func (c *Crowd) ask(i int32, out []byte) error {
	k := &c.conns[i]
	if c.cfg.Request != nil {
		if route, data := c.cfg.Request(int(i)); route != "" {
			k.state = asking
			out, err := codec.AppendData(out, codec.Request, 1, route, data, 0, nil, 0)
			if err != nil {
				return err
			}
			return c.sendPackets(k, out)
		}
	}
	c.enter(k)
	return c.sendPackets(k, out)
}

// enter counts a client as in.
func (c *Crowd) enter(k *conn) {
	k.state = in
	c.coming--
	if n := c.ready.Add(1); int(n) == len(c.conns) {
		close(c.entered)
	}
}
