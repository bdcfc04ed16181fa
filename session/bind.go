package session

// Bind binds the session to the user uid, and runs the OnBound handlers before it returns. To bind
// to the same uid again has no effect.
//
// Errors: [ErrIllegalUID] for a uid below 1, [ErrClosed] for a closed session, and that of the
// node's register of users if it refuses ([Binder]), [ErrUIDTaken] for example. With an error the
// session stays as it was.
func (s *Session) Bind(uid int64) error {
	if uid < 1 {
		return ErrIllegalUID
	}
	changed, err := s.bind(uid)
	if changed {
		s.tellBound() // first: hooks find the groups in order
		s.lifetime().Bound(s)
	}
	return err
}

func (s *Session) bind(uid int64) (changed bool, err error) {
	x := s.more()
	x.bindMu.Lock()
	defer x.bindMu.Unlock()
	if s.Closed() {
		return false, ErrClosed
	}
	old := s.uid.Load()
	if old == uid {
		return false, nil
	}
	if b, ok := s.NetworkEntity().(Binder); ok {
		if err := b.BindUID(s, uid); err != nil {
			return false, err
		}
	}
	// The session may have closed while the register was asked. Whoever cleans
	// up after it saw the old uid then, so the new one is taken back here.
	if !s.storeUID(uid) {
		s.unbind(uid)
		return false, ErrClosed
	}
	if old != 0 {
		s.unbind(old)
	}
	return true, nil
}

// storeUID reports false if the session closed.
func (s *Session) storeUID(uid int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() >= phaseClosing {
		return false
	}
	s.uid.Store(uid)
	return true
}

func (s *Session) adopt(uid int64) (changed bool) {
	x := s.more()
	x.bindMu.Lock()
	defer x.bindMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase.Load() >= phaseClosing || s.uid.Load() == uid {
		return false
	}
	s.uid.Store(uid)
	if uid == 0 {
		s.replaceLocked(nil)
	}
	return true
}

func (s *Session) unbind(uid int64) {
	if u, ok := s.NetworkEntity().(Unbinder); ok {
		u.UnbindUID(s, uid)
	}
}

// Clear unbinds the session from its user: its uid is 0, and its values are gone. The connection
// goes on, and the session stays in its groups.
func (s *Session) Clear() {
	if s.clear() {
		s.tellBound()
	}
}

func (s *Session) clear() (changed bool) {
	x := s.more()
	x.bindMu.Lock()
	defer x.bindMu.Unlock()
	s.mu.Lock()
	before := s.replaceLocked(nil)
	old := s.uid.Load()
	s.uid.Store(0)
	s.mu.Unlock()
	s.valuesChanged(before, nil)
	if old == 0 {
		return false
	}
	s.unbind(old)
	return true
}
