package gate

import (
	"net"
	"net/netip"
	"time"

	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// lost is called when a connection of the session is closed. It reports whether the session has
// nothing to do with that: it waits for its client now, or another connection carries it, or it has
// ended before. A session that cannot be resumed, nil, ends.
func (r *resumable) lost(c *Conn) bool {
	if r == nil {
		return false
	}
	f, g := r.front, c.gate
	f.mu.Lock()
	switch {
	case r.over || r.carrier != c:
		f.mu.Unlock()
		return true
	case !c.outlives() || !g.resumer.wait(f, c.peer()):
		r.over, r.carrier = true, nil
		r.Out.Clear()
		r.weighLocked()
		f.sess.SetCloseReason(session.CloseReason{Kind: session.CloseNetwork, Reason: "connection lost"})
		f.mu.Unlock()
		return false
	}
	window := g.cfg.Resume.Window
	r.carrier = nil
	r.Suspend(time.Now().Add(window))
	r.roamedLocked().timer = time.AfterFunc(window, r.expire)
	g.cfg.Suspended(f.sess) // under the lock, so that it is told in order
	f.mu.Unlock()
	g.counters.Suspended.Add(1)
	return true
}

// expire ends a session whose client has not come back.
func (r *resumable) expire() {
	c := r.front
	c.mu.Lock()
	if !r.Expired(time.Now()) || r.over {
		c.mu.Unlock()
		return
	}
	c.gate.resumer.end(c.sess.ID(), resume.Expired)
	_ = r.shut(nil, session.CloseReason{Kind: session.CloseNetwork, Reason: "the client did not come back"})
}

// wait takes a session into the set of those that wait for their client, who was at an address,
// unless the gate is closing or has no room for more, of all or of that address.
func (z *resumer) wait(f *Conn, at net.Addr) bool {
	g := z.gate
	var ip netip.Addr
	perAddress := g.cfg.Limits.PerAddress
	if perAddress > 0 {
		ip = networkOf(at)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	z.mu.Lock()
	defer z.mu.Unlock()
	if g.ending || g.cfg.MaxConns > 0 && len(z.away) >= g.cfg.MaxConns {
		return false
	}
	if ip.IsValid() {
		if z.count[ip] >= perAddress {
			return false
		}
		if z.count == nil {
			z.count = make(map[netip.Addr]int)
		}
		z.count[ip]++
	}
	if z.away == nil {
		z.away = make(map[*Conn]netip.Addr)
	}
	z.away[f] = ip
	g.running.Add(1)
	return true
}

// returned takes a session out of that set.
func (z *resumer) returned(f *Conn) {
	z.mu.Lock()
	ip, ok := z.away[f]
	delete(z.away, f)
	if ip.IsValid() {
		if z.count[ip]--; z.count[ip] == 0 {
			delete(z.count, ip)
		}
	}
	z.mu.Unlock()
	if ok {
		z.gate.running.Done()
	}
}

// waiting counts the sessions that wait for their clients.
func (z *resumer) waiting() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.away)
}

// waitingFor returns the sessions that wait for their clients.
func (z *resumer) waitingFor() []*Conn {
	z.mu.Lock()
	defer z.mu.Unlock()
	all := make([]*Conn, 0, len(z.away))
	for f := range z.away {
		all = append(all, f)
	}
	return all
}

// end notes why a session can not be resumed any more.
func (z *resumer) end(id int64, why resume.Reason) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.ends.Add(id, why)
}

// why returns why a session can not be resumed any more.
func (z *resumer) why(id int64) resume.Reason {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.ends.Why(id)
}
