package cluster

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/internal/mesh"
	"github.com/lonng/nano/session"
)

// Routing chooses the node that serves a session for a service, at the first message: the session
// stays with it. candidates are the nodes that run the service and take sessions, by address, at
// least one. The result is an index. It is called from any goroutine.
type Routing func(service string, s *session.Session, candidates []Candidate) int

// Candidate is a node that could be chosen.
type Candidate struct {
	Addr, Label string
	Sessions    int64 // how many sessions the choosing node, a gate or a backend that calls by RPC, has sent there
}

// RouteRandom chooses any node. It is the default, as in v0.5.
func RouteRandom() Routing {
	return func(_ string, _ *session.Session, c []Candidate) int { return rand.IntN(len(c)) }
}

// RouteRoundRobin takes the nodes in turn, for each service.
func RouteRoundRobin() Routing {
	var mu sync.Mutex
	next := make(map[string]int)
	return func(service string, _ *session.Session, c []Candidate) int {
		mu.Lock()
		defer mu.Unlock()
		i := next[service] % len(c)
		next[service] = i + 1
		return i
	}
}

// RouteLeastSessions chooses the node to which this one has sent the fewest of the sessions that
// are there now.
func RouteLeastSessions() Routing {
	return func(_ string, _ *session.Session, c []Candidate) int {
		best := 0
		for i := range c {
			if c[i].Sessions < c[best].Sessions {
				best = i
			}
		}
		return best
	}
}

// RouteHash sends sessions with the same key (a room's name, a user's id) to the same node, from
// every gate; when a node comes or goes, only the keys that it takes or had move. nil: the
// session's uid.
func RouteHash(key func(s *session.Session) string) Routing {
	if key == nil {
		key = func(s *session.Session) string { return strconv.FormatInt(s.UID(), 10) }
	}
	return func(_ string, s *session.Session, c []Candidate) int {
		k := key(s)
		best, most := 0, uint64(0)
		for i := range c {
			h := fnv.New64a()
			_, _ = h.Write([]byte(c[i].Addr)) // never fails
			_, _ = h.Write([]byte{0})
			_, _ = h.Write([]byte(k))
			if w := mix(h.Sum64()); w >= most {
				best, most = i, w
			}
		}
		return best
	}
}

// mix spreads what the hash of similar strings leaves close together.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// chooser is how the mesh asks for the node of a session: one of open, by address. sessions tells
// how many sessions of this node the node at an address has.
type chooser = func(service string, s *session.Session, open []member.Peer, sessions func(addr string) int64) (string, error)

// chooseByFunction asks v0.5's function of the application.
func chooseByFunction(route CustomerRemoteServiceRoute) chooser {
	return func(service string, s *session.Session, open []member.Peer, _ func(string) int64) (string, error) {
		infos := make([]*clusterpb.MemberInfo, len(open))
		for i, p := range open {
			infos[i] = mesh.ToInfo(p.Member)
		}
		if m := route(service, s, infos); m != nil {
			return m.GetServiceAddr(), nil
		}
		return "", component.Errorf(component.CodeUnavailable, "cluster: the route function chose no node for service %q", service)
	}
}

// chooseByPolicy asks the policy.
func chooseByPolicy(policy Routing) chooser {
	return func(service string, s *session.Session, open []member.Peer, sessions func(addr string) int64) (string, error) {
		candidates := make([]Candidate, len(open))
		for i, p := range open {
			candidates[i] = Candidate{Addr: p.Addr, Label: p.Label, Sessions: sessions(p.Addr)}
		}
		i := policy(service, s, candidates)
		if i < 0 || i >= len(candidates) {
			return "", fmt.Errorf("cluster: the routing policy returned %d of %d candidates: %w", i, len(candidates),
				component.Errorf(component.CodeUnavailable, "the routing policy chose no node for service %q", service))
		}
		return candidates[i].Addr, nil
	}
}
