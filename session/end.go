package session

import (
	"context"
	"reflect"
)

// Observer is told of what happens to a session that it holds, as a group
// does. It must be a pointer or otherwise comparable. Its methods are called
// from any goroutine, with no lock of the session held.
type Observer interface {
	// SessionBound is called after the uid of s has changed. Of two changes
	// at once the calls may come in either order: s.UID() is what holds.
	SessionBound(s *Session)
	// SessionClosed is called once, after the OnClosed handlers; s forgets the
	// observer.
	SessionClosed(s *Session)
}

// extra is what only some sessions need.
type extra struct {
	ctx       context.Context
	cancel    context.CancelCauseFunc
	observers observers
}

func (s *Session) extraLocked() *extra {
	if s.extra == nil {
		s.extra = new(extra)
	}
	return s.extra
}

// Closed reports whether the session has ended. It is true before the
// OnClosed handlers run.
func (s *Session) Closed() bool { return s.phase.Load() >= phaseClosing }

// Context returns a context that ends, with the cause [ErrClosed], when the
// session has closed and its OnClosed handlers have run. Work that goes on
// for a client after its handler has returned is to be bound to it.
func (s *Session) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.extraLocked()
	if x.ctx == nil {
		x.ctx, x.cancel = context.WithCancelCause(context.Background())
		if s.phase.Load() == phaseClosed {
			x.cancel(ErrClosed)
		}
	}
	return x.ctx
}

// Observe has o told of what happens to the session from now on. It reports
// false if the session has closed, or if o is nil or not comparable: o is not
// told then. Observing twice is the same as once.
func (s *Session) Observe(o Observer) bool {
	if o == nil || !reflect.ValueOf(o).Comparable() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() >= phaseClosing {
		return false
	}
	s.extraLocked().observers.add(o)
	return true
}

// Unobserve ends Observe. A call to o that is under way is not waited for.
func (s *Session) Unobserve(o Observer) {
	if o == nil || !reflect.ValueOf(o).Comparable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.extra != nil {
		s.extra.observers.remove(o)
	}
}

// advance enters a later phase; it reports false if the session is there or
// beyond already.
func (s *Session) advance(to uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() >= to {
		return false
	}
	s.phase.Store(to)
	return true
}

// end is the rest of Close, after the handlers.
func (s *Session) end(l *Lifetimes) {
	s.mu.Lock()
	s.phase.Store(phaseClosed)
	var told []Observer
	var cancel context.CancelCauseFunc
	if s.extra != nil {
		told, s.extra.observers = s.extra.observers.all(), observers{}
		cancel = s.extra.cancel
	}
	s.mu.Unlock()

	if cancel != nil {
		cancel(ErrClosed)
	}
	for _, o := range told {
		l.shield(s, o.SessionClosed)
	}
}

// tellBound tells the observers that the uid has changed.
func (s *Session) tellBound() {
	s.mu.Lock()
	var told []Observer
	if s.extra != nil {
		told = s.extra.observers.all()
	}
	s.mu.Unlock()
	for _, o := range told {
		s.lifetime().shield(s, o.SessionBound)
	}
}
