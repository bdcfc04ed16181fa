package session

import "sync"

// Router holds a session's choices of backends: which node serves it for a
// service that several nodes have. A gate binds the first choice, so that the
// session stays with one node; an application may bind another. Its methods
// may be called from any goroutine. The zero value is empty and ready.
type Router struct {
	mu     sync.RWMutex
	routes map[string]string // service to address
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

// Find returns the address of the node that serves the session for service,
// if one was bound.
func (r *Router) Find(service string) (string, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	address, ok := r.routes[service]
	return address, ok
}

// Delete forgets the choice for service.
func (r *Router) Delete(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, service)
}
