package gate

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

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
	errFull       = errors.New("the node is full")
	errEnding     = errors.New("the node is shutting down")
)

// place is what a connection has taken of the gate's bounds when it was accepted. It goes along
// with the connection from one owner to the next, and back to Gate.leave; admission.mu guards it.
type place struct {
	counted netip.Addr // the address that it counts for; invalid: none yet
	shaking bool       // it counts among the handshakes that are under way
}

// enter takes a place for a connection that was just accepted, or closes it: false. quit ends a
// wait.
func (g *Gate) enter(nc net.Conn, quit <-chan struct{}) (p place, ok bool) {
	if !g.inTime(quit) {
		_ = nc.Close()
		return place{}, false
	}
	err := g.arrive(&p, nc.RemoteAddr(), quit)
	if err == nil {
		g.mu.Lock()
		if g.cfg.MaxConns > 0 && g.places >= g.cfg.MaxConns {
			err = errFull
		} else {
			g.places++
		}
		g.mu.Unlock()
	}
	if err == nil {
		return p, true
	}
	g.giveBack(&p)
	if !errors.Is(err, net.ErrClosed) {
		g.refused(nc, err)
	}
	_ = nc.Close()
	return place{}, false
}

// refused counts and logs a connection that found no place.
func (g *Gate) refused(nc net.Conn, err error) {
	g.counters.Refused.add(refusalOf(err))
	if errors.Is(err, errFull) {
		g.cfg.Log.Warn("connection refused: the node is full", "remote", nc.RemoteAddr(), "connections", g.cfg.MaxConns)
		return
	}
	g.cfg.Log.Warn("connection refused", "remote", nc.RemoteAddr(), "err", err)
}

// leave gives a place back.
func (g *Gate) leave(p *place) {
	g.giveBack(p)
	g.mu.Lock()
	g.places--
	g.mu.Unlock()
}

// inTime waits until the rate of connections allows another one; false: it is to be closed.
func (g *Gate) inTime(quit <-chan struct{}) bool {
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
			g.counters.Refused.add(refusedRate)
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
	return true
}

// arrive counts a connection from peer, and its handshake, which may have to wait for another one
// to end. A trusted proxy has many clients: these are counted when they are known, see admit.
func (g *Gate) arrive(p *place, peer net.Addr, quit <-chan struct{}) error {
	l, a := &g.cfg.Limits, &g.admission
	if l.PerAddress == 0 && l.Handshakes == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !g.trusted(peer) {
		if err := g.countLocked(p, networkOf(peer)); err != nil {
			return err
		}
	}
	for first := true; !g.shakeLocked(p); first = false {
		if first {
			g.counters.Limited.Handshakes.Add(1)
		}
		if l.HandshakeLimit != LimitWait {
			return errHandshakes
		}
		if a.room == nil {
			a.room = make(chan struct{})
		}
		room, over := a.room, false
		a.mu.Unlock()
		select {
		case <-room:
		case <-quit:
			over = true
		}
		a.mu.Lock()
		if over {
			return net.ErrClosed
		}
	}
	return nil
}

// admit counts a client that was not counted when its connection was accepted: one behind a proxy,
// and one on a connection that was used for pages before.
func (g *Gate) admit(c *Conn, p *place) error {
	l, a := &g.cfg.Limits, &g.admission
	if l.PerAddress == 0 && l.Handshakes == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !g.shakeLocked(p) {
		g.counters.Limited.Handshakes.Add(1)
		return errHandshakes
	}
	if err := g.countLocked(p, networkOf(c.peer())); err != nil {
		return err
	}
	c.shaking, c.counted = true, p.counted.IsValid()
	return nil
}

// shakeLocked counts a handshake, if there may be one more.
func (g *Gate) shakeLocked(p *place) bool {
	l, a := &g.cfg.Limits, &g.admission
	if !p.shaking && (l.Handshakes == 0 || a.shaking < l.Handshakes) {
		a.shaking++
		p.shaking = true
	}
	return p.shaking
}

// countLocked counts a connection among those of its address, unless it is counted.
func (g *Gate) countLocked(p *place, ip netip.Addr) error {
	l, a := &g.cfg.Limits, &g.admission
	if l.PerAddress == 0 || p.counted.IsValid() || !ip.IsValid() {
		return nil
	}
	if a.addresses[ip] >= l.PerAddress {
		g.counters.Limited.Addresses.Add(1)
		return errAddress
	}
	if a.addresses == nil {
		a.addresses = make(map[netip.Addr]int)
	}
	a.addresses[ip]++
	p.counted = ip
	return nil
}

// networkOf is the address under which a client is counted; invalid: under none.
func networkOf(peer net.Addr) netip.Addr {
	ip, ok := addrOf(peer.String())
	if ok && ip.Is6() { // whoever has one address has the others of its network
		if net64, err := ip.WithZone("").Prefix(64); err == nil {
			ip = net64.Addr()
		}
	}
	return ip
}

// calm ends the count of a handshake: the connection is none of a client, or is none any more.
func (g *Gate) calm(p *place) {
	a := &g.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	g.calmLocked(&p.shaking)
}

func (g *Gate) calmLocked(shaking *bool) {
	a := &g.admission
	if !*shaking {
		return
	}
	*shaking = false
	a.shaking--
	if a.room != nil {
		close(a.room)
		a.room = nil
	}
}

// giveBack ends all that a place counts for.
func (g *Gate) giveBack(p *place) {
	a := &g.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	g.calmLocked(&p.shaking)
	g.forgetLocked(p.counted)
	p.counted = netip.Addr{}
}

func (g *Gate) forgetLocked(ip netip.Addr) {
	a := &g.admission
	if !ip.IsValid() {
		return
	}
	if a.addresses[ip]--; a.addresses[ip] == 0 {
		delete(a.addresses, ip)
	}
}

// takeOver moves a place to another owner.
func (g *Gate) takeOver(p *place) place {
	a := &g.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	had := *p
	*p = place{}
	return had
}

// shaken counts a handshake that is over, one way or the other.
func (g *Gate) shaken(c *Conn) {
	if l := &g.cfg.Limits; l.PerAddress == 0 && l.Handshakes == 0 {
		return
	}
	a := &g.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	g.calmLocked(&c.shaking)
}

// left counts a connection that is gone.
func (g *Gate) left(c *Conn) {
	g.shaken(c)
	if !c.counted {
		return
	}
	a := &g.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	g.forgetLocked(networkOf(c.peer()))
}
