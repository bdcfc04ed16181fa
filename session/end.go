package session

import "context"

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

// Closed reports whether the session has ended. It is true before the OnClosed handlers run.
func (s *Session) Closed() bool { return s.phase.Load() >= phaseClosing }

// Context returns a context that ends, with the cause [ErrClosed], when the session has closed and
// its OnClosed handlers have run. Use it for work that goes on after a handler has returned.
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
