package resume

import (
	"crypto/subtle"
	"time"
)

// Reason says why a session was not resumed, in the words of the protocol. An empty one means that
// it was.
type Reason string

// The reasons.
const (
	// Expired: the client was away for longer than the window.
	Expired Reason = "expired"
	// Overflow: more was sent to the client than is kept for it.
	Overflow Reason = "overflow"
	// Unknown: there is no such session, or the token is not the one in force.
	Unknown Reason = "unknown"
	// Gap: the session goes on elsewhere, and what was on its way is lost.
	Gap Reason = "gap"
	// Later is never told to a client: its session is not found yet, and may be. The client is to
	// come again.
	Later Reason = "later"
)

// Session is a node's half of a session that can be resumed. [Session.Init] makes it ready for the
// session's first connection.
//
// Each connection of the session has a turn, counted from 1, and a token of its own. The client may
// never get a token, because the connection breaks before, and what it says may come late. So each
// token is good that it may hold now: the one that it used last, until it has confirmed that it has
// another, and those that were issued since.
type Session struct {
	Side
	key    Key
	proven uint32 // the turn of the last token that the client is known to have
	issued uint32 // the turn of the last token
	away   *away  // nil: there is a connection
}

// away is the part of a session without a connection.
type away struct {
	mark  uint64    // what had been sent when the connection ended
	until time.Time // when the session expires
}

// Init sets the secret of the session's tokens.
func (s *Session) Init(key Key) { s.key = key }

// Issue fills in the token for a connection that is answered now.
func (s *Session) Issue(t *Token) {
	s.issued++
	t.Key, t.Turn = s.key, s.issued
}

// Confirm says that the client has the last token that was issued: all others are void.
func (s *Session) Confirm() { s.proven = s.issued }

// Suspend says that the connection has ended, and that the session waits for the next until a
// time. A session that is suspended already keeps its time.
func (s *Session) Suspend(until time.Time) {
	if s.away == nil {
		s.away = &away{mark: s.Out.sent, until: until}
	}
}

// Suspended reports whether the session waits for its client, and until when.
func (s *Session) Suspended() (until time.Time, ok bool) {
	if s.away == nil {
		return time.Time{}, false
	}
	return s.away.until, true
}

// Expired reports whether the session has waited for long enough.
func (s *Session) Expired(now time.Time) bool { return s.away != nil && !now.Before(s.away.until) }

// Trim keeps at most limit bytes and drops the oldest packets. It reports false if the session
// cannot be resumed any more: what was dropped was sent after the connection had ended, so that the
// client cannot have received it.
func (s *Session) Trim(limit int) bool {
	s.Out.Trim(limit)
	return s.away == nil || s.Out.Base() <= s.away.mark
}

// Holds reports whether t is a token with which the client may come back. What it compares takes
// the same time for every key.
func (s *Session) Holds(t Token) bool {
	return subtle.ConstantTimeCompare(s.key[:], t.Key[:]) == 1 && t.Turn >= max(s.proven, 1) && t.Turn <= s.issued
}

// Resume is asked for a client that comes back with a token, and has received n packets. If it
// returns no reason, the session goes on with the connection that asks, whatever became of the one
// before: what [Outbox.All] returns has to be sent again. With Overflow and Expired, the session is
// over; with Unknown nothing has changed. It returns ErrCount, and changes nothing, if n was never
// sent.
func (s *Session) Resume(t Token, n uint64, now time.Time) (Reason, error) {
	switch {
	case !s.Holds(t):
		return Unknown, nil
	case s.Expired(now):
		return Expired, nil
	case n < s.Out.Base():
		return Overflow, nil
	}
	if err := s.Out.Acknowledge(n); err != nil {
		return "", err
	}
	s.proven, s.away = t.Turn, nil
	return "", nil
}
