package gate

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/session"
)

// refusal is why a connection was closed before its handshake was finished.
type refusal uint8

const (
	refusedFull refusal = iota
	refusedRate
	refusedAddress
	refusedHandshakes
	refusedEnding
	refusedUpgrade
	refusedHandshake
	refusedLate
	refusals
)

// refusalNames are the words of the figures.
var refusalNames = [refusals]string{
	metrics.RefusedFull, metrics.RefusedRate, metrics.RefusedAddress, metrics.RefusedHandshakes,
	metrics.RefusedEnding, metrics.RefusedUpgrade, metrics.RefusedHandshake, metrics.RefusedLate,
}

// Refusals counts connections that were refused, by the reason. Safe for concurrent use.
type Refusals struct{ by [refusals]atomic.Uint64 }

func (r *Refusals) add(why refusal) { r.by[why].Add(1) }

// Load returns how many were refused that had come in time, and were in time themselves.
func (r *Refusals) Load() (n uint64) {
	for why := range r.by {
		if w := refusal(why); w != refusedRate && w != refusedLate {
			n += r.by[why].Load()
		}
	}
	return n
}

func (r *Refusals) snapshot() map[string]uint64 {
	var m map[string]uint64
	for why := range r.by {
		if n := r.by[why].Load(); n > 0 {
			if m == nil {
				m = make(map[string]uint64)
			}
			m[refusalNames[why]] = n
		}
	}
	return m
}

// refusalOf returns the reason of an error of Gate.enter or Gate.add.
func refusalOf(err error) refusal {
	switch {
	case errors.Is(err, errFull):
		return refusedFull
	case errors.Is(err, errAddress):
		return refusedAddress
	case errors.Is(err, errHandshakes):
		return refusedHandshakes
	}
	return refusedEnding
}

// ends counts sessions that have ended, by the kind of their end.
type ends struct {
	by [session.CloseShutdown + 1]atomic.Uint64
}

func (e *ends) add(kind session.CloseKind) {
	if int(kind) < len(e.by) {
		e.by[kind].Add(1)
	}
}

func (e *ends) snapshot() map[string]uint64 {
	var m map[string]uint64
	for kind := range e.by {
		if n := e.by[kind].Load(); n > 0 {
			if m == nil {
				m = make(map[string]uint64)
			}
			m[session.CloseKind(kind).String()] = n
		}
	}
	return m
}

// heavies are the connections with large queues, and how large they are, see Conn.weighLocked.
type heavies struct {
	mu  sync.Mutex
	all map[*Conn]int
}

// set notes the size of a queue; 0: it is not large.
func (h *heavies) set(c *Conn, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if bytes == 0 {
		delete(h.all, c)
		return
	}
	if h.all == nil {
		h.all = make(map[*Conn]int)
	}
	h.all[c] = bytes
}

func (h *heavies) snapshot() (count int, sum, largest int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.all {
		sum += int64(n)
		largest = max(largest, int64(n))
	}
	return len(h.all), sum, largest
}

// Figures returns what the gate does and has counted, without what others count for it: sessions
// and users.
func (g *Gate) Figures() metrics.Gate {
	c := &g.counters
	f := metrics.Gate{
		Kept:     max(0, g.resumer.kept.Load()),
		Accepted: c.Accepted.Load(), Refused: c.Refused.snapshot(),
		Opened: c.Opened.Load(), Closed: c.Closed.Load(), Ends: c.ends.snapshot(),
		Suspended: c.Suspended.Load(), Resumed: c.Resumed.Load(),
		BytesIn: c.BytesIn.Load(), PacketsIn: c.PacketsIn.Load(), BytesOut: c.BytesOut.Load(), PacketsOut: c.PacketsOut.Load(),
		Kicked: c.Kicked.Load(), SlowKicked: c.SlowKicked.Load(), Dropped: c.Dropped.Load(),
		Skipped: c.Skipped.Load(), Replaced: c.Replaced.Load(), Silent: c.Silent.Load(), Malformed: c.Malformed.Load(),
		Limited: metrics.Limited{
			Messages: c.Limited.Messages.Load(), Addresses: c.Limited.Addresses.Load(),
			Accepts: c.Limited.Accepts.Load(), Handshakes: c.Limited.Handshakes.Load(),
		},
	}
	f.Slow, f.Queued, f.Largest = g.heavies.snapshot()
	g.mu.Lock()
	f.Connections = metrics.Connections{TCP: len(g.conns) - g.websockets, WebSocket: g.websockets}
	g.mu.Unlock()
	z := &g.resumer
	z.mu.Lock()
	f.Away = len(z.away)
	z.mu.Unlock()
	return f
}

// Full reports whether the gate takes no more connections, or has as many bytes queued as it may.
func (g *Gate) Full() (connections, queues bool) {
	g.mu.Lock()
	connections = g.cfg.MaxConns > 0 && g.places >= g.cfg.MaxConns
	g.mu.Unlock()
	return connections, g.cfg.SendQueues > 0 && g.queued.Load() >= int64(g.cfg.SendQueues)
}

// written counts what was written for a connection.
func (g *Gate) written(bytes, packets int) {
	g.counters.BytesOut.Add(uint64(bytes))
	g.counters.PacketsOut.Add(uint64(packets))
}
