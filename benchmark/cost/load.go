package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lonng/nano/codec"
)

// scenario is what the clients do.
type scenario struct {
	what      string
	addr      string
	websocket bool
	clients   int
	depth     int
	rate      float64
	duration  time.Duration
}

const (
	payload = 64
	burst   = 10_000
	patient = 10 * time.Second // for what should come
)

// load connects the clients, waits for a line, does its work, and says what came of it.
func load(s *scenario) error {
	all := make([]*conn, s.clients)
	for i := range all {
		c, err := dial(s.addr, s.websocket)
		if err != nil {
			return err
		}
		all[i] = c
		if s.what == "broadcast" {
			if err := c.call(1, "Bench.Join", []byte("x")); err != nil {
				return err
			}
		}
	}
	fmt.Println("ready")
	if !bufio.NewScanner(os.Stdin).Scan() {
		return nil // idle clients are told no more than to end
	}
	switch s.what {
	case "echo":
		return s.echo(all)
	case "broadcast":
		return s.broadcast(all)
	case "burst":
		return s.burst(all[0])
	}
	return fmt.Errorf("nothing is known of %q", s.what)
}

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

// echo has depth requests in flight on each connection.
func (s *scenario) echo(all []*conn) error {
	data := make([]byte, payload)
	times := make([][]time.Duration, len(all))
	begun := time.Now()
	end := begun.Add(s.duration)
	err := each(all, func(i int, c *conn) error {
		sent := make([]time.Time, s.depth)
		for id := range s.depth {
			sent[id] = time.Now()
			if err := c.send(codec.Request, uint64(id)+1, "Bench.Echo", data); err != nil {
				return err
			}
		}
		for open := s.depth; open > 0; {
			m, err := c.message()
			if err != nil {
				return err
			}
			if m.Type != codec.Response {
				continue
			}
			now := time.Now()
			times[i] = append(times[i], now.Sub(sent[m.ID-1]))
			if now.After(end) {
				open--
				continue
			}
			sent[m.ID-1] = now
			if err := c.send(codec.Request, m.ID, "Bench.Echo", data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(begun)
	flat := slices.Concat(times...)
	slices.Sort(flat)
	fmt.Printf("done %d %.0f/s, median %v, 99 %% within %v\n", len(flat), float64(len(flat))/took.Seconds(), flat[len(flat)/2], flat[len(flat)*99/100])
	return nil
}

// broadcast has one client speak at a rate, and all count what they hear.
func (s *scenario) broadcast(all []*conn) error {
	n := int(s.rate * s.duration.Seconds())
	var speaking sync.WaitGroup
	speaking.Go(func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / s.rate))
		defer tick.Stop()
		data := make([]byte, payload)
		for i := range n {
			<-tick.C
			binary.BigEndian.PutUint64(data, uint64(i))
			if err := all[0].send(codec.Notify, 0, "Bench.Say", data); err != nil {
				return // those who hear nothing say so
			}
		}
	})
	err := each(all, func(_ int, c *conn) error {
		for i := range n {
			m, err := c.message()
			if err != nil {
				return err
			}
			if m.Type != codec.Push || len(m.Data) != payload || binary.BigEndian.Uint64(m.Data) != uint64(i) {
				return fmt.Errorf("message %d of the broadcast is %v", i, m)
			}
		}
		return nil
	})
	speaking.Wait()
	if err != nil {
		return err
	}
	fmt.Printf("done %d nothing lost, all in order\n", n*len(all))
	return nil
}

// burst has many pushes sent to one client at once.
func (s *scenario) burst(c *conn) error {
	begun := time.Now()
	if err := c.send(codec.Request, 1, "Bench.Burst", []byte(strconv.Itoa(burst))); err != nil {
		return err
	}
	for i := range burst {
		m, err := c.message()
		if err != nil {
			return err
		}
		if m.Type != codec.Push || string(m.Data) != strconv.Itoa(i) {
			return fmt.Errorf("push %d is %q", i, m.Data)
		}
	}
	fmt.Printf("done %d within %v\n", burst, time.Since(begun).Round(time.Millisecond))
	return nil
}

// conn is a client that costs little.
type conn struct {
	stream
	packets codec.Decoder
	out     []byte
}

func dial(addr string, ws bool) (*conn, error) {
	c := new(conn)
	c.packets.Init(1 << 20)
	var err error
	if ws {
		var w *websocket.Conn
		if w, _, err = websocket.DefaultDialer.Dial("ws://"+addr+"/nano", nil); err == nil { //nolint:bodyclose // the connection's
			c.stream = &wsStream{w}
		}
	} else {
		c.stream, err = dialTCP(addr)
	}
	if err != nil {
		return nil, err
	}
	if err := c.write(codec.AppendPacket(nil, codec.Handshake, []byte("{}"))); err != nil {
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

// call waits for the answer to a request.
func (c *conn) call(id uint64, route string, data []byte) error {
	if err := c.send(codec.Request, id, route, data); err != nil {
		return err
	}
	for {
		m, err := c.message()
		if err != nil || m.Type == codec.Response && m.ID == id {
			return err
		}
	}
}
