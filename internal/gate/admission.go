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
	cfg      *Config
	counters *Counters

	mu        sync.Mutex
	places    int // connections of all kinds that were accepted and are not over
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
// with the connection from one owner to the next, and back to admission.leave. admission.mu guards
// it.
type place struct {
	counted netip.Addr // the address that it counts for; invalid: none yet
	shaking bool       // it counts among the handshakes that are under way
}

// enter takes a place for a connection that was just accepted, or closes it: false. quit ends a
// wait.
func (a *admission) enter(nc net.Conn, quit <-chan struct{}) (p place, ok bool) {
	if !a.inTime(quit) {
		_ = nc.Close()
		return place{}, false
	}
	err := a.arrive(&p, nc.RemoteAddr(), quit)
	if err == nil {
		err = a.occupy()
	}
	if err == nil {
		return p, true
	}
	a.giveBack(&p)
	if !errors.Is(err, net.ErrClosed) {
		a.refused(nc, err)
	}
	_ = nc.Close()
	return place{}, false
}

// occupy takes one of the places of all connections.
func (a *admission) occupy() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fullLocked() {
		return errFull
	}
	a.places++
	return nil
}

func (a *admission) fullLocked() bool { return a.cfg.MaxConns > 0 && a.places >= a.cfg.MaxConns }

// full reports whether the gate takes no more connections.
func (a *admission) full() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fullLocked()
}

// refused counts and logs a connection that found no place.
func (a *admission) refused(nc net.Conn, err error) {
	a.counters.Refused.add(refusalOf(err))
	if errors.Is(err, errFull) {
		a.cfg.Log.Warn("connection refused: the node is full", "remote", nc.RemoteAddr(), "connections", a.cfg.MaxConns)
		return
	}
	a.cfg.Log.Warn("connection refused", "remote", nc.RemoteAddr(), "err", err)
}

// leave gives a place back.
func (a *admission) leave(p *place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.giveBackLocked(p)
	a.places--
}

// inTime waits until the rate of connections allows another one; false: it is to be closed.
func (a *admission) inTime(quit <-chan struct{}) bool {
	l := &a.cfg.Limits
	for first := true; l.Accepts > 0; first = false {
		a.mu.Lock()
		wait := a.accepts.take(time.Now(), l.Accepts, l.AcceptBurst)
		a.mu.Unlock()
		if wait == 0 {
			break
		}
		if first {
			a.counters.Limited.Accepts.Add(1)
		}
		if l.AcceptPolicy != LimitWait {
			a.counters.Refused.add(refusedRate)
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
func (a *admission) arrive(p *place, peer net.Addr, quit <-chan struct{}) error {
	l := &a.cfg.Limits
	if l.PerAddress == 0 && l.Handshakes == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.cfg.trusted(peer) {
		if err := a.countLocked(p, networkOf(peer)); err != nil {
			return err
		}
	}
	for first := true; !a.shakeLocked(p); first = false {
		if first {
			a.counters.Limited.Handshakes.Add(1)
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
func (a *admission) admit(c *Conn, p *place) error {
	l := &a.cfg.Limits
	if l.PerAddress == 0 && l.Handshakes == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.shakeLocked(p) {
		a.counters.Limited.Handshakes.Add(1)
		return errHandshakes
	}
	if err := a.countLocked(p, networkOf(c.peer())); err != nil {
		return err
	}
	c.shaking, c.counted = true, p.counted.IsValid()
	return nil
}

// shakeLocked counts a handshake, if there may be one more.
func (a *admission) shakeLocked(p *place) bool {
	l := &a.cfg.Limits
	if !p.shaking && (l.Handshakes == 0 || a.shaking < l.Handshakes) {
		a.shaking++
		p.shaking = true
	}
	return p.shaking
}

// countLocked counts a connection among those of its address, unless it is counted.
func (a *admission) countLocked(p *place, ip netip.Addr) error {
	l := &a.cfg.Limits
	if l.PerAddress == 0 || p.counted.IsValid() || !ip.IsValid() {
		return nil
	}
	if a.addresses[ip] >= l.PerAddress {
		a.counters.Limited.Addresses.Add(1)
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
func (a *admission) calm(p *place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calmLocked(&p.shaking)
}

func (a *admission) calmLocked(shaking *bool) {
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
func (a *admission) giveBack(p *place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.giveBackLocked(p)
}

func (a *admission) giveBackLocked(p *place) {
	a.calmLocked(&p.shaking)
	a.forgetLocked(p.counted)
	p.counted = netip.Addr{}
}

func (a *admission) forgetLocked(ip netip.Addr) {
	if !ip.IsValid() {
		return
	}
	if a.addresses[ip]--; a.addresses[ip] == 0 {
		delete(a.addresses, ip)
	}
}

// takeOver moves a place to another owner.
func (a *admission) takeOver(p *place) place {
	a.mu.Lock()
	defer a.mu.Unlock()
	had := *p
	*p = place{}
	return had
}

// shaken counts a handshake that is over, one way or the other.
func (a *admission) shaken(c *Conn) {
	if l := &a.cfg.Limits; l.PerAddress == 0 && l.Handshakes == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calmLocked(&c.shaking)
}

// left counts a connection that is gone.
func (a *admission) left(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calmLocked(&c.shaking)
	if c.counted {
		a.forgetLocked(networkOf(c.peer()))
	}
	a.places--
}
