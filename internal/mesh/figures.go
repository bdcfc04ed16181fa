package mesh

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/metrics"
)

// Figures returns what this node knows of the others, and has counted.
func (m *Mesh) Figures() metrics.Cluster {
	c := metrics.Cluster{
		Calls: m.Calls.times.Snapshot(), CallErrors: m.Calls.errors.Snapshot(),
		Withdrawn: m.refusals.Withdrawn.Load(), Late: m.refusals.Late.Load(),
		Unknown: m.refusals.Unknown.Load(), Lost: m.refusals.Lost.Load(),
	}
	for _, p := range m.Members() {
		c.Members = append(c.Members, memberFigures(p))
	}
	slices.SortFunc(c.Members, func(a, b metrics.Member) int { return cmp.Compare(a.Addr, b.Addr) })
	ways := m.peers.all()
	for _, addr := range slices.Sorted(maps.Keys(ways)) {
		l := ways[addr].figures()
		c.Links = append(c.Links, l)
		c.Calling += l.Calling
		c.Serving += l.Serving
	}
	return c
}

func memberFigures(p member.Peer) metrics.Member {
	m := metrics.Member{
		Addr: p.Addr, Label: p.Label, Services: p.Services,
		State: p.State.String(), Reach: p.Reach.String(), Unlisted: p.Unlisted, Legacy: p.Legacy(),
	}
	if !p.Legacy() {
		m.Started = startOf(p.Epoch)
	}
	return m
}

// startOf is when a process began, see newEpoch.
func startOf(epoch uint64) time.Time { return time.UnixMicro(int64(epoch >> 8)) }

func (p *peer) figures() metrics.Link {
	l := metrics.Link{Peer: p.addr, Sessions: p.sessions.Load(), Calling: p.calls.len(), Serving: p.served.len(time.Now())}
	if p.link == nil {
		return l
	}
	s := p.link.Stats()
	l.Connected, l.Heard, l.RoundTrip = s.Connected, s.Heard, s.RoundTrip
	l.Unsent, l.Unacked, l.Frames, l.Batches, l.Bytes = s.Unsent, s.Unacked, s.Frames, s.Batches, s.Bytes
	l.Resent, l.Connects, l.Dropped, l.Refused = s.Resent, s.Connects, s.Dropped, s.Refused
	if s.LastErr != nil {
		l.LastError = s.LastErr.Error()
	}
	if p.givesCredit() {
		l.Credit, l.CreditLimit = p.window.sent.Load(), nodeWindow
	}
	return l
}

// Listed reports whether the list of members has this node, as far as it knows: its master answers,
// or its Keeper's views have it. A single node and a master need nobody.
func (m *Mesh) Listed() bool {
	switch {
	case !m.cfg.clustered() || m.cfg.IsMaster:
		return true
	case m.cfg.Keeper != nil:
		return m.keeper.listed.Load()
	}
	heard := m.master.heard.Load()
	return heard != 0 && time.Since(time.Unix(0, heard)) < 3*m.cfg.Heartbeat+tellTimeout
}
