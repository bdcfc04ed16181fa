// Package online knows who is connected, on which platforms, at which gates. Each node has a
// registry of the whole cluster: a gate tells the others what changes at it, and now and then
// everything that it has.
package online

import (
	"hash/fnv"
	"maps"
	"slices"
	"sync"
)

// Person is somebody who is connected.
type Person struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Platforms []string `json:"platforms"`
}

// place is a connection: one for each platform at each gate.
type place struct{ gate, platform string }

// person is somebody with at least one connection.
type person struct {
	name   string
	places []place // each once
}

// Digest is a short form of who is connected at a gate, by which others see whether they have
// missed something.
type Digest struct {
	Count int    // connections
	Sum   uint64 // of their hashes, which needs no order
}

// Registry knows who is connected. Its methods may be called from any goroutine.
type Registry struct {
	mu     sync.RWMutex
	people map[string]*person
	counts map[string]int    // by platform
	gates  map[string]Digest // of those with connections
	words  map[string]string // names of gates and platforms, each once in memory
	sorted []string          // ids in order, made when a list is asked for; nil after a change
}

// New returns an empty registry.
func New() *Registry {
	return &Registry{people: make(map[string]*person), counts: make(map[string]int), gates: make(map[string]Digest), words: make(map[string]string)}
}

// Set notes that a user has come or gone on a platform at a gate. It reports whether that was the
// user's first connection, or the last one.
func (r *Registry) Set(gate, id, name, platform string, here bool) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.setLocked(gate, id, name, platform, here)
}

func (r *Registry) setLocked(gate, id, name, platform string, here bool) (changed bool) {
	p := r.people[id]
	at := place{gate, platform}
	if here {
		if p == nil {
			p = &person{}
			r.people[id] = p
			r.sorted = nil
			changed = true
		}
		p.name = name
		if slices.Contains(p.places, at) {
			return changed
		}
		if !p.on(platform) {
			r.counts[platform]++
		}
		p.places = append(p.places, place{r.wordLocked(gate), r.wordLocked(platform)})
		r.sumLocked(gate, id, platform, 1)
		return changed
	}
	if p == nil {
		return false
	}
	i := slices.Index(p.places, at)
	if i < 0 {
		return false
	}
	p.places = slices.Delete(p.places, i, i+1)
	r.sumLocked(gate, id, platform, -1)
	if !p.on(platform) {
		if r.counts[platform]--; r.counts[platform] == 0 {
			delete(r.counts, platform) // clients choose the names
		}
	}
	if len(p.places) == 0 {
		delete(r.people, id)
		r.sorted = nil
		return true
	}
	return false
}

// maxWords bounds the names that are kept once: clients choose those of platforms.
const maxWords = 1000

func (r *Registry) wordLocked(w string) string {
	if known, ok := r.words[w]; ok {
		return known
	}
	if len(r.words) < maxWords {
		r.words[w] = w
	}
	return w
}

// sumLocked counts a connection into the digest of its gate, or out of it.
func (r *Registry) sumLocked(gate, id, platform string, by int) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id + "\x00" + platform)) // it never fails
	d := r.gates[gate]
	d.Count += by
	d.Sum += uint64(by) * h.Sum64() // sums go round
	if d.Count == 0 {
		delete(r.gates, gate)
	} else {
		r.gates[gate] = d
	}
}

// Digest returns the digest of a gate.
func (r *Registry) Digest(gate string) Digest {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gates[gate]
}

// on reports whether the person is on a platform.
func (p *person) on(platform string) bool {
	return slices.ContainsFunc(p.places, func(at place) bool { return at.platform == platform })
}

// platforms returns the person's platforms in order.
func (p *person) platforms() []string {
	list := make([]string, 0, len(p.places))
	for _, at := range p.places {
		list = append(list, at.platform)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Gate replaces everything that is known of a gate.
func (r *Registry) Gate(gate string, people []Person) {
	r.mu.Lock()
	defer r.mu.Unlock()
	type connection struct{ id, platform string }
	now := make(map[connection]bool)
	for _, p := range people {
		for _, platform := range p.Platforms {
			now[connection{p.ID, platform}] = true
			r.setLocked(gate, p.ID, p.Name, platform, true)
		}
	}
	for id, p := range r.people {
		for _, at := range slices.Clone(p.places) {
			if at.gate == gate && !now[connection{id, at.platform}] {
				r.setLocked(gate, id, p.name, at.platform, false)
			}
		}
	}
}

// At returns who is connected at a gate.
func (r *Registry) At(gate string) []Person {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []Person
	for id, p := range r.people {
		var platforms []string
		for _, at := range p.places {
			if at.gate == gate {
				platforms = append(platforms, at.platform)
			}
		}
		if len(platforms) > 0 {
			list = append(list, Person{ID: id, Name: p.name, Platforms: platforms})
		}
	}
	return list
}

// Online reports whether a user is connected on one of the platforms; without platforms, on any.
func (r *Registry) Online(id string, platforms []string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.onlineLocked(id, platforms)
}

func (r *Registry) onlineLocked(id string, platforms []string) bool {
	p := r.people[id]
	if p == nil {
		return false
	}
	return len(platforms) == 0 || slices.ContainsFunc(platforms, p.on)
}

// Reached returns how many of the users are connected on one of the platforms.
func (r *Registry) Reached(ids, platforms []string) (n int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, id := range ids {
		if r.onlineLocked(id, platforms) {
			n++
		}
	}
	return n
}

// Here returns those of the users who are connected on one of the platforms.
func (r *Registry) Here(ids, platforms []string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []string
	for _, id := range ids {
		if r.onlineLocked(id, platforms) {
			list = append(list, id)
		}
	}
	return list
}

// CountOn returns how many users are connected on one of the platforms.
func (r *Registry) CountOn(platforms []string) (n int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(platforms) == 1 {
		return r.counts[platforms[0]]
	}
	for id := range r.people {
		if r.onlineLocked(id, platforms) {
			n++
		}
	}
	return n
}

// Platforms returns on which platforms a user is connected.
func (r *Registry) Platforms(id string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if p := r.people[id]; p != nil {
		return p.platforms()
	}
	return []string{}
}

// Count returns how many users are connected, in all and by platform.
func (r *Registry) Count() (users int, byPlatform map[string]int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.people), maps.Clone(r.counts)
}

// List returns up to limit people who are connected on one of the platforms (without platforms, on
// any), in the order of their ids, those behind after.
func (r *Registry) List(after string, platforms []string, limit int) []Person {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sorted == nil {
		r.sorted = make([]string, 0, len(r.people))
		for id := range r.people {
			r.sorted = append(r.sorted, id)
		}
		slices.Sort(r.sorted)
	}
	i, found := slices.BinarySearch(r.sorted, after)
	if found {
		i++
	}
	list := []Person{}
	for ; i < len(r.sorted) && len(list) < limit; i++ {
		if id := r.sorted[i]; r.onlineLocked(id, platforms) {
			p := r.people[id]
			list = append(list, Person{ID: id, Name: p.name, Platforms: p.platforms()})
		}
	}
	return list
}
