package session

// CloseKind is what ended a session.
type CloseKind uint8

// What ends a session. The numbers go between nodes: they never change.
const (
	CloseUnknown   CloseKind = iota // it has not ended, or its gate is a node of v0.5, which does not tell
	CloseKicked                     // Session.Kick; Reason is what the client was told
	CloseByServer                   // Session.Close
	CloseByClient                   // the client closed its connection
	CloseSilent                     // nothing came from the client for too long
	CloseSlow                       // the client did not read what was sent to it
	CloseMalformed                  // what the client sent makes no sense
	CloseHandshake                  // the handshake was refused, or not finished in time
	CloseNetwork                    // the connection broke, or that between gate and backend
	CloseShutdown                   // the node ends
)

// String names the kind in words: "kicked", "silent".
func (k CloseKind) String() string {
	switch k {
	case CloseKicked:
		return "kicked"
	case CloseByServer:
		return "closed by the server"
	case CloseByClient:
		return "closed by the client"
	case CloseSilent:
		return "silent"
	case CloseSlow:
		return "slow"
	case CloseMalformed:
		return "malformed"
	case CloseHandshake:
		return "handshake"
	case CloseNetwork:
		return "network"
	case CloseShutdown:
		return "shutdown"
	}
	return "unknown"
}

// CloseReason is why a session ended. It lets an OnClosed handler tell a player who left from one
// whose network broke. The zero value is that of a session that has not ended.
type CloseReason struct {
	Kind CloseKind
	// Reason is what a kicked client was told. For other kinds it is for logs, and may be empty or
	// change.
	Reason string
}

// String returns the kind, with the reason behind it.
func (r CloseReason) String() string {
	if r.Reason == "" {
		return r.Kind.String()
	}
	return r.Kind.String() + ": " + r.Reason
}

// CloseReason returns why the session ended. It is known when the OnClosed handlers run, on each
// node that knew the session.
func (s *Session) CloseReason() CloseReason {
	x := s.extra.Load()
	if x == nil {
		return CloseReason{}
	}
	if r := x.why.Load(); r != nil {
		return *r
	}
	return CloseReason{}
}

// SetCloseReason stores why the session ends; the first reason stays. It is for the owner of the
// network entity, who calls it before [Lifetimes.Close].
func (s *Session) SetCloseReason(r CloseReason) {
	if x := s.more(); x.why.Load() == nil {
		x.why.CompareAndSwap(nil, &r)
	}
}
