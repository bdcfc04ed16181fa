//go:build linux

package load

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lonng/nano/codec"
)

// patient is how long a client waits for what should come.
const patient = 10 * time.Second

// each runs fn for every connection at once, and returns the errors.
func each(all []*conn, fn func(i int, c *conn) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { errs[i] = fn(i, c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// conn is a client that costs little.
type conn struct {
	stream
	packets codec.Decoder
	out     []byte
}

func dial(addr string, ws, batch bool) (*conn, error) {
	c := new(conn)
	c.packets.Init(1 << 20)
	var err error
	if ws {
		var w *websocket.Conn
		if w, _, err = websocket.DefaultDialer.Dial("ws://"+addr+"/nano", nil); err == nil {
			c.stream = &wsStream{w}
		}
	} else {
		c.stream, err = dialTCP(addr)
	}
	if err != nil {
		return nil, err
	}
	hello := "{}"
	if batch {
		hello = `{"sys":{"accept":["batch"]}}`
	}
	if err := c.write(codec.AppendPacket(nil, codec.Handshake, []byte(hello))); err != nil {
		return nil, err
	}
	p, err := c.packet()
	if err != nil || p.Type != codec.Handshake {
		return nil, fmt.Errorf("handshake: %v %w", p.Type, err)
	}
	return c, c.write(codec.AppendPacket(nil, codec.HandshakeAck, nil))
}

// packet returns the next one, valid until the next call.
func (c *conn) packet() (codec.Packet, error) {
	for {
		p, ok, err := c.packets.Next()
		if ok || err != nil {
			return p, err
		}
		b, err := c.read()
		if err != nil {
			return p, err
		}
		c.packets.Feed(b)
	}
}

// message returns the next message, and answers heartbeats.
func (c *conn) message() (codec.View, error) {
	for {
		p, err := c.packet()
		if err != nil {
			return codec.View{}, err
		}
		switch p.Type {
		case codec.Data:
			return codec.ParseMessage(p.Body)
		case codec.Heartbeat:
			if err := c.write(codec.AppendPacket(nil, codec.Heartbeat, nil)); err != nil {
				return codec.View{}, err
			}
		case codec.Kick:
			return codec.View{}, fmt.Errorf("kicked: %s", p.Body)
		}
	}
}

func (c *conn) send(t codec.Type, id uint64, route string, data []byte) (err error) {
	c.out, err = codec.AppendData(c.out[:0], t, id, route, data, 0, nil, 0)
	if err != nil {
		return err
	}
	return c.write(c.out)
}

// call waits for the answer to a request, which is valid until the next message is read.
func (c *conn) call(id uint64, route string, data []byte) ([]byte, error) {
	if err := c.send(codec.Request, id, route, data); err != nil {
		return nil, err
	}
	for {
		m, err := c.message()
		if err != nil || m.Type == codec.Response && m.ID == id {
			return m.Data, err
		}
	}
}
