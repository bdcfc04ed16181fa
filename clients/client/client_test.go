package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

type text struct{ Text string }

var ctx = context.Background()

// quiet keeps what tests provoke out of their output.
func quiet() client.Option { return client.WithSlog(slog.New(slog.DiscardHandler)) }

func TestHandshakeSaysWhatTheServerNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(`{"code":200,"sys":{"heartbeat":30,"servertime":1700000000,"dict":{"Room.Say":7},"accepted":["error","gzip"],"more":1},"user":{"id":5}}`,
			client.WithUser(map[string]string{"token": "t"}), client.WithGzip(), client.WithBatch(), client.WithName("bot", "1.2"))
		want := `{"sys":{"type":"bot","version":"1.2","accept":["error","gzip","batch","resume"]},"user":{"token":"t"}}`
		if p.hello != want {
			t.Errorf("handshake %s\nwant      %s", p.hello, want)
		}
		in := c.Info()
		if in.Heartbeat != 30*time.Second || in.ServerTime.Unix() != 1700000000 || in.Routes != 1 ||
			!slices.Equal(in.Accepted, []string{"error", "gzip"}) || string(in.User) != `{"id":5}` || !strings.Contains(string(in.Sys), `"more":1`) {
			t.Errorf("info %+v", in)
		}
		// The dictionary is used both ways.
		p.dict, _ = codec.NewDictionary(map[string]uint16{"Room.Say": 7})
		if err := c.Notify(ctx, "Room.Say", []byte("x")); err != nil {
			t.Fatal(err)
		}
		got := p.packet()
		if want := []byte{0x03, 0, 7, 'x'}; !bytes.Equal(got.Body, want) {
			t.Errorf("notify %x, want %x", got.Body, want)
		}
		said := make(chan string, 1)
		c.On("Room.Say", func(data []byte) { said <- string(data) })
		p.push("Room.Say", "y")
		if got := <-said; got != "y" {
			t.Errorf("push %q", got)
		}
		p.drain()
	})
}

func TestConnectErrors(t *testing.T) {
	data := string(codec.AppendPacket(nil, codec.Heartbeat, nil))
	for _, tc := range []struct {
		name   string
		answer string // raw bytes
		want   func(error) bool
	}{
		{"refused", handshake(`{"code":501,"reason":"too old"}`), func(err error) bool {
			var r *client.RefusedError
			return errors.As(err, &r) && r.Code == 501 && r.Reason == "too old"
		}},
		{"kicked", string(codec.AppendPacket(nil, codec.Kick, []byte(`{"reason":"full"}`))), func(err error) bool {
			var k *client.KickError
			return errors.As(err, &k) && k.Reason == "full"
		}},
		{"closed", "", func(err error) bool { return errors.Is(err, io.EOF) }},
		{"no JSON", handshake("what"), isProtocol},
		{"not an answer", data, isProtocol},
		{"no packet", "HTTP/1.1 400 Bad Request", isProtocol},
		{"dictionary with a code twice", handshake(`{"code":200,"sys":{"dict":{"a":1,"b":1}}}`), isProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				done := make(chan error, 1)
				go func() {
					_, err := client.Dial(ctx, "tcp://h:1", client.WithDialer(s.dial), client.WithReconnect(client.Reconnect{}))
					done <- err
				}()
				p := s.accept()
				p.packet()
				p.write([]byte(tc.answer))
				_ = p.nc.Close()
				if err := <-done; !tc.want(err) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func handshake(body string) string {
	return string(codec.AppendPacket(nil, codec.Handshake, []byte(body)))
}

func isProtocol(err error) bool { return errors.Is(err, client.ErrProtocol) }

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, c := range map[string]*client.Client{
		"scheme":     client.New("http://h:1"),
		"port":       client.New("tcp://h"),
		"host":       client.New("ws:///path"),
		"user":       client.New("ws://me@h/"),
		"url":        client.New("tcp://%zz"),
		"serializer": client.New("tcp://h:1", client.WithSerializer(nil)),
		"dialer":     client.New("tcp://h:1", client.WithDialer(nil)),
		"timeout":    client.New("tcp://h:1", client.WithConnectTimeout(0)),
		"write":      client.New("tcp://h:1", client.WithWriteTimeout(-1)),
		"packet":     client.New("tcp://h:1", client.WithMaxPacket(0)),
		"received":   client.New("tcp://h:1", client.WithMaxReceived(1<<30)),
		"queue":      client.New("tcp://h:1", client.WithPushQueue(0)),
		"limits":     client.New("tcp://h:1", client.WithReconnect(client.Reconnect{Min: 2, Max: 1})),
		"negative":   client.New("tcp://h:1", client.WithReconnect(client.Reconnect{Attempts: -1})),
	} {
		if err := c.Connect(ctx); err == nil {
			t.Errorf("%s: connected", name)
		}
		_ = c.Close()
	}
}

// A person who presses ctrl-C must not wait for a server that does not answer.
func TestConnectEndsWithItsContext(t *testing.T) {
	for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				cctx, cancel := context.WithCancel(ctx)
				done := make(chan error, 1)
				go func() {
					_, err := client.Dial(cctx, scheme+"://h:1", client.WithDialer(s.dial))
					done <- err
				}()
				s.accept().drain()
				synctest.Wait()
				begin := time.Now()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) || time.Since(begin) != 0 {
					t.Errorf("error %v after %v", err, time.Since(begin))
				}
			})
		})
	}
}

func TestConnectTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		begin := time.Now()
		c := client.New("tcp://h:1", client.WithDialer(s.dial), client.WithConnectTimeout(3*time.Second))
		done := make(chan error, 1)
		go func() { done <- c.Connect(ctx) }()
		s.accept().drain()
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("error %v after %v", err, time.Since(begin))
		}
		if err := c.Request(ctx, "a.b", nil, nil); !errors.Is(err, client.ErrNotConnected) {
			t.Errorf("a request gives %v", err)
		}
		p := s.join(c, hello) // again, and now it works
		if err := c.Connect(ctx); !errors.Is(err, client.ErrConnected) {
			t.Errorf("a third Connect gives %v", err)
		}
		p.drain()
		_ = c.Close()
		if err := c.Connect(ctx); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Connect after Close gives %v", err)
		}
	})
}

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(`{"code":200,"sys":{"heartbeat":8}}`)
		begin := time.Now()
		for range 5 {
			time.Sleep(8 * time.Second)
			p.write(codec.AppendPacket(nil, codec.Heartbeat, nil))
			if got := p.packet(); got.Type != codec.Heartbeat {
				t.Fatalf("the answer to a heartbeat is %v", got.Type)
			}
		}
		for range 5 { // any packet counts as life
			time.Sleep(15 * time.Second)
			p.push("x", "")
		}
		<-c.Done()
		if err := c.Err(); !errors.Is(err, client.ErrSilent) {
			t.Errorf("the client ends with %v", err)
		}
		quiet := time.Since(begin) - 115*time.Second
		if quiet < 16*time.Second || quiet > 17*time.Second {
			t.Errorf("the silence was noticed after %v", quiet)
		}
	})
}

func TestKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var states []string
		c, p := s.connect(hello, client.WithReconnect(client.Reconnect{}), client.WithStateHandler(func(ch client.Change) {
			states = append(states, fmt.Sprint(ch.State, " ", ch.Err))
		}))
		flight := ask(c, ctx, "a.b")
		p.request("a.b")
		p.kick("signed in elsewhere")
		err := <-flight
		var k *client.KickError
		if !errors.Is(err, client.ErrLost) || !errors.As(err, &k) || k.Reason != "signed in elsewhere" {
			t.Errorf("the request in flight ends with %v", err)
		}
		<-c.Done()
		if err := c.Request(ctx, "a.b", nil, nil); !errors.Is(err, client.ErrClosed) || !errors.As(err, &k) {
			t.Errorf("a request after it ends with %v", err)
		}
		want := []string{"online <nil>", "closed client: kicked: signed in elsewhere"}
		if !slices.Equal(states, want) || c.State() != client.Closed {
			t.Errorf("states %q, want %q", states, want)
		}
	})
}

func TestShutdownFlushesAndEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(hello)
		flight := ask(c, ctx, "a.b")
		p.request("a.b")
		for i := range 3 {
			if err := c.Notify(ctx, "a.n", i); err != nil {
				t.Fatal(err)
			}
		}
		closed := make(chan error, 2)
		for range 2 {
			go func() { closed <- c.Shutdown(ctx) }()
		}
		synctest.Wait()
		if err := <-flight; !errors.Is(err, client.ErrClosed) {
			t.Errorf("the request in flight ends with %v", err)
		}
		if err := c.Notify(ctx, "a.n", nil); !errors.Is(err, client.ErrClosed) {
			t.Errorf("a notify after Shutdown gives %v", err)
		}
		for i := range 3 {
			if m := p.message(); string(m.Data) != fmt.Sprint(i) {
				t.Errorf("notify %d is %s", i, m.Data)
			}
		}
		if _, err := p.next(); err != io.EOF {
			t.Errorf("then comes %v", err)
		}
		for range 2 {
			if err := <-closed; err != nil {
				t.Error(err)
			}
		}
		if err := c.Err(); err != client.ErrClosed {
			t.Errorf("Err is %v", err)
		}
	})
}

func TestCloseDoesNotWaitForADeadServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, _ := s.connect(silent)
		begin := time.Now()
		_ = c.Notify(ctx, "a.b", nil) // which nobody reads
		_ = c.Close()
		_ = c.Shutdown(ctx)
		if got := time.Since(begin); got > 2*time.Second {
			t.Errorf("Close and Shutdown took %v", got)
		}
	})
}

// A game that ends in a handler closes there.
func TestCloseInAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(hello)
		c.On("over", func([]byte) { _ = c.Close() })
		p.push("over", "")
		p.drain()
		<-c.Done()
	})
}

func TestCloseWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client.New("tcp://h:1", client.WithDialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		done := make(chan error, 1)
		go func() { done <- c.Connect(ctx) }()
		synctest.Wait()
		_ = c.Close()
		if err := <-done; !errors.Is(err, client.ErrClosed) {
			t.Errorf("Connect ends with %v", err)
		}
	})
}

// A server that stops reading must hold up neither memory nor callers with a deadline.
func TestServerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, _ := s.connect(silent, client.WithWriteTimeout(time.Minute))
		begin := time.Now()
		hasty, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		payload := make([]byte, 60_000)
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			err = c.Notify(hasty, "a.b", payload)
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second || n > 40 { // 1 MiB that waits, and as much that is being written
			t.Errorf("%v after %v and %d notifies", err, time.Since(begin), n)
		}
		err = c.Notify(ctx, "a.b", payload) // patient, until the connection is given up
		if err == nil || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		<-c.Done()
	})
}

func TestTraceAndStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		seen := make(chan string, 100)
		c, p := s.connect(silent, client.WithTrace(func(sent bool, p codec.Packet) {
			seen <- fmt.Sprint(sent, " ", p.Type, " ", len(p.Body) > 0)
		}))
		_ = c.Notify(ctx, "a.b", nil)
		p.message()
		p.push("nobody", "x")
		p.push("nobody", "y")
		p.drain()
		synctest.Wait()
		_ = c.Shutdown(ctx)
		close(seen)
		var got []string
		for s := range seen {
			got = append(got, s)
		}
		want := []string{"true Handshake true", "false Handshake true", "true HandshakeAck false", "true Data true", "false Data true", "false Data true"}
		if !slices.Equal(got, want) {
			t.Errorf("trace %q\nwant  %q", got, want)
		}
		st := c.Stats()
		if st.Connects != 1 || st.PacketsOut != 3 || st.PacketsIn != 3 || st.Pushes != 2 || st.Unhandled != 2 || st.BytesIn == 0 || st.BytesOut == 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// Any bytes at all may come from a server: the client must come to an end without a panic.
func FuzzServer(f *testing.F) {
	f.Add([]byte(hello), []byte{})
	f.Add([]byte(`{"code":200,"sys":{"heartbeat":1e300,"dict":{"a":1}}}`), encode(f, &codec.Message{Type: codec.Push, Route: "p", Data: []byte("{}")}, nil))
	f.Add([]byte(`{"code":200}`), encode(f, &codec.Message{Type: codec.Response, ID: 1, Data: zip("x"), Gzip: true, Err: true}, nil))
	f.Add([]byte(`{"code":200}`), encode(f, &codec.Message{Type: codec.Push, Route: "p", Data: []byte("no gzip"), Gzip: true}, nil))
	f.Add([]byte(`{"code":200}`), codec.AppendPacket(nil, codec.Kick, []byte("?")))
	f.Fuzz(func(t *testing.T, answer, then []byte) {
		if len(answer) > 60_000 {
			return
		}
		c := client.New("tcp://h:1", quiet(), client.WithDialer(func(context.Context, string, string) (net.Conn, error) {
			stream := append(codec.AppendPacket(nil, codec.Handshake, answer), then...)
			return &script{Reader: bytes.NewReader(stream)}, nil
		}))
		client.On(c, "p", func(*json.RawMessage) {})
		c.OnOther(func(string, []byte) {})
		if c.Connect(ctx) == nil {
			_ = c.Request(ctx, "a.b", nil, &text{})
			<-c.Done()
		}
		_ = c.Close()
	})
}

// script is a connection that says what it has to say and takes everything.
type script struct {
	io.Reader
	net.Conn
}

func (s *script) Read(b []byte) (int, error) { return s.Reader.Read(b) }

func (s *script) Write(b []byte) (int, error) { return len(b), nil }

func (s *script) Close() error { return nil }

func (s *script) SetReadDeadline(time.Time) error { return nil }

func (s *script) SetWriteDeadline(time.Time) error { return nil }
