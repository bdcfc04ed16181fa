package mesh

import (
	"maps"
	"slices"
	"sync"

	"github.com/lonng/nano/session"
)

// sessionTable holds the gate sessions. It is split by session id, so that messages of different
// clients seldom meet at a lock. A sync.Map would take 100 bytes a client, this takes 25. Its
// methods may be called concurrently. The zero value is empty and ready.
type sessionTable struct{ shards [64]sessionShard }

type sessionShard struct {
	mu  sync.RWMutex
	all map[*session.Session]*gateSession
}

func (t *sessionTable) shard(s *session.Session) *sessionShard {
	return &t.shards[uint64(s.ID())%uint64(len(t.shards))]
}

// get returns nil if there is none.
func (t *sessionTable) get(s *session.Session) *gateSession {
	h := t.shard(s)
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.all[s]
}

// add returns what is in the table for the session: g, if there was nothing.
func (t *sessionTable) add(s *session.Session, g *gateSession) *gateSession {
	h := t.shard(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	if had := h.all[s]; had != nil {
		return had
	}
	if h.all == nil {
		h.all = make(map[*session.Session]*gateSession)
	}
	h.all[s] = g
	return g
}

// take removes and returns what is in the table for the session; nil if there is nothing.
func (t *sessionTable) take(s *session.Session) *gateSession {
	h := t.shard(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.all[s]
	delete(h.all, s)
	return g
}

// each calls fn for all that are there, under no lock.
func (t *sessionTable) each(fn func(*gateSession)) {
	for i := range t.shards {
		h := &t.shards[i]
		h.mu.RLock()
		all := slices.Collect(maps.Values(h.all))
		h.mu.RUnlock()
		for _, g := range all {
			fn(g)
		}
	}
}
