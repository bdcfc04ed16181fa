package session

import "sync"

// Router holds which backend serves a session, for each service that several nodes run. A gate
// binds its first choice, so that the session stays with one node; an application may bind
// another. The methods may be called from any goroutine. The zero value is empty and ready.
type Router struct {
	mu     sync.RWMutex
	routes map[string]string // service to address
	by     Reacher           // nil: all can be reached
}

// Bind makes the node at address serve the session for service.
func (r *Router) Bind(service, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routes == nil {
		r.routes = make(map[string]string)
	}
	r.routes[service] = address
}

// Find returns the address of the node that serves the session for service. It reports false if
// none was bound, and while this node cannot reach the one that was.
func (r *Router) Find(service string) (string, bool) {
	r.mu.RLock()
	address, ok := r.routes[service]
	r.mu.RUnlock()
	if !ok || r.by != nil && !r.by.Reaches(service, address) {
		return "", false
	}
	return address, true
}

// Delete forgets the choice for service.
func (r *Router) Delete(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, service)
}
