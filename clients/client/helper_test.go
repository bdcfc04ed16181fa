package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

const (
	hello  = `{"code":200,"sys":{"heartbeat":1,"servertime":1700000000}}`
	silent = `{"code":200,"sys":{}}` // a server without heartbeats
)

// server is a server that does only what its test tells it to, over pipes.
type server struct {
	t     *testing.T
	conns chan net.Conn
	down  bool // refuses connections; set while nobody dials
}

func newServer(t *testing.T) *server { return &server{t: t, conns: make(chan net.Conn, 16)} }

var errRefused = errors.New("connection refused")

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.down {
		return nil, errRefused
	}
	a, b := net.Pipe()
	s.conns <- b
	return a, nil
}

// connect dials with these options and answers the handshake with answer.
func (s *server) connect(answer string, opts ...client.Option) (*client.Client, *peer) {
	s.t.Helper()
	c := client.New("tcp://game.example.com:3250", append([]client.Option{client.WithDialer(s.dial)}, opts...)...)
	return c, s.join(c, answer)
}

// join connects c and answers its handshake.
func (s *server) join(c *client.Client, answer string) *peer {
	s.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.Connect(context.Background()) }()
	p := s.accept()
	p.welcome(answer)
	if err := <-done; err != nil {
		s.t.Fatalf("connect: %v", err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return p
}

// accept takes the next connection.
func (s *server) accept() *peer {
	nc := <-s.conns
	s.t.Cleanup(func() { _ = nc.Close() })
	p := &peer{t: s.t, nc: nc, dec: codec.NewDecoder(0)}
	return p
}

// peer is the server's end of one connection.
type peer struct {
	t     *testing.T
	nc    net.Conn
	dec   *codec.Decoder
	buf   [512]byte
	dict  *codec.Dictionary
	hello string // the handshake's body
}

func (p *peer) welcome(answer string) {
	p.t.Helper()
	got := p.packet()
	if got.Type != codec.Handshake {
		p.t.Fatalf("the client begins with %v", got.Type)
	}
	p.hello = string(got.Body)
	p.write(codec.AppendPacket(nil, codec.Handshake, []byte(answer)))
	if strings.Contains(answer, `"code":200`) {
		if got := p.packet(); got.Type != codec.HandshakeAck {
			p.t.Fatalf("instead of the ack came %v", got.Type)
		}
	}
}

func (p *peer) next() (codec.Packet, error) {
	for {
		got, ok, err := p.dec.Next()
		if ok || err != nil {
			return got, err
		}
		n, err := p.nc.Read(p.buf[:])
		if err != nil {
			return got, err
		}
		p.dec.Feed(p.buf[:n])
	}
}

func (p *peer) packet() codec.Packet {
	p.t.Helper()
	got, err := p.next()
	if err != nil {
		p.t.Fatalf("the server reads: %v", err)
	}
	return got
}

// message returns the next message, skipping heartbeats.
func (p *peer) message() *codec.Message {
	p.t.Helper()
	for {
		got := p.packet()
		if got.Type == codec.Heartbeat {
			continue
		}
		if got.Type != codec.Data {
			p.t.Fatalf("instead of a message came %v", got.Type)
		}
		v, err := codec.ParseMessage(got.Body)
		if err != nil {
			p.t.Fatal(err)
		}
		m, err := v.Message(p.dict)
		if err != nil {
			p.t.Fatal(err)
		}
		return m
	}
}

// request wants the next message to be a request to this route.
func (p *peer) request(route string) *codec.Message {
	p.t.Helper()
	m := p.message()
	if m.Type != codec.Request || m.Route != route {
		p.t.Fatalf("got %v, want a request to %s", m, route)
	}
	return m
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatalf("the server writes: %v", err)
	}
}

func (p *peer) send(m *codec.Message) {
	p.t.Helper()
	p.write(encode(p.t, m, p.dict))
}

func encode(t testing.TB, m *codec.Message, d *codec.Dictionary) []byte {
	b, err := codec.AppendMessage(nil, m, d)
	if err != nil {
		t.Fatal(err)
	}
	return codec.AppendPacket(nil, codec.Data, b)
}

func (p *peer) push(route, payload string) {
	p.t.Helper()
	p.send(&codec.Message{Type: codec.Push, Route: route, Data: []byte(payload)})
}

func (p *peer) respond(id uint64, payload string) {
	p.t.Helper()
	p.send(&codec.Message{Type: codec.Response, ID: id, Data: []byte(payload)})
}

func (p *peer) kick(reason string) {
	p.t.Helper()
	p.write(codec.AppendPacket(nil, codec.Kick, []byte(`{"reason":"`+reason+`"}`)))
}

// drain reads until the client's end, in the background.
func (p *peer) drain() { go func() { _, _ = io.Copy(io.Discard, p.nc) }() }

// eventually waits for a value.
func eventually[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("it did not come: %s", what)
		panic("unreachable")
	}
}

// ask makes a request in the background.
func ask(c *client.Client, ctx context.Context, route string, opts ...any) <-chan error {
	done := make(chan error, 1)
	var req, reply any
	if len(opts) > 0 {
		req = opts[0]
	}
	if len(opts) > 1 {
		reply = opts[1]
	}
	go func() { done <- c.Request(ctx, route, req, reply) }()
	return done
}
