package gate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
)

// echoes are requests to T.Echo with the ids from 1 on.
func echoes(t *testing.T, n int) []byte {
	t.Helper()
	var all []byte
	for i := range n {
		b, err := codec.AppendData(nil, codec.Request, uint64(1+i), "T.Echo", []byte("1"), 0, nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

const seesErrors = `{"sys":{"accept":["error"]}}`

// A session may send so many messages a second: those over it wait, are refused in their order, or
// end the session.
func TestMessageRate(t *testing.T) {
	limit := func(p LimitPolicy) func(*Config) {
		return func(c *Config) { c.Limits = Limits{Messages: 10, MessageBurst: 5, MessagePolicy: p} }
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limit(LimitWait))
		c := w.dial(t, false)
		c.Beats = true
		c.Ready(seesErrors)
		began := time.Now()
		go func() { _ = c.SendRaw(echoes(t, 35)) }()
		for id := uint64(1); id <= 35; id++ {
			if m := c.Response(id); m.Err {
				t.Fatalf("request %d failed", id)
			}
		}
		// 5 at once and 30 at 10 a second; silence of more than two heartbeats among them.
		if took := time.Since(began); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("35 messages took %v, want 3 s", took)
		}
		if n := w.counters.Limited.Messages.Load(); n != 30 {
			t.Errorf("%d messages are counted, want 30", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limit(LimitDrop))
		c := w.dial(t, false)
		c.Ready(seesErrors)
		c.Write(echoes(t, 8))
		for id := uint64(1); id <= 8; id++ {
			if m := c.Message(); m.ID != id || m.Err != (id > 5) {
				t.Fatalf("answer %d (error %v) came in the place of %d's", m.ID, m.Err, id)
			}
		}
		time.Sleep(time.Second)
		if m := c.Call("T.Echo", []byte("1")); m.Err {
			t.Error("a second later a request is still refused")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limit(LimitKick))
		c := w.dial(t, false)
		c.Ready(seesErrors)
		c.Write(echoes(t, 6))
		if why := c.Kicked(); why != "flood" {
			t.Errorf("kicked with %q", why)
		}
	})
}

// A handshake that is repeated is answered with the whole dictionary, so it counts as a message.
func TestMessageRateOfRepeatedHandshakes(t *testing.T) {
	for policy, answers := range map[LimitPolicy]int{LimitWait: 100, LimitDrop: 5, LimitKick: 5} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Limits = Limits{Messages: 10, MessageBurst: 5, MessagePolicy: policy} })
			c := w.dial(t, false)
			c.Ready()
			began := time.Now()
			go func() { _ = c.SendRaw(bytes.Repeat(codec.AppendPacket(nil, codec.Handshake, nil), 100)) }()
			for n := 0; n < answers; {
				switch p := c.Packet(); p.Type {
				case codec.Handshake:
					n++
				case codec.Heartbeat:
				default:
					t.Fatalf("policy %d: after %d answers came %v %q", policy, n, p.Type, p.Body)
				}
			}
			switch policy {
			case LimitWait:
				if took := time.Since(began); took < 9*time.Second {
					t.Errorf("100 handshakes took %v", took)
				}
			case LimitDrop:
				time.Sleep(time.Second)
				if m := c.Call("T.Echo", []byte("1")); string(m.Data) != "1" {
					t.Errorf("after the handshakes that were dropped came %v", m)
				}
			case LimitKick:
				if why := c.Kicked(); why != "flood" {
					t.Errorf("kicked with %q", why)
				}
			}
		})
	}
}

// A client that waits for its limit can be kicked, and nobody waits for it at the end.
func TestMessageRateOfASessionThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Limits = Limits{Messages: 0.001} })
		c, s := w.join(t, false, seesErrors)
		c.Write(echoes(t, 2))
		c.Response(1)
		synctest.Wait()
		began := time.Now()
		if err := s.Kick("enough"); err != nil {
			t.Fatal(err)
		}
		c.Kicked()
		c.Close()
		nanotest.Until(t, "the connection is gone", func() bool { return w.Len() == 0 })
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// dialFrom connects and tells whether the gate lets it shake hands.
func (w *world) dialFrom(t *testing.T, addr string) (c *nanotest.Client, welcome bool) {
	t.Helper()
	nc, err := w.tcp.DialFrom(addr)
	if err != nil {
		t.Fatal(err)
	}
	c = nanotest.NewClient(t, nc)
	synctest.Wait()
	if c.SendPacket(codec.Handshake, []byte(seesErrors)) != nil {
		return c, false
	}
	p, err := c.Next()
	return c, err == nil && p.Type == codec.Handshake
}

// One address has so many connections, others do not suffer, and what has closed does not count.
func TestConnectionsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Limits.PerAddress = 2 })
		first, ok := w.dialFrom(t, "10.0.0.1:1000")
		if _, also := w.dialFrom(t, "10.0.0.1:1001"); !ok || !also {
			t.Fatal("a connection within the limit was refused")
		}
		if _, ok := w.dialFrom(t, "10.0.0.1:1002"); ok {
			t.Error("a third connection of one address was taken")
		}
		for i := range 5 {
			if _, ok := w.dialFrom(t, fmt.Sprintf("[2001:db8::%d]:1000", i+1)); ok != (i < 2) {
				t.Errorf("connection %d of a network was taken: %v", i, ok)
			}
		}
		if _, ok := w.dialFrom(t, "10.0.0.2:1000"); !ok {
			t.Error("another address was refused")
		}
		first.Close()
		nanotest.Until(t, "the first is gone", func() bool { return w.Len() == 4 })
		if _, ok := w.dialFrom(t, "10.0.0.1:1003"); !ok {
			t.Error("after one has closed, none was taken in its place")
		}
		if n := w.counters.Limited.Addresses.Load(); n != 4 {
			t.Errorf("%d are counted, want 4", n)
		}
		if len(w.admission.addresses) != 3 {
			t.Errorf("the gate counts %d addresses, want 3", len(w.admission.addresses))
		}
	})
}

// One address cannot take all places of those who have lost their connection: as many of its
// sessions wait for their clients as it may have connections.
func TestSuspendedSessionsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newResumingWorld(t, func(c *Config) { c.Limits.PerAddress, c.MaxConns = 2, 10 })
		drop := func(addr string) {
			nc, err := w.tcp.DialFrom(addr)
			if err != nil {
				t.Fatal(err)
			}
			c := nanotest.NewClient(t, nc)
			c.Ready(greetingOf("", 0))
			c.Close()
			synctest.Wait()
		}
		for i := range 20 {
			drop(fmt.Sprintf("10.0.0.1:%d", i+1))
		}
		if n := w.resumer.waiting(); n != 2 {
			t.Errorf("%d sessions of one address wait, want 2", n)
		}
		drop("10.0.0.2:1")
		if n := w.resumer.waiting(); n != 3 {
			t.Errorf("with one of another address %d wait, want 3", n)
		}
		time.Sleep(2 * time.Minute) // longer than they wait
		drop("10.0.0.1:1")
		if n := w.resumer.waiting(); n != 1 || len(w.resumer.count) != 1 {
			t.Errorf("later %d wait, and %d addresses are counted, want 1", n, len(w.resumer.count))
		}
	})
}

// So many connections a second are accepted: the others wait, or are closed.
func TestAcceptRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Limits = Limits{Accepts: 2, AcceptBurst: 3} })
		began := time.Now()
		for i := range 7 {
			if _, ok := w.dialFrom(t, fmt.Sprintf("10.0.0.%d:1", i)); !ok {
				t.Fatalf("connection %d was refused", i)
			}
		}
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("7 connections took %v, want 2 s", took)
		}
		if n := w.counters.Limited.Accepts.Load(); n != 4 {
			t.Errorf("%d are counted, want 4", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Limits = Limits{Accepts: 2, AcceptBurst: 3, AcceptPolicy: LimitDrop} })
		for i := range 6 {
			if _, ok := w.dialFrom(t, fmt.Sprintf("10.0.0.%d:1", i)); ok != (i < 3) {
				t.Errorf("connection %d was taken: %v", i, ok)
			}
		}
	})
}

// Connections that do not finish their handshake keep so many others out, and no more once they are
// gone.
func TestConcurrentHandshakes(t *testing.T) {
	for _, p := range []LimitPolicy{LimitWait, LimitDrop} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Limits = Limits{Handshakes: 2, HandshakeLimit: p} })
			for range 2 {
				w.dial(t, false) // says nothing
			}
			synctest.Wait()
			began := time.Now()
			_, ok := w.dialFrom(t, "10.0.0.1:1")
			if p == LimitDrop {
				if ok {
					t.Error("a third handshake was begun")
				}
			} else if took := time.Since(began); !ok || took != 3*time.Second {
				t.Errorf("a third was taken: %v, after %v; want it after the handshake timeout of the others", ok, took)
			}
			time.Sleep(4 * time.Second)
			for range 5 { // each finishes its own
				c := w.dial(t, false)
				c.Ready()
				synctest.Wait()
			}
			if n := w.counters.Limited.Handshakes.Load(); n != 1 {
				t.Errorf("%d are counted, want 1", n)
			}
		})
	}
}

// halfOpen connects to the WebSocket endpoint and sends half a request.
func (w *world) halfOpen(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := w.ws.DialFrom(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	go func() { _, _ = nc.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nX-Half: ")) }() // one that waits is not read
	synctest.Wait()
	return nc
}

// closed tells whether the gate has closed a connection that is to read nothing.
func closed(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := nc.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// A connection counts from the moment on which it is accepted: half a request, an upgrade without a
// handshake and a PROXY header that does not come cost what an unfinished handshake costs.
func TestHandshakesCountFromAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Limits = Limits{Handshakes: 2, HandshakeLimit: LimitDrop} })
		w.halfOpen(t, "10.0.0.1:1")
		w.halfOpen(t, "10.0.0.2:1")
		if third := w.halfOpen(t, "10.0.0.3:1"); !closed(third) {
			t.Error("a third was taken by the WebSocket's endpoint")
		}
		if _, ok := w.dialFrom(t, "10.0.0.4:1"); ok {
			t.Error("a third was taken by the other endpoint")
		}
		time.Sleep(4 * time.Second)
		if _, ok := w.dialFrom(t, "10.0.0.4:1"); !ok {
			t.Error("none is taken when those are gone")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Limits = Limits{Handshakes: 2, HandshakeLimit: LimitWait} })
		var connecting sync.WaitGroup
		for i := range 20 {
			connecting.Go(func() {
				nc, err := w.ws.DialFrom(fmt.Sprintf("10.0.0.%d:1", 1+i))
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = nc.Close() })
				_, _ = nanotest.Upgrade(t, nc, "/", nil) // and says nothing more
			})
		}
		for range 4 {
			synctest.Wait()
			if n := w.Len(); n != 2 {
				t.Errorf("%d handshakes are under way, want 2", n)
			}
			time.Sleep(3 * time.Second)
		}
		if n := w.counters.Limited.Handshakes.Load(); n == 0 {
			t.Error("none is counted")
		}
		w.StopAccepting()
		connecting.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		proxy := netip.MustParsePrefix("10.0.0.9/32")
		w := newWorld(t, func(c *Config) {
			c.Limits = Limits{Handshakes: 2, HandshakeLimit: LimitDrop}
			c.ProxyProtocol, c.Trusted = true, []netip.Prefix{proxy}
		})
		for i := range 3 {
			nc, err := w.tcp.DialFrom("10.0.0.9:1")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = nc.Close() })
			synctest.Wait()
			if closed(nc) != (i == 2) {
				t.Errorf("connection %d without its PROXY header was closed: %v", i, i != 2)
			}
		}
	})
}

// A browser that keeps its connection for pages is not shaking hands.
func TestPageIsNoHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) {
			c.Limits = Limits{Handshakes: 1, HandshakeLimit: LimitDrop, PerAddress: 2}
			mux := http.NewServeMux()
			mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) })
			c.Pages = mux
		})
		browse := func(addr string) bool {
			nc, err := w.ws.DialFrom(addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = nc.Close() })
			if _, err := nc.Write([]byte("GET /page HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
				return false
			}
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				return false
			}
			return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
		}
		for i := range 2 {
			if !browse("10.0.0.1:1") {
				t.Errorf("page %d was refused", i)
			}
		}
		if _, ok := w.dialFrom(t, "10.0.0.2:1"); !ok {
			t.Error("with two browsers' connections open, no handshake is begun")
		}
		if browse("10.0.0.1:1") {
			t.Error("a third connection of one address was taken")
		}
		if n := len(w.admission.addresses); n != 2 {
			t.Errorf("%d addresses are counted, want 2", n)
		}
	})
}

// One address cannot take all places by connections that never become clients. A trusted proxy may:
// its clients count.
func TestHalfOpenConnectionsPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) {
			c.Limits, c.MaxConns = Limits{PerAddress: 2}, 10
			c.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.9/32")}
		})
		for i := range 5 {
			if nc := w.halfOpen(t, "10.0.0.1:1"); closed(nc) != (i >= 2) {
				t.Errorf("connection %d of one address was closed: %v", i, i < 2)
			}
			if nc := w.halfOpen(t, "10.0.0.9:1"); closed(nc) {
				t.Errorf("connection %d of a trusted proxy was closed", i)
			}
		}
		if _, ok := w.dialFrom(t, "10.0.0.1:1"); ok {
			t.Error("the address was let in at the other endpoint")
		}
		if _, ok := w.dialFrom(t, "10.0.0.2:1"); !ok {
			t.Error("another address was refused")
		}
		time.Sleep(4 * time.Second) // the handshake timeout
		for i := range 3 {
			nc, err := w.ws.DialFrom("10.0.0.9:1")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = nc.Close() })
			c, err := nanotest.Upgrade(t, nc, "/", http.Header{"X-Forwarded-For": {"10.0.0.1"}})
			if err == nil {
				err = c.SendPacket(codec.Handshake, []byte(seesErrors))
			}
			if err == nil {
				_, err = c.Next()
			}
			if (err == nil) != (i < 2) {
				t.Errorf("client %d behind the proxy: %v", i, err)
			}
		}
		if got := fmt.Sprint(w.admission.addresses); got != "map[10.0.0.1:2]" {
			t.Errorf("counted: %s", got) // the client of the other address was closed: it did not finish its handshake
		}
	})
}

// The same on real sockets, with each transport.
func TestHalfOpenConnectionsOnSockets(t *testing.T) {
	eachTransport(t, func(t *testing.T, portable func(*Config)) {
		for name, limits := range map[string]Limits{
			"handshakes": {Handshakes: 2, HandshakeLimit: LimitDrop}, "connections of an address": {PerAddress: 2},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, portable, func(c *Config) { c.Limits = limits })
				_, ws := w.sockets(t)
				var all []net.Conn
				for i := range 3 {
					nc := dialed(t, ws)
					all = append(all, nc)
					if _, err := nc.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n")); err != nil && i < 2 {
						t.Fatal(err)
					}
					nanotest.Until(t, "it is accepted or refused", func() bool {
						w.admission.mu.Lock()
						defer w.admission.mu.Unlock()
						return w.admission.places == min(i+1, 2) && (i < 2 || w.counters.Refused.Load() == 1)
					})
				}
				if _, err := all[2].Read(make([]byte, 1)); err == nil {
					t.Error("the third was answered")
				}
				for _, nc := range all {
					_ = nc.Close()
				}
				nanotest.Until(t, "nothing is counted any more", func() bool {
					w.admission.mu.Lock()
					defer w.admission.mu.Unlock()
					return w.admission.shaking == 0 && len(w.admission.addresses) == 0
				})
			})
		}
	})
}
