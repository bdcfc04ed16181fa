package member

import "slices"

// Table is what a node knows of the others at one moment. It is immutable and safe for concurrent
// use. Callers must not change the slices that it returns.
type Table struct {
	all       []Peer // by address, without those that are not in the list
	byAddr    map[string]Peer
	byService map[string]*providers
}

type providers struct {
	all, open []Peer
}

func newTable(addrs []string, peers map[string]*peer) *Table {
	t := &Table{
		all:       make([]Peer, 0, len(addrs)),
		byAddr:    make(map[string]Peer, len(addrs)),
		byService: make(map[string]*providers),
	}
	for _, addr := range addrs {
		p := peers[addr].Peer
		if !p.Unlisted {
			t.all = append(t.all, p)
		}
		t.byAddr[addr] = p
		for _, s := range p.Services {
			if t.byService[s] == nil {
				t.byService[s] = &providers{}
			}
			t.byService[s].all = append(t.byService[s].all, p)
		}
	}
	for _, s := range t.byService {
		s.open = takers(s.all)
	}
	return t
}

// takers returns those that take new sessions: who works, and can be reached. If all are on links
// that were lost this moment, then those; and if the list has lost them all, those whose link is
// up.
func takers(all []Peer) []Peer {
	for _, like := range []Peer{{Reach: Up}, {Reach: Down}, {Reach: Up, Unlisted: true}} {
		var open []Peer
		for _, p := range all {
			if p.State == Working && p.Reach == like.Reach && p.Unlisted == like.Unlisted {
				open = append(open, p)
			}
		}
		if open != nil {
			return open
		}
	}
	return nil
}

// All returns all peers that are in the list, by address.
func (t *Table) All() []Peer { return t.all }

// Peer returns the peer at addr.
func (t *Table) Peer(addr string) (Peer, bool) {
	p, ok := t.byAddr[addr]
	return p, ok
}

// Open returns the peers to choose from for a session that has none yet for service, by address.
// Empty while Running is not means that nobody can be reached, or takes sessions.
func (t *Table) Open(service string) []Peer {
	if p := t.byService[service]; p != nil {
		return p.open
	}
	return nil
}

// Running returns all peers that run service, in whatever state and reach, by address.
func (t *Table) Running(service string) []Peer {
	if p := t.byService[service]; p != nil {
		return p.all
	}
	return nil
}

// Coming reports whether a peer that runs service is about to take sessions.
func (t *Table) Coming(service string) bool {
	return slices.ContainsFunc(t.Running(service), Peer.Coming)
}

// Coming reports whether the peer is about to take sessions: it is starting, and its link is not
// down for long.
func (p Peer) Coming() bool { return p.State == Starting && p.Reach <= Down }

// Keeps reports whether the peer at addr can go on with a session that it has for service: it runs
// the service, and its link is not down for long.
func (t *Table) Keeps(addr, service string) bool {
	p, ok := t.Peer(addr)
	return ok && p.Reach <= Down && p.Has(service)
}

// Services returns the names of all that peers run, sorted.
func (t *Table) Services() []string {
	names := make([]string, 0, len(t.byService))
	for s := range t.byService {
		names = append(names, s)
	}
	slices.Sort(names)
	return names
}
