package session

import (
	"net"

	"github.com/lonng/nano/internal/fault"
)

// NetworkEntity is what carries a session: the connection on a gate, the way
// back to that gate on a backend, a recorder in a test. Its methods may be
// called from any goroutine and do not wait for the network. What they are
// given to send is the caller's again when they return: they copy bytes.
type NetworkEntity interface {
	// Push sends v to the client under route.
	Push(route string, v any) error
	// RPC calls the handler of route, on whichever node it is, in the name of
	// the session and without an answer.
	RPC(route string, v any) error
	// LastMid returns the id of the message that is handled just now.
	LastMid() uint64
	// Response answers the message that is handled just now.
	Response(v any) error
	// ResponseMid answers the request with the id mid.
	ResponseMid(mid uint64, v any) error
	// Close ends the connection after what was queued before went out.
	Close() error
	// RemoteAddr returns the client's address.
	RemoteAddr() net.Addr
}

// Kicker is an optional upgrade of a [NetworkEntity]: it can tell the client
// why its session ends.
type Kicker interface {
	// Kick sends the reason to the client and ends the connection.
	Kick(reason string) error
}

// Failer is an optional upgrade of a [NetworkEntity]: it can answer a request
// with an error.
type Failer interface {
	// FailMid answers the request with the id mid as if its handler had
	// returned err.
	FailMid(mid uint64, err error) error
}

// Multicaster is an optional upgrade of a [NetworkEntity]: it can send one push to
// many sessions at once, encoded once.
type Multicaster interface {
	// Outlet returns what takes such a push, nil if there is none now. Sessions
	// whose outlets are equal can be given one push together.
	Outlet() Outlet
}

// Outlet takes a push for many sessions: the clients of a gate, or the link to a
// gate. It is comparable.
type Outlet interface {
	// Multicast pushes v under route to the sessions, which all have this outlet.
	// It does not wait for the network. The errors of single sessions are joined.
	Multicast(route string, v any, to []*Session) error
}

// Binder is an optional upgrade of a [NetworkEntity]: who keeps the register
// of users, and so may refuse one.
type Binder interface {
	// BindUID is called before s becomes uid; s.UID() is still the former one.
	// With an error (such as [ErrUIDTaken]) the session stays what it was.
	// Calls for one session come one at a time. BindUID must not call Bind or
	// Clear of the same session.
	BindUID(s *Session, uid int64) error
}

// Reacher is an optional upgrade of a [NetworkEntity]: it knows which nodes can
// serve the session. The session's [Router] finds no others.
type Reacher interface {
	// Reaches reports whether the node at address runs service and can be
	// reached. It is asked for each message that is routed.
	Reaches(service, address string) bool
}

// Unbinder is an optional upgrade of a [NetworkEntity] that is a [Binder]: it
// wants to know when a session is a user no longer although it goes on.
type Unbinder interface {
	// UnbindUID is called after s has ceased to be uid: after Clear, after it
	// was bound to another one, and when it closed before Bind was done. It is
	// not called when a bound session closes, which the entity knows itself.
	// A register must check that its entry of uid is s, and must not call Bind
	// or Clear of the same session.
	UnbindUID(s *Session, uid int64)
}

// ValueWatcher is an optional upgrade of a [NetworkEntity]: it wants to know when
// values of the session change.
type ValueWatcher interface {
	// ValueChanged is called after the value of key was set, or removed: what it
	// is now is for s to say. It must not call Bind or Clear of the same session.
	ValueChanged(s *Session, key string)
}

var (
	// ErrIllegalUID is returned by Bind for a uid below 1.
	ErrIllegalUID = fault.New(fault.Invalid, "session: illegal uid")
	// ErrUIDTaken is what a [Binder] refuses a uid with that another session
	// has and keeps.
	ErrUIDTaken = fault.New(fault.Exists, "session: uid is taken by another session")
	// ErrClosed is returned for what needs a session that is alive, and is the
	// cause with which its context ends.
	ErrClosed = fault.New(fault.Unavailable, "session: closed")
	// ErrNoEntity is returned for what needs a network by a session that was
	// made without one.
	ErrNoEntity = fault.New(fault.Unavailable, "session: no network entity")
)
