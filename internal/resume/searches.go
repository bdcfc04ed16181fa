package resume

import "net/netip"

const (
	maxSearches   = 1024 // that go on at one time
	maxSearchesOf = 128  // of these for one address
)

// Searches bounds how many searches go on: each of them asks all nodes again and again. A search
// that ends with its first answers does not count. The zero value has none. Its owner guards it.
type Searches struct {
	all int
	of  map[netip.Addr]int
}

// Begin reports whether a search for a client at an address may go on. [Searches.End] ends it then.
func (s *Searches) Begin(addr netip.Addr) bool {
	at := network(addr)
	if s.all >= maxSearches || s.of[at] >= maxSearchesOf {
		return false
	}
	if s.of == nil {
		s.of = make(map[netip.Addr]int)
	}
	s.all++
	s.of[at]++
	return true
}

// End ends a search that has begun.
func (s *Searches) End(addr netip.Addr) {
	at := network(addr)
	s.all--
	if s.of[at]--; s.of[at] == 0 {
		delete(s.of, at)
	}
}
