package session

import "sync"

// Router holds a session's choices of backends: which node serves it for a
// service that several nodes have. A gate binds the first choice, so that the
// session stays with one node; an application may bind another. Its methods
// may be called from any goroutine. The zero value is empty and ready.
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

// Find returns the address of the node that serves the session for service,
// if one was bound and is not gone, as far as is known here. One that comes
// back before another was bound is found again.
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
