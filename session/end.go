package session

import "context"

// Closed reports whether the session has ended. It is true before the OnClosed handlers run.
func (s *Session) Closed() bool { return s.phase.Load() >= phaseClosing }

// Context returns a context that ends, with the cause [ErrClosed], when the session has closed and
// its OnClosed handlers have run. Use it for work that goes on after a handler has returned.
func (s *Session) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.more()
	if x.context == nil {
		ctx, end := context.WithCancelCause(context.Background())
		x.context = &lifeContext{ctx, end}
		if s.phase.Load() == phaseClosed {
			end(ErrClosed)
		}
	}
	return x.context.Context
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
	var ending *lifeContext
	if x := s.extra.Load(); x != nil {
		told, x.observers = x.observers.all(), nil
		ending = x.context
	}
	s.mu.Unlock()

	if ending != nil {
		ending.end(ErrClosed)
	}
	for _, o := range told {
		l.shield(s, o.SessionClosed)
	}
}

// tellBound tells the observers that the uid has changed.
func (s *Session) tellBound() {
	s.mu.Lock()
	var told []Observer
	if x := s.extra.Load(); x != nil {
		told = x.observers.all()
	}
	s.mu.Unlock()
	for _, o := range told {
		s.lifetime().shield(s, o.SessionBound)
	}
}
