package session

import (
	"net"

	"github.com/lonng/nano/internal/fault"
)

// NetworkEntity carries a session: the connection on a gate, the way back to that gate on a
// backend, a recorder in a test. Its methods may be called from any goroutine and do not wait for
// the network. They copy bytes: what they are given is the caller's again when they return.
type NetworkEntity interface {
	// Push sends v to the client under route.
	Push(route string, v any) error
	// RPC calls the handler of route in the name of the session, on any node and without an answer.
	RPC(route string, v any) error
	// LastMid returns the id of the message whose handler runs.
	LastMid() uint64
	// Response answers the message whose handler runs.
	Response(v any) error
	// ResponseMid answers the request with the id mid.
	ResponseMid(mid uint64, v any) error
	// Close sends what is queued, and ends the connection.
	Close() error
	// RemoteAddr returns the client's address.
	RemoteAddr() net.Addr
}

// Kicker is an optional upgrade of a [NetworkEntity] that can tell the client why its session
// ends.
type Kicker interface {
	// Kick sends the reason to the client and ends the connection.
	Kick(reason string) error
}

// Failer is an optional upgrade of a [NetworkEntity] that can answer a request with an error.
type Failer interface {
	// FailMid answers the request with the id mid as if its handler had returned err.
	FailMid(mid uint64, err error) error
}

// Multicaster is an optional upgrade of a [NetworkEntity] that can push to many sessions at once,
// encoding the push once.
type Multicaster interface {
	// Outlet returns what takes such a push; nil if there is none now. Sessions with equal outlets
	// share one push. Where it may change, [OutletChanged] is called afterwards.
	Outlet() Outlet
}

// Outlet takes a push for many sessions: for the clients of this gate, or over the link to
// another. It is comparable.
type Outlet interface {
	// Multicast pushes v under route to the sessions, which all have this outlet. It does not wait
	// for the network, and joins the errors of single sessions.
	Multicast(route string, v any, to []*Session) error
}

// Binder is an optional upgrade of a [NetworkEntity] that keeps the register of users, and may
// refuse one.
type Binder interface {
	// BindUID is called before s is bound to uid: s.UID() is still the former one. With an error
	// (such as [ErrUIDTaken]) the session stays as it was. Calls for one session come one at a
	// time. BindUID must not call Bind or Clear of the same session.
	BindUID(s *Session, uid int64) error
}

// Reacher is an optional upgrade of a [NetworkEntity] that knows which nodes can serve the
// session. The session's [Router] finds no others.
type Reacher interface {
	// Reaches reports whether the node at address runs service and can be reached. It is called for
	// each message that is routed.
	Reaches(service, address string) bool
}

// Unbinder is an optional upgrade of a [NetworkEntity] that is a [Binder]: it hears when a
// session that goes on is no longer bound to a user.
type Unbinder interface {
	// UnbindUID is called when s is no longer bound to uid: after Clear, after a Bind to another
	// uid, and when s closed during Bind. It is not called when a bound session closes, which the
	// entity knows itself. A register must check that its entry of uid is s, and must not call
	// Bind or Clear of the same session.
	UnbindUID(s *Session, uid int64)
}

// ValueWatcher is an optional upgrade of a [NetworkEntity] that hears when values of the session
// change.
type ValueWatcher interface {
	// ValueChanged is called after the value of key was set or removed; s.Value returns the present
	// one. It must not call Bind or Clear of the same session.
	ValueChanged(s *Session, key string)
}

var (
	// ErrIllegalUID is returned by Bind for a uid below 1.
	ErrIllegalUID = fault.New(fault.Invalid, "session: illegal uid: it must be 1 or more")
	// ErrUIDTaken is returned by a [Binder] that refuses a uid because another session keeps it.
	ErrUIDTaken = fault.New(fault.Exists, "session: uid is taken by another session")
	// ErrClosed is returned by what needs a live session, and is the cause with which the session's
	// context ends.
	ErrClosed = fault.New(fault.Unavailable, "session: closed")
	// ErrNoEntity is returned by a session without a network entity for what needs one.
	ErrNoEntity = fault.New(fault.Unavailable, "session: no network entity")
)
