package gate

import (
	"errors"
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

// refusalOf returns the reason of an error of admission or Gate.add.
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
	f.Away = g.resumer.waiting()
	return f
}

// Full reports whether the gate takes no more connections, or has as many bytes queued as it may.
func (g *Gate) Full() (connections, queues bool) {
	return g.admission.full(), g.cfg.SendQueues > 0 && g.heavies.queued.Load() >= int64(g.cfg.SendQueues)
}

// written counts what was written for a connection.
func (c *Counters) written(bytes, packets int) {
	c.BytesOut.Add(uint64(bytes))
	c.PacketsOut.Add(uint64(packets))
}
