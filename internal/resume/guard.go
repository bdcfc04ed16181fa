package resume

import (
	"net/netip"
	"time"
)

const (
	wrongBurst = 20              // wrong tokens of one address in a row
	wrongEvery = 3 * time.Second // so often, one is forgiven
	wrongMax   = 4096            // addresses that are remembered
)

// Guard counts forged tokens by address. Its owner guards it.
type Guard struct {
	// free is when an address has all of its attempts again: each wrong token moves it on by
	// wrongEvery.
	free map[netip.Addr]time.Time
}

// Allows reports whether a client at an address is to be told why a session has ended.
func (g *Guard) Allows(addr netip.Addr, now time.Time) bool {
	return g.free[network(addr)].Sub(now) < wrongBurst*wrongEvery
}

// Wrong counts a wrong token of an address.
func (g *Guard) Wrong(addr netip.Addr, now time.Time) {
	if g.free == nil {
		g.free = make(map[netip.Addr]time.Time)
	}
	if len(g.free) >= wrongMax {
		g.forget(now)
	}
	at := network(addr)
	free := g.free[at]
	if free.Before(now) {
		free = now
	}
	g.free[at] = free.Add(wrongEvery)
}

// forget drops the addresses that have all of their attempts, or, if there are none, half of all.
func (g *Guard) forget(now time.Time) {
	for addr, free := range g.free {
		if !free.After(now) {
			delete(g.free, addr)
		}
	}
	if len(g.free) < wrongMax {
		return
	}
	for addr := range g.free {
		if delete(g.free, addr); len(g.free) <= wrongMax/2 {
			return
		}
	}
}

// network returns the address, or for IPv6 its network: whoever has one address has the others.
func network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
