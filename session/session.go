package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/service"
)

// Session is one client, from its handshake to the end of its connection. All methods may be called
// from any goroutine, except SetLifetime, which is for whoever makes the session.
type Session struct {
	id     int64
	entity NetworkEntity
	life   *Lifetimes // nil: the default one

	uid   atomic.Int64 // stored under mu
	phase atomic.Uint32
	since uint32                // when it was made, in seconds of Unix time; it takes room that would be empty
	extra atomic.Pointer[extra] // nil until something of it is needed

	mu sync.Mutex
}

// extra is what only some sessions need: a quiet one has none.
type extra struct {
	router atomic.Pointer[Router]
	why    atomic.Pointer[CloseReason]   // nil until the end begins
	moved  atomic.Pointer[NetworkEntity] // nil: the entity that it was made with
	gap    atomic.Bool

	// bindMu makes Bind and Clear one at a time; it is held while the entity's
	// register is asked. Order: bindMu before Session.mu.
	bindMu sync.Mutex

	// Session.mu guards the rest.
	values    *values      // nil: none
	context   *lifeContext // made on demand
	observers *observers   // made on demand
}

// lifeContext is the session's context, and what ends it.
type lifeContext struct {
	context.Context
	end context.CancelCauseFunc
}

// more returns the session's extra, made if there is none.
func (s *Session) more() *extra {
	if x := s.extra.Load(); x != nil {
		return x
	}
	s.extra.CompareAndSwap(nil, new(extra))
	return s.extra.Load()
}

// The phases of a session's life; stored under mu.
const (
	phaseNew     uint32 = iota // made, Open was not called
	phaseOpen                  // Open was called
	phaseClosing               // its OnClosed handlers run
	phaseClosed                // its context has ended
)

// New returns a session that entity carries, with an id of service.Connections. A session without
// an entity (nil) keeps values and a uid, and returns [ErrNoEntity] for what it cannot send.
func New(entity NetworkEntity) *Session {
	return NewWithID(entity, service.Connections.SessionID())
}

func (s *Session) lifetime() *Lifetimes {
	if s.life != nil {
		return s.life
	}
	return Lifetime
}

// NetworkEntity returns what carries the session.
func (s *Session) NetworkEntity() NetworkEntity {
	if x := s.extra.Load(); x != nil {
		if e := x.moved.Load(); e != nil {
			return *e
		}
	}
	return s.entity
}

// ID returns the session's id, which is unique in the cluster.
func (s *Session) ID() int64 { return s.id }

// UID returns the user that the session is bound to; 0 if it is bound to none.
func (s *Session) UID() int64 { return s.uid.Load() }

// Router returns which backends serve the session.
func (s *Session) Router() *Router {
	x := s.more()
	if r := x.router.Load(); r != nil {
		return r
	}
	r := new(Router)
	r.by, _ = s.NetworkEntity().(Reacher)
	x.router.CompareAndSwap(nil, r)
	return x.router.Load()
}

// Since returns when the session was made on this node, to the second.
func (s *Session) Since() time.Time { return time.Unix(int64(s.since), 0) }

// Gap reports whether messages of the session, in either direction, may have been lost when its
// client came back last. An OnResumed handler asks, and sends its client a fresh state then. It is
// true after a gate has died: what was on its way there is gone. See nano.WithResume.
func (s *Session) Gap() bool {
	x := s.extra.Load()
	return x != nil && x.gap.Load()
}

// LastMid returns the id of the message whose handler runs; 0 for a notify. A handler that answers
// later keeps it for [Session.ResponseMID].
func (s *Session) LastMid() uint64 {
	e := s.NetworkEntity()
	if e == nil {
		return 0
	}
	return e.LastMid()
}

// Push sends v to the client under route. A []byte is sent as it is; the node's serializer encodes
// all else. Push does not wait for the client, and v is the caller's again when it returns.
//
// Errors, on a node: cluster.ErrBrokenPipe after the session's end, cluster.ErrBufferExceed if the
// client has not read what was queued before, and those of the serializer, the codec and outbound
// filters.
func (s *Session) Push(route string, v any) error {
	e := s.NetworkEntity()
	if e == nil {
		return ErrNoEntity
	}
	return e.Push(route, v)
}

// RPC calls the handler of route in the name of this session, on this node or another, without an
// answer. It does not wait for the handler, and v is the caller's again when it returns. For a
// route that nobody serves, it returns a component.Error with the code "not_found".
func (s *Session) RPC(route string, v any) error {
	e := s.NetworkEntity()
	if e == nil {
		return ErrNoEntity
	}
	return e.RPC(route, v)
}

// Response answers the request whose handler runs. It is for the handler's own goroutine, before
// the handler returns; [Session.ResponseMID] answers later. It treats v and fails as
// [Session.Push] does. On a node it returns cluster.ErrSessionOnNotify for a notify.
func (s *Session) Response(v any) error {
	e := s.NetworkEntity()
	if e == nil {
		return ErrNoEntity
	}
	return e.Response(v)
}

// ResponseMID answers the request with the id mid ([Session.LastMid]), at any time and in any
// order; [Session.FailMID] answers with an error. It fails as [Session.Response] does.
func (s *Session) ResponseMID(mid uint64, v any) error {
	e := s.NetworkEntity()
	if e == nil {
		return ErrNoEntity
	}
	return e.ResponseMid(mid, v)
}

// FailMID answers the request with the id mid ([Session.LastMid]) with an error, at any time. The
// node logs and counts the error, and sends it to the client, as if the handler had returned it.
// So a client that accepts no errors gets nothing, and a request that its handler has answered
// gets no second answer. A request is answered once, by FailMID or by [Session.ResponseMID].
//
// Errors, on a node: cluster.ErrBrokenPipe after the session's end, cluster.ErrSessionOnNotify for
// a notify. The error shape function gets no route.
func (s *Session) FailMID(mid uint64, err error) error {
	if err == nil {
		err = errNoError
	}
	switch e := s.NetworkEntity().(type) {
	case nil:
		return ErrNoEntity
	case Failer:
		return e.FailMid(mid, err)
	default:
		return fmt.Errorf("session: FailMID: %w", errors.ErrUnsupported)
	}
}

var errNoError = fault.New(fault.Invalid, "session: FailMID without an error")

// Close ends the session: the node sends what is queued for the client, closes the connection, and
// runs the OnClosed handlers. Close does not wait for that, and may be called again.
func (s *Session) Close() {
	if e := s.NetworkEntity(); e != nil {
		_ = e.Close() // closed before: what was wanted
	}
}

// Kick ends the session like [Session.Close], and tells the client the reason if the network entity
// can. For a session that has ended, it returns cluster.ErrCloseClosedSession on a node.
func (s *Session) Kick(reason string) error {
	switch e := s.NetworkEntity().(type) {
	case nil:
		return ErrNoEntity
	case Kicker:
		return e.Kick(reason)
	default:
		return e.Close()
	}
}

// RemoteAddr returns the client's address; nil for a session without a network entity.
func (s *Session) RemoteAddr() net.Addr {
	e := s.NetworkEntity()
	if e == nil {
		return nil
	}
	return e.RemoteAddr()
}
