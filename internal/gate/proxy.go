package gate

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// trusted tells whether the word of a proxy at this address is taken.
func (c *Config) trusted(a net.Addr) bool {
	if a.Network() == "unix" {
		return c.TrustUnix
	}
	ip, ok := addrOf(a.String())
	return ok && c.trustedIP(ip)
}

func (c *Config) trustedIP(ip netip.Addr) bool {
	for _, p := range c.Trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// addrOf takes the IP address out of host:port or host.
func addrOf(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}

// clientAddr is the connection's address, or, behind proxies that are trusted, the last address in
// X-Forwarded-For that is not a trusted proxy itself.
func (c *Config) clientAddr(peer net.Addr, r *http.Request) net.Addr {
	if !c.trusted(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		ip, ok := addrOf(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		if !c.trustedIP(ip) {
			return &net.TCPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
		}
	}
	return peer
}
