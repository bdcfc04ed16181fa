package session

import (
	"slices"
	"sync"
)

// Router holds which backend serves a session, for each service that several nodes run. A gate
// binds its first choice, so that the session stays with one node; an application may bind
// another. The methods may be called from any goroutine. The zero value is empty and ready.
type Router struct {
	mu     sync.Mutex
	routes []bound // few: a map of one entry would cost more than the rest of the session
	by     Reacher // nil: all can be reached
}

// bound is the choice for one service.
type bound struct{ service, address string }

// findLocked returns the place of the choice for service; -1 if there is none.
func (r *Router) findLocked(service string) int {
	for i := range r.routes {
		if r.routes[i].service == service {
			return i
		}
	}
	return -1
}

// Bind makes the node at address serve the session for service.
func (r *Router) Bind(service, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.findLocked(service); i >= 0 {
		r.routes[i].address = address
		return
	}
	r.routes = append(r.routes, bound{service, address})
}

// Find returns the address of the node that serves the session for service. It reports false if
// none was bound, and while this node cannot reach the one that was.
func (r *Router) Find(service string) (string, bool) {
	r.mu.Lock()
	i := r.findLocked(service)
	var address string
	if i >= 0 {
		address = r.routes[i].address
	}
	r.mu.Unlock()
	if i < 0 || r.by != nil && !r.by.Reaches(service, address) {
		return "", false
	}
	return address, true
}

// All returns the address of each choice, by service, whether this node can reach it or not.
func (r *Router) All() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]string, len(r.routes))
	for _, b := range r.routes {
		all[b.service] = b.address
	}
	return all
}

// Delete forgets the choice for service.
func (r *Router) Delete(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.findLocked(service); i >= 0 {
		r.routes = slices.Delete(r.routes, i, i+1)
	}
}
