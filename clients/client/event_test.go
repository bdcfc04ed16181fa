package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

// eventConn is an EventConn with an event loop of its own: the goroutine of Serve.
type eventConn struct {
	net.Conn
	served chan struct{} // closed by Serve
	over   error         // what Serve returns at the end of reading; nil: what there was
	writes []int         // bytes of each write after the handshake
	turns  int           // of handle that have ended
	room   int           // bytes that TryWrite takes
}

func (e *eventConn) Serve(handle func([]byte) error) error {
	close(e.served)
	buf := make([]byte, 64<<10)
	for {
		n, err := e.Read(buf)
		if n > 0 {
			if err := handle(buf[:n]); err != nil {
				return err
			}
			e.turns++
		}
		if err == nil {
			continue
		}
		if e.over != nil {
			return e.over
		}
		return err
	}
}

func (e *eventConn) TryWrite(b []byte) int {
	if e.room == 0 {
		return 0
	}
	e.writes = append(e.writes, len(b))
	n, _ := e.Conn.Write(b[:min(e.room, len(b))])
	return n
}

// events makes clients whose connections are EventConns.
func (s *server) events(e *eventConn) client.Option {
	e.served, e.room = make(chan struct{}), 1<<20
	return client.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		var err error
		e.Conn, err = s.dial(ctx, network, addr)
		return e, err
	})
}

// What answers and pushes make a client send goes out together: a system call for each would be
// most of the cost of a load test. And all of it happens on the loop, or thousands of clients need
// thousands of goroutines.
func TestEventsAreHandledInTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		e := new(eventConn)
		c, p := s.connect(silent, s.events(e))
		<-e.served
		const n = 10
		var turns []int // in which each function was called
		c.On("a.push", func([]byte) {
			turns = append(turns, e.turns)
			if err := c.Notify(ctx, "a.pushed", nil); err != nil {
				t.Error(err)
			}
		})
		received := make(chan []string)
		receive := func(n int) {
			go func() {
				var routes []string
				for range n {
					routes = append(routes, p.message().Route)
				}
				received <- routes
			}()
		}
		receive(n)
		for range n {
			if err := c.Start("a.b", nil, func(_ []byte, err error) {
				turns = append(turns, e.turns)
				if err == nil {
					err = c.Start("a.c", nil, func([]byte, error) {})
				}
				if err != nil {
					t.Error(err)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		<-received
		e.writes = nil
		var all []byte
		for i := range n {
			all = append(all, encode(t, &codec.Message{Type: codec.Response, ID: uint64(i + 1)}, nil)...)
			all = append(all, encode(t, &codec.Message{Type: codec.Push, Route: "a.push"}, nil)...)
		}
		receive(2 * n)
		p.write(all)
		got := <-received
		synctest.Wait()
		slices.Sort(got)
		if want := slices.Concat(slices.Repeat([]string{"a.c"}, n), slices.Repeat([]string{"a.pushed"}, n)); !slices.Equal(got, want) {
			t.Errorf("the server gets %q", got)
		}
		if len(e.writes) != 1 {
			t.Errorf("it was written in pieces of %v bytes", e.writes)
		}
		if !slices.Equal(turns, make([]int, 2*n)) {
			t.Errorf("the functions were called after the turns %v of the loop", turns)
		}
		p.drain()
	})
}

// Bytes that a socket does not take at once must follow, in order.
func TestEventConnThatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		e := new(eventConn)
		c, p := s.connect(silent, s.events(e))
		<-e.served
		for _, room := range []int{1, 0, 7} {
			e.room = room
			sent := make(chan error, 1)
			go func() {
				var err error
				for i := range 3 {
					err = errors.Join(err, c.Notify(ctx, "a.b", []byte(fmt.Sprint(i))))
				}
				sent <- err
			}()
			for i := range 3 {
				if m := p.message(); string(m.Data) != fmt.Sprint(i) {
					t.Errorf("room for %d: notify %d is %s", room, i, m.Data)
				}
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
		p.drain()
	})
}

// A bot's report names why connections were lost: the loop must not hide it.
func TestEventConnEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		over error
		end  func(p *peer)
		want func(error) bool
	}{
		"the end":  {io.EOF, hangUp, func(err error) bool { return errors.Is(err, io.EOF) }},
		"no error": {nil, hangUp, func(err error) bool { return errors.Is(err, io.EOF) }},
		"silence":  {os.ErrDeadlineExceeded, hangUp, func(err error) bool { return errors.Is(err, client.ErrSilent) }},
		"another": {errRefused, hangUp, func(err error) bool {
			return errors.Is(err, errRefused) && strings.HasPrefix(err.Error(), "client: read: ")
		}},
		"no packet": {nil, func(p *peer) { p.write([]byte{9, 0, 0, 0}) }, isProtocol},
		"a kick": {nil, func(p *peer) { p.kick("out") }, func(err error) bool {
			var kick *client.KickError
			return errors.As(err, &kick) && kick.Reason == "out"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				e := &eventConn{over: tc.over}
				c, p := s.connect(silent, s.events(e))
				<-e.served
				tc.end(p)
				<-c.Done()
				if !tc.want(c.Err()) {
					t.Errorf("ended with %v", c.Err())
				}
			})
		})
	}
}

func hangUp(p *peer) { _ = p.nc.Close() }

// What comes together with the handshake's answer is not lost, though nothing comes after it.
func TestEventsWithTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		e := new(eventConn)
		c := client.New("tcp://h:1", s.events(e))
		got := make(chan string, 1)
		c.On("on", func(data []byte) { got <- string(data) })
		done := make(chan error, 1)
		go func() { done <- c.Connect(ctx) }()
		p := s.accept()
		p.packet()
		answer := codec.AppendPacket(nil, codec.Handshake, []byte(silent))
		p.write(append(answer, encode(t, &codec.Message{Type: codec.Push, Route: "on", Data: []byte("first")}, nil)...))
		p.drain()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if data := <-got; data != "first" {
			t.Errorf("the push is %q", data)
		}
		_ = c.Close()
	})
}

// Below TLS and WebSockets an EventConn is a connection like others: what it reads is no packet.
func TestEventConnBelowWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		e := new(eventConn)
		done := make(chan error, 1)
		go func() {
			_, err := client.Dial(ctx, "ws://h:1", s.events(e), client.WithConnectTimeout(time.Second))
			done <- err
		}()
		p := s.accept()
		p.drain()
		if err := <-done; err == nil {
			t.Error("it has connected to a server that says nothing")
		}
		select {
		case <-e.served:
			t.Error("Serve was called")
		default:
		}
	})
}
