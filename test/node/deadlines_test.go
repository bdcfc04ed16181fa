package node_test

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// endOf returns how long it took until the connection ended. It reads only if read is true; else
// the end shows in what is sent: beat is sent every 100 ms.
func endOf(t *testing.T, nc net.Conn, read bool, beat func() error) time.Duration {
	t.Helper()
	began := time.Now()
	if read {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, nc)
		}()
		for beat != nil {
			select {
			case <-ended:
				return time.Since(began)
			case <-time.After(100 * time.Millisecond):
			}
			if beat() != nil {
				break
			}
		}
		<-ended
		return time.Since(began)
	}
	for beat() == nil {
		time.Sleep(100 * time.Millisecond)
		if time.Since(began) > time.Minute {
			t.Fatal("the connection does not end")
		}
	}
	return time.Since(began)
}

// Whoever does not read would hold megabytes of the node's memory for as long as it likes.
func TestClientThatDoesNotReadIsClosed(t *testing.T) {
	const deadline = 3 * time.Second
	cert := nanotest.NewTLS(t)
	dials := map[string]func(t *testing.T, n *apptest.Node) *nanotest.Client{
		"tcp":       func(t *testing.T, n *apptest.Node) *nanotest.Client { return n.TCP.Client(t) },
		"websocket": func(t *testing.T, n *apptest.Node) *nanotest.Client { return n.WS.WebSocket(t) },
		"tls": func(t *testing.T, n *apptest.Node) *nanotest.Client {
			nc, err := n.TLS.Dial()
			if err != nil {
				t.Fatal(err)
			}
			return nanotest.NewClient(t, tls.Client(nc, cert.Client))
		},
	}
	for name, dial := range dials {
		for _, row := range []struct {
			name   string
			does   func(c *nanotest.Client) error
			within time.Duration
		}{
			{"and beats", func(c *nanotest.Client) error { return c.SendPacket(codec.Heartbeat, nil) }, deadline},
			{"and shakes hands", func(c *nanotest.Client) error { return c.SendPacket(codec.Handshake, []byte("{}")) }, deadline},
			{"and requests", func(c *nanotest.Client) error {
				return c.SendPacket(codec.Data, append([]byte{0, 1, 6}, "H.Echo"...))
			}, deadline},
		} {
			t.Run(name+" "+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &Hostile{do: func(s *session.Session, _ []byte) error { return s.Push("onIt", make([]byte, 1000)) }}
					n := startTLS(t, h, cert, nano.WithWriteTimeout(deadline))
					neighbour := n.TCP.Client(t)
					gaps := beats(neighbour)
					c := dial(t, n)
					c.Ready()
					c.Notify("H.Do", nil)
					d := endOf(t, c.Conn(), false, func() error { return row.does(c) })
					if d > row.within+200*time.Millisecond {
						t.Errorf("gone after %v, want %v", d, row.within)
					}
					synctest.Wait()
					if got := n.Stats().Sessions; got != 1 {
						t.Errorf("%d sessions are left", got)
					}
					time.Sleep(3 * time.Second)
					neighbour.Close()
					for i, gap := range <-gaps {
						if gap > 1100*time.Millisecond {
							t.Errorf("the neighbour's heartbeat %d came %v after the one before", i, gap)
						}
					}
				})
			})
		}
	}
}

// beats has the client answer heartbeats until its connection ends, and then tells how far apart
// they came.
func beats(c *nanotest.Client) <-chan []time.Duration {
	c.Beats = true
	c.Ready()
	gaps := make(chan []time.Duration, 1)
	go func() {
		var all []time.Duration
		last := time.Now()
		for {
			p, err := c.Next()
			if err != nil {
				gaps <- all
				return
			}
			if p.Type == codec.Heartbeat {
				all = append(all, time.Since(last))
				last = time.Now()
			}
		}
	}()
	return gaps
}

// startTLS adds an endpoint with TLS in memory to those of start.
func startTLS(t *testing.T, h *Hostile, cert nanotest.TLS, opts ...nano.Option) *apptest.Node {
	t.Helper()
	tcp, ws := nanotest.NewListener(), nanotest.NewListener()
	n := apptest.Start(t, h.comps(), append(opts,
		nano.WithEndpoint(nano.Endpoint{Listener: tcp, TLS: cert.Server}),
		nano.WithEndpoint(nano.Endpoint{Listener: ws, TLS: cert.Server, WebSocket: true}))...)
	n.TLS, n.WSS = tcp, ws
	return n
}

// The same with a socket, whose buffers take some of it.
func TestClientThatDoesNotReadIsClosedOnASocket(t *testing.T) {
	nanotest.Leaks(t)
	const deadline = 300 * time.Millisecond
	h := &Hostile{do: func(s *session.Session, _ []byte) error {
		for range 16 {
			if err := s.Push("onIt", make([]byte, 1<<20)); err != nil {
				return err
			}
		}
		return nil
	}}
	closed := make(chan time.Time, 1)
	n := apptest.New(h.comps(), nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}),
		nano.WithWriteTimeout(deadline), nano.WithSendQueue(64<<20), nano.WithHeartbeatInterval(time.Minute))
	n.Lifetime().OnClosed(func(*session.Session) { closed <- time.Now() })
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Stop(t)
	c := nanotest.Dial(t, n.Addrs()[2])
	c.Ready()
	began := time.Now()
	c.Notify("H.Do", nil)
	select {
	case at := <-closed:
		if d := at.Sub(began); d < deadline {
			t.Errorf("gone after %v, before its time was over", d)
		}
	case <-time.After(nanotest.Patience):
		t.Fatal("it is not gone")
	}
}

// A client that reads slowly, and all of it, is not one that does not read.
func TestSlowReaderKeepsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hostile{do: func(s *session.Session, _ []byte) error { return s.Push("onIt", make([]byte, 1<<20)) }}
		n := apptest.Start(t, h.comps(), nano.WithWriteTimeout(3*time.Second))
		c := n.TCP.Client(t)
		c.Ready()
		c.Notify("H.Do", nil)
		if err := c.Conn().SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 32<<10)
		total := 0
		for total < 1<<20 {
			time.Sleep(time.Second)
			c.Heartbeat()
			got, err := io.ReadFull(c.Conn(), buf)
			if total += got; err != nil {
				t.Fatalf("after %d bytes: %v", total, err)
			}
		}
		c.Close()
	})
}

// unfinished is a client that never finishes its handshake.
type unfinished struct {
	name string
	dial func(t *testing.T, n *apptest.Node) net.Conn
	// does what it does before, and returns what it does every 100 ms; nil for nothing.
	does   func(t *testing.T, nc net.Conn) func() error
	silent bool // and it does not read
}

// listenerOf is one of a node's endpoints.
type listenerOf func(n *apptest.Node) *nanotest.Listener

func (of listenerOf) dial(t *testing.T, n *apptest.Node) net.Conn {
	nc, err := of(n).Dial()
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// trickle sends b again and again, one byte each time.
func trickle(nc net.Conn, b string) func() error {
	i := -1
	return func() error {
		i++
		_, err := nc.Write([]byte{b[i%len(b)]})
		return err
	}
}

// again sends b each time.
func again(c *nanotest.Client, b []byte) func() error { return func() error { return c.Send(b) } }

// unfinishedOnTCP are clients without TLS and WebSocket.
func unfinishedOnTCP() []unfinished {
	onTCP := listenerOf(func(n *apptest.Node) *nanotest.Listener { return n.TCP }).dial
	handshake := codec.AppendPacket(nil, codec.Handshake, []byte("{}"))
	return []unfinished{
		{name: "silent", dial: onTCP},
		{name: "half a packet", dial: onTCP, does: func(t *testing.T, nc net.Conn) func() error {
			_, _ = nc.Write(handshake[:3])
			return nil
		}},
		{name: "a handshake's bytes one by one", dial: onTCP, does: func(t *testing.T, nc net.Conn) func() error {
			b := string(codec.AppendPacket(nil, codec.Handshake, make([]byte, 65536)))
			return trickle(nc, b)
		}},
		{name: "no ack", dial: onTCP, does: func(t *testing.T, nc net.Conn) func() error {
			nanotest.NewClient(t, nc).Handshake("{}")
			return nil
		}},
		{name: "handshakes only", dial: onTCP, does: func(t *testing.T, nc net.Conn) func() error {
			return again(nanotest.NewClient(t, nc), handshake)
		}},
		{name: "handshakes only, reading nothing", dial: onTCP, silent: true, does: func(t *testing.T, nc net.Conn) func() error {
			return again(nanotest.NewClient(t, nc), handshake)
		}},
		{name: "heartbeats only", dial: onTCP, does: func(t *testing.T, nc net.Conn) func() error {
			return again(nanotest.NewClient(t, nc), packet(codec.Heartbeat))
		}},
		{name: "heartbeats after the handshake", dial: onTCP, does: func(t *testing.T, nc net.Conn) func() error {
			c := nanotest.NewClient(t, nc)
			c.Handshake("{}")
			return again(c, packet(codec.Heartbeat))
		}},
		{name: "kicks only", dial: onTCP, does: func(t *testing.T, nc net.Conn) func() error {
			return again(nanotest.NewClient(t, nc), packet(codec.Kick))
		}},
	}
}

// unfinishedOnTop are clients that stop on the way through TLS, HTTP and WebSocket.
func unfinishedOnTop(cert nanotest.TLS) []unfinished {
	onWS := listenerOf(func(n *apptest.Node) *nanotest.Listener { return n.WS }).dial
	onTLS := listenerOf(func(n *apptest.Node) *nanotest.Listener { return n.TLS }).dial
	onWSS := listenerOf(func(n *apptest.Node) *nanotest.Listener { return n.WSS }).dial
	return []unfinished{
		{name: "silent to HTTP", dial: onWS},
		{name: "half an HTTP header", dial: onWS, does: func(t *testing.T, nc net.Conn) func() error {
			_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webso")
			return nil
		}},
		{name: "an HTTP header without end", dial: onWS, does: func(t *testing.T, nc net.Conn) func() error {
			_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\n")
			return trickle(nc, "X-A: b\r\n")
		}},
		{name: "upgraded and silent", dial: onWS, does: func(t *testing.T, nc net.Conn) func() error {
			nanotest.WebSocket(t, nc)
			return nil
		}},
		{name: "upgraded and beats", dial: onWS, does: func(t *testing.T, nc net.Conn) func() error {
			return again(nanotest.WebSocket(t, nc), packet(codec.Heartbeat))
		}},
		{name: "upgraded and pings", dial: onWS, does: func(t *testing.T, nc net.Conn) func() error {
			c := nanotest.WebSocket(t, nc)
			return func() error { return c.SendRaw([]byte{0x89, 0x80, 1, 2, 3, 4}) }
		}},
		{name: "silent to TLS", dial: onTLS},
		{name: "half a TLS hello", dial: onTLS, does: func(t *testing.T, nc net.Conn) func() error {
			_, _ = nc.Write([]byte{22, 3, 1, 1, 0, 1, 0})
			return nil
		}},
		{name: "TLS and silent", dial: func(t *testing.T, n *apptest.Node) net.Conn { return tls.Client(onTLS(t, n), cert.Client) },
			does: func(t *testing.T, nc net.Conn) func() error {
				if err := nc.(*tls.Conn).Handshake(); err != nil {
					t.Error(err)
				}
				return nil
			}},
		{name: "silent to TLS and HTTP", dial: onWSS},
		{name: "TLS, upgraded and silent", dial: func(t *testing.T, n *apptest.Node) net.Conn { return tls.Client(onWSS(t, n), cert.Client) },
			does: func(t *testing.T, nc net.Conn) func() error {
				nanotest.WebSocket(t, nc)
				return nil
			}},
	}
}

// Connections that never become sessions would use up the node's descriptors.
func TestUnfinishedHandshakeIsClosed(t *testing.T) {
	const deadline = 4 * time.Second
	cert := nanotest.NewTLS(t)
	for _, row := range append(unfinishedOnTCP(), unfinishedOnTop(cert)...) {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := startTLS(t, h, cert, nano.WithHandshakeTimeout(deadline))
				nc := row.dial(t, n)
				var beat func() error
				if row.does != nil {
					beat = row.does(t, nc)
				}
				if d := endOf(t, nc, !row.silent, beat); d > deadline+200*time.Millisecond || d < deadline-time.Second {
					t.Errorf("gone after %v, want %v", d, deadline)
				}
				_ = nc.Close()
				synctest.Wait()
				if got := n.Stats().Connections; got != 0 {
					t.Errorf("%d connections are left", got)
				}
			})
		})
	}
}

// A client that has said nothing for three heartbeats is gone; one that says anything stays, and
// gets heartbeats.
func TestSilentClientIsClosed(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Hostile{}
				n := apptest.Start(t, h.comps(), nano.WithHeartbeatInterval(time.Second))
				speaker := kind.dial(n, t)
				gaps := beats(speaker)
				silent := kind.dial(n, t)
				silent.Ready()
				began := time.Now()
				all := silent.Rest()
				if d := time.Since(began); d < 3*time.Second || d > 3500*time.Millisecond {
					t.Errorf("the silent one was gone after %v, want three intervals", d)
				}
				if len(all) != 3 {
					t.Errorf("it had been sent %d heartbeats, want 3", len(all))
				}
				time.Sleep(8500*time.Millisecond - time.Since(began))
				speaker.Close()
				if got, want := <-gaps, slices.Repeat([]time.Duration{time.Second}, 8); !slices.Equal(got, want) {
					t.Errorf("times between heartbeats %v, want %v", got, want)
				}
				synctest.Wait()
				if got := n.Stats(); got.Silent != 1 || got.Sessions != 0 {
					t.Errorf("counted %d silent, %d sessions left", got.Silent, got.Sessions)
				}
			})
		})
	}
}
