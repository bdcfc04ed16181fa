package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
)

// withLoop gives clients a loop until the test ends.
func withLoop(t testing.TB, n int) client.Option {
	lp := client.NewLoop(n)
	t.Cleanup(lp.Close)
	return client.WithLoop(lp)
}

// tcpServer is server over sockets, which are what loops read.
func tcpServer(t *testing.T) (s *server, url string) {
	s = newServer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.conns <- nc
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		accepting.Wait()
	})
	return s, "tcp://" + ln.Addr().String()
}

// joinLoop returns a client in a loop and its server's end.
func joinLoop(t *testing.T, answer string, opts ...client.Option) (*client.Client, *peer) {
	s, url := tcpServer(t)
	c := client.New(url, append([]client.Option{quiet(), withLoop(t, 1)}, opts...)...)
	return c, s.join(c, answer)
}

// descriptors counts those of this process; 0 where that cannot be told.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// A load test that leaves descriptors or goroutines behind at each run stops at the limit of a long-lived process; answers
// and pushes that get mixed up between the connections of a loop would make its figures worthless.
func TestLoopOfMany(t *testing.T) {
	nanotest.Leaks(t)
	app, _ := startNode(t, "127.0.0.1:0")
	url := "tcp://" + app.Addr().String()
	_ = dial(t, url).Shutdown(ctx) // what is made once is there
	before := descriptors()
	lp := client.NewLoop(2)
	const clients, each = 50, 40
	var wrong atomic.Int32
	var all sync.WaitGroup
	heard := make([]atomic.Int32, clients)
	cs := make([]*client.Client, clients)
	for i := range cs {
		c := dial(t, url, client.WithLoop(lp))
		cs[i] = c
		all.Add(each)
		client.On(c, "onSay", func(m *text) {
			if want := fmt.Sprint(heard[i].Add(1) - 1); m.Text != want {
				wrong.Add(1)
			}
			all.Done()
		})
		if _, err := client.Call[text](ctx, c, "Room.Join", &text{}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range each {
		if err := cs[0].Notify(ctx, "Room.Say", &text{fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cs {
		all.Add(each)
		left := each
		var next func()
		next = func() { // each from the callback of the one before
			want := fmt.Sprintf(`{"Text":"%d %d"}`, i, left)
			if err := c.Start("Room.Echo", []byte(want), func(data []byte, err error) {
				if err != nil || string(data) != want {
					wrong.Add(1)
				}
				if left--; left > 0 {
					next()
				}
				all.Done()
			}); err != nil {
				t.Error(err)
			}
		}
		next()
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	eventually(t, done, "all answers and pushes")
	if wrong.Load() > 0 {
		t.Errorf("%d are not what was to come", wrong.Load())
	}
	for _, c := range cs {
		_ = c.Shutdown(ctx)
	}
	eventually(t, closedOf(app, clients+1), "the node sees all closed")
	lp.Close()
	lp.Close()
	if after := descriptors(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// Close by what runs on the loop must not wait for the loop, or all its clients stand still for ever; nor for the reader
// of a client without one.
func TestCloseInside(t *testing.T) {
	for name, n := range map[string]int{"a loop": 1, "no loop": 0} {
		t.Run(name, func(t *testing.T) {
			loop := client.WithLoop(nil)
			if n > 0 {
				loop = withLoop(t, n)
			}
			closeInside(t, loop)
		})
	}
}

func closeInside(t *testing.T, loop client.Option) {
	nanotest.Leaks(t)
	app, _ := startNode(t, "127.0.0.1:0")
	url := "tcp://" + app.Addr().String()
	for _, where := range []string{"answer", "push", "answer of another"} {
		c, other := dial(t, url, loop), dial(t, url, loop)
		client.On(c, "onSay", func(*text) { _ = c.Close() })
		var err error
		switch where {
		case "answer":
			err = c.Start("Room.Echo", &text{}, func([]byte, error) { _ = c.Close() })
		case "push":
			if err = c.Request(ctx, "Room.Join", &text{}, nil); err == nil {
				err = c.Notify(ctx, "Room.Say", &text{})
			}
		case "answer of another":
			err = other.Start("Room.Echo", &text{}, func([]byte, error) { _ = c.Close() })
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, c.Done(), where)
		if err := other.Request(ctx, "Room.Echo", &text{}, nil); err != nil {
			t.Errorf("%s: the other client: %v", where, err)
		}
	}
}

// A loop that is closed too early must not leave its clients waiting: they hear of it, and come back without it.
func TestLoopClosedFirst(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no loops")
	}
	nanotest.Leaks(t)
	app, _ := startNode(t, "127.0.0.1:0")
	url := "tcp://" + app.Addr().String()
	lp := client.NewLoop(1)
	ends := dial(t, url, client.WithLoop(lp))
	ready := make(chan struct{}, 10)
	back := dial(t, url, client.WithLoop(lp), client.WithReconnect(fast), client.WithStateHandler(func(ch client.Change) {
		if ch.State == client.Online {
			ready <- struct{}{}
		}
	}))
	eventually(t, ready, "the first connection")
	lp.Close()
	eventually(t, ends.Done(), "the end")
	if err := ends.Err(); !errors.Is(err, client.ErrLoopClosed) {
		t.Errorf("ended with %v", err)
	}
	eventually(t, ready, "the connection after the loop")
	if err := back.Request(ctx, "Room.Echo", &text{}, nil); err != nil {
		t.Error(err)
	}
}

// A server that hangs is noticed only by its silence.
func TestLoopSilentServer(t *testing.T) {
	nanotest.Leaks(t)
	c, _ := joinLoop(t, `{"code":200,"sys":{"heartbeat":0.1}}`)
	eventually(t, c.Done(), "the end")
	if !errors.Is(c.Err(), client.ErrSilent) {
		t.Errorf("ended with %v", c.Err())
	}
}

// What a server says last, such as why it closes, comes directly before the end, and in any pieces.
func TestLoopReadsToTheEnd(t *testing.T) {
	nanotest.Leaks(t)
	long := bytes.Repeat([]byte("x"), 300_000)
	c, p := joinLoop(t, silent)
	got := make(chan []byte, 3)
	c.On("on", func(data []byte) { got <- bytes.Clone(data) })
	one := encode(t, &codec.Message{Type: codec.Push, Route: "on", Data: []byte("short")}, nil)
	p.write(one[:5])
	p.write(append(one[5:len(one):len(one)], encode(t, &codec.Message{Type: codec.Push, Route: "on", Data: long}, nil)...))
	p.push("on", "last")
	_ = p.nc.Close()
	for _, want := range [][]byte{[]byte("short"), long, []byte("last")} {
		if data := eventually(t, got, "a push"); !bytes.Equal(data, want) {
			t.Errorf("got %d bytes, want %d", len(data), len(want))
		}
	}
	eventually(t, c.Done(), "the end")
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "the server has closed the connection") {
		t.Errorf("ended with %v", err)
	}
}

// What answers make a client send goes out together: a system call for each would be most of the cost of a load test.
func TestLoopGathers(t *testing.T) {
	nanotest.Leaks(t)
	c, p := joinLoop(t, silent)
	const n = 10
	for range n {
		if err := c.Start("a.b", nil, func([]byte, error) {
			if err := c.Start("a.c", nil, func([]byte, error) {}); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	var answers []byte
	for range n {
		answers = append(answers, encode(t, &codec.Message{Type: codec.Response, ID: p.request("a.b").ID}, nil)...)
	}
	p.write(answers)
	p.request("a.c") // has read what there is, up to 512 bytes
	together := 1
	for ok := true; ok; together++ {
		_, ok, _ = p.dec.Next()
	}
	if together--; together != n && runtime.GOOS == "linux" {
		t.Errorf("%d of %d have come together", together, n)
	}
	_ = p.nc.Close() // so that the client's Close need not wait for it
}

// A server that does not read must cost neither data nor the other clients of the loop.
func TestLoopBlockedWrites(t *testing.T) {
	nanotest.Leaks(t)
	s, url := tcpServer(t)
	loop := withLoop(t, 1)
	payload := bytes.Repeat([]byte("y"), 50_000)
	fill := func(c *client.Client) (sent int) { // until the socket and the queue are full
		for !errors.Is(c.Start("a.b", payload, func([]byte, error) {}), client.ErrBusy) {
			sent++
		}
		return sent
	}

	stuck := client.New(url, quiet(), loop, client.WithWriteTimeout(50*time.Millisecond))
	s.join(stuck, silent)
	fill(stuck)
	eventually(t, stuck.Done(), "the time to write is over")
	if !errors.Is(stuck.Err(), os.ErrDeadlineExceeded) {
		t.Errorf("ended with %v", stuck.Err())
	}

	slow := client.New(url, quiet(), loop)
	p := s.join(slow, silent)
	sent := fill(slow)
	for i := range sent {
		if m := p.request("a.b"); m.ID != uint64(i+1) || !bytes.Equal(m.Data, payload) {
			t.Fatalf("request %d is %d with %d bytes", i+1, m.ID, len(m.Data))
		}
	}
	_ = p.nc.Close() // so that the client's Close need not wait for it

	closed := client.New(url, quiet(), loop)
	p = s.join(closed, silent)
	fill(closed)
	_ = p.nc.Close()
	eventually(t, closed.Done(), "the end while a write waits")
}
