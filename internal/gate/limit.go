package gate

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
)

// LimitPolicy says what happens to what is over a limit.
type LimitPolicy uint8

// The policies of limits.
const (
	LimitWait LimitPolicy = iota // it waits until it is not
	LimitDrop                    // it is dropped: a message with an error to who asked, a connection by closing it
	LimitKick                    // the session is kicked
)

// Limits bound what clients may do. A zero value sets no limit.
type Limits struct {
	Messages       float64 // of one session a second
	MessageBurst   int     // messages at once, before Messages counts
	MessagePolicy  LimitPolicy
	PerAddress     int     // connections of one address
	Accepts        float64 // connections that are accepted a second
	AcceptBurst    int     // connections at once, before Accepts counts
	AcceptPolicy   LimitPolicy
	Handshakes     int // connections whose handshake is not finished
	HandshakeLimit LimitPolicy
}

// LimitCounters count what was over a limit, whether it waited or was dropped.
type LimitCounters struct{ Messages, Addresses, Accepts, Handshakes atomic.Uint64 }

// bucket holds tokens: rate of them come in a second, up to burst.
type bucket struct {
	left float64
	at   time.Time // when left was counted; zero before the first
}

// take takes a token and returns 0, or how long it takes until there is one.
func (b *bucket) take(now time.Time, rate float64, burst int) time.Duration {
	most := max(1, float64(burst))
	if b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
	if b.left >= 1 {
		b.left--
		return 0
	}
	return time.Duration((1-b.left)/rate*float64(time.Second)) + time.Microsecond
}

// messages returns the bucket of the session's messages. Its readers use it, one at a time.
func (c *Conn) messages() *bucket {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.transitLocked()
	if t.bucket == nil {
		t.bucket = new(bucket)
	}
	return t.bucket
}

// limited holds a message to the limit of the session. false: it is dealt with.
func (c *Conn) limited(v codec.View) (serve bool) {
	l, f := &c.gate.cfg.Limits, c.owner() // one after the other, the connections of a session share its bucket
	b := f.messages()
	wait := b.take(time.Now(), l.Messages, l.MessageBurst)
	if wait == 0 {
		return true
	}
	c.gate.counters.Limited.Messages.Add(1)
	switch l.MessagePolicy {
	case LimitDrop:
		c.in.batch.Refuse(f, v, component.Errorf(component.CodeExhausted, "too many messages"))
		return false
	case LimitKick:
		_ = c.Kick("flood")
		return false
	}
	c.in.batch.Hand()
	c.busy.Store(true) // what the client sends lies unread: it is not silent
	defer c.busy.Store(false)
	for ; wait > 0; wait = b.take(time.Now(), l.Messages, l.MessageBurst) {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-f.Waiting():
			t.Stop()
			return false
		}
	}
	return true
}

// admission holds new connections to the limits.
type admission struct {
	mu        sync.Mutex
	accepts   bucket
	addresses map[netip.Addr]int // connections of each; nil without a limit
	shaking   int                // handshakes that are not finished
	room      chan struct{}      // not nil: closed when one of those is
}

var (
	errAddress    = errors.New("its address has as many connections as it may")
	errHandshakes = errors.New("too many handshakes are under way")
)

// arrived is asked by a listener for each connection; false: it is to be closed. quit ends a wait.
func (g *Gate) arrived(quit <-chan struct{}) bool {
	l, a := &g.cfg.Limits, &g.admission
	for first := true; l.Accepts > 0; first = false {
		a.mu.Lock()
		wait := a.accepts.take(time.Now(), l.Accepts, l.AcceptBurst)
		a.mu.Unlock()
		if wait == 0 {
			break
		}
		if first {
			g.counters.Limited.Accepts.Add(1)
		}
		if l.AcceptPolicy != LimitWait {
			return false
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-quit:
			t.Stop()
			return false
		}
	}
	for first := true; l.Handshakes > 0 && l.HandshakeLimit == LimitWait; first = false {
		a.mu.Lock()
		if a.shaking < l.Handshakes {
			a.mu.Unlock()
			break
		}
		if first {
			g.counters.Limited.Handshakes.Add(1)
		}
		if a.room == nil {
			a.room = make(chan struct{})
		}
		room := a.room
		a.mu.Unlock()
		select {
		case <-room:
		case <-quit:
			return false
		}
	}
	return true
}

// admit counts a connection among those of its address, and its handshake among those that are
// under way.
func (g *Gate) admit(c *Conn) error {
	l, a := &g.cfg.Limits, &g.admission
	if l.PerAddress == 0 && l.Handshakes == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.Handshakes > 0 && l.HandshakeLimit != LimitWait && a.shaking >= l.Handshakes {
		g.counters.Limited.Handshakes.Add(1)
		return errHandshakes
	}
	if l.PerAddress > 0 {
		if ip := c.countedAs(); ip.IsValid() {
			if a.addresses[ip] >= l.PerAddress {
				g.counters.Limited.Addresses.Add(1)
				return errAddress
			}
			if a.addresses == nil {
				a.addresses = make(map[netip.Addr]int)
			}
			a.addresses[ip]++
			c.counted = true
		}
	}
	a.shaking++
	c.shaking = true
	return nil
}

// countedAs is the address under which the connection is counted; invalid: under none.
func (c *Conn) countedAs() netip.Addr {
	ip, ok := addrOf(c.peer().String())
	if ok && ip.Is6() { // whoever has one address has the others of its network
		if net64, err := ip.WithZone("").Prefix(64); err == nil {
			ip = net64.Addr()
		}
	}
	return ip
}

// shaken counts a handshake that is over, one way or the other.
func (g *Gate) shaken(c *Conn) {
	if l := &g.cfg.Limits; l.PerAddress == 0 && l.Handshakes == 0 {
		return
	}
	a := &g.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if !c.shaking {
		return
	}
	c.shaking = false
	a.shaking--
	if a.room != nil {
		close(a.room)
		a.room = nil
	}
}

// left counts a connection that is gone.
func (g *Gate) left(c *Conn) {
	g.shaken(c)
	if !c.counted {
		return
	}
	ip, a := c.countedAs(), &g.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.addresses[ip]--; a.addresses[ip] == 0 {
		delete(a.addresses, ip)
	}
}
