package resume

// Lags are the nodes that were told that a session goes to another gate, and have not said that
// they know. If it goes without the word of one, what that has pushed to this gate is older than
// what it sends to the next: it is too late, and its client has heard of a gap. N names nodes; one
// that has forgotten what it was told has another name. The zero value is empty. Its owner guards
// it.
type Lags[N comparable] struct {
	of   map[lagging[N]]*lag
	late int // how many of these a session has gone without
}

type lagging[N comparable] struct {
	session int64
	node    N
}

// lag is what is known of such a node.
type lag struct {
	told int // times that it was told, and has not said so
	late int // of these, up to the last time that the session went without its word
}

// Tell notes that a node is told where a session goes.
func (l *Lags[N]) Tell(session int64, node N) {
	if l.of == nil {
		l.of = make(map[lagging[N]]*lag)
	}
	of := lagging[N]{session, node}
	if l.of[of] == nil {
		l.of[of] = new(lag)
	}
	l.of[of].told++
}

// Knows notes that a node has said once that it knows, or that nothing more comes of it.
func (l *Lags[N]) Knows(session int64, node N) {
	of := lagging[N]{session, node}
	n := l.of[of]
	if n == nil {
		return
	}
	if n.late > 0 {
		if n.late--; n.late == 0 {
			l.late--
		}
	}
	if n.told--; n.told == 0 {
		delete(l.of, of)
	}
}

// Leave notes that a session goes without the word of a node, unless that has come this moment.
func (l *Lags[N]) Leave(session int64, node N) {
	n := l.of[lagging[N]{session, node}]
	if n == nil {
		return
	}
	if n.late == 0 {
		l.late++
	}
	n.late = n.told
}

// TooLate reports whether what a node pushes to a session is to be dropped. If the session comes
// back to this gate meanwhile, it may be new: what is dropped then costs another gap, of which the
// node hears behind all that is dropped.
func (l *Lags[N]) TooLate(session int64, node N) bool {
	n := l.of[lagging[N]{session, node}]
	return n != nil && n.late > 0
}

// Late returns how many nodes there are of which something may be too late.
func (l *Lags[N]) Late() int { return l.late }
