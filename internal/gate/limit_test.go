package gate

import (
	"fmt"
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

// A session may send so many messages a second: those over it wait, are refused in their order, or end the session.
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

// Connections that do not finish their handshake keep so many others out, and no more once they are gone.
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
