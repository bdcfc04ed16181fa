package session

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/service"
)

// Session is one client, from its handshake to the end of its connection. All
// of its methods may be called from any goroutine, except SetLifetime, which
// is for whoever made the session.
type Session struct {
	id     int64
	entity NetworkEntity
	life   *Lifetimes // nil: the default one

	uid   atomic.Int64 // stored under mu
	phase atomic.Uint32
	route atomic.Pointer[Router]      // made on demand
	why   atomic.Pointer[CloseReason] // nil until the end begins

	// bindMu makes Bind and Clear one at a time; it is held while the entity's
	// register is asked. Order: bindMu before mu.
	bindMu sync.Mutex

	mu    sync.Mutex
	data  map[string]any // made on demand
	extra *extra         // made on demand
}

// The phases of a session's life; stored under mu.
const (
	phaseNew     uint32 = iota // made, Open was not called
	phaseOpen                  // Open was called
	phaseClosing               // its OnClosed handlers run
	phaseClosed                // its context has ended
)

// New returns a session that entity carries, with an id of
// service.Connections. A session without an entity (nil) keeps values and a
// uid, and returns [ErrNoEntity] for what would be sent.
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
func (s *Session) NetworkEntity() NetworkEntity { return s.entity }

// ID returns the session's id, which no other session of any node of the
// cluster has.
func (s *Session) ID() int64 { return s.id }

// UID returns the user that the session was bound to, 0 if to none.
func (s *Session) UID() int64 { return s.uid.Load() }

// Router returns the session's choices of backends, made on the first call.
func (s *Session) Router() *Router {
	if r := s.route.Load(); r != nil {
		return r
	}
	r := new(Router)
	r.by, _ = s.entity.(Reacher)
	s.route.CompareAndSwap(nil, r)
	return s.route.Load()
}

// LastMid returns the id of the message that is handled just now. A handler
// that answers later keeps it for [Session.ResponseMID]. It is 0 for a notify.
func (s *Session) LastMid() uint64 {
	if s.entity == nil {
		return 0
	}
	return s.entity.LastMid()
}

// Push sends v to the client under route; bytes go as they are, all else
// through the node's serializer. When it returns, bytes have been copied and all
// else is serialized: v is the caller's again. It does not wait for the client.
// On a node it fails with cluster.ErrBrokenPipe after the end, with
// cluster.ErrBufferExceed if the client has not read what was queued before,
// and with what the serializer, the codec or an outbound filter says.
func (s *Session) Push(route string, v any) error {
	if s.entity == nil {
		return ErrNoEntity
	}
	return s.entity.Push(route, v)
}

// RPC calls the handler of route, here or on another node, in the name of this
// session and without an answer. It does not wait for the handler, and v is the
// caller's again when it returns, as after [Session.Push]. A route that
// nobody serves is an error, a component.Error with the code "not_found".
func (s *Session) RPC(route string, v any) error {
	if s.entity == nil {
		return ErrNoEntity
	}
	return s.entity.RPC(route, v)
}

// Response answers the request that is handled just now. It is for the
// handler's own goroutine, before the handler returns; see
// [Session.ResponseMID] for later. It treats v, and fails, as [Session.Push]
// does, and on a node with cluster.ErrSessionOnNotify if the message wants no
// answer.
func (s *Session) Response(v any) error {
	if s.entity == nil {
		return ErrNoEntity
	}
	return s.entity.Response(v)
}

// ResponseMID answers the request that had the id mid (see
// [Session.LastMid]), at any time and in any order; [Session.FailMID] does so
// with an error. It fails as [Session.Response] does.
func (s *Session) ResponseMID(mid uint64, v any) error {
	if s.entity == nil {
		return ErrNoEntity
	}
	return s.entity.ResponseMid(mid, v)
}

// FailMID answers the request that had the id mid (see [Session.LastMid]) with
// an error, at any time: it is logged, counted and given to the client as if
// the handler had returned it. So clients that do not accept errors are sent
// nothing, and a request that its handler has answered before it returned gets
// no second answer; who answers later does so once, with this or with
// [Session.ResponseMID]. On a node it fails with cluster.ErrBrokenPipe after
// the end and with cluster.ErrSessionOnNotify if the message wants no answer.
// What shapes errors is not told the route.
func (s *Session) FailMID(mid uint64, err error) error {
	if err == nil {
		err = errNoError
	}
	switch e := s.entity.(type) {
	case nil:
		return ErrNoEntity
	case Failer:
		return e.FailMid(mid, err)
	default:
		return fmt.Errorf("session: FailMID: %w", errors.ErrUnsupported)
	}
}

var errNoError = errors.New("session: FailMID without an error")

// Close ends the session: what was queued for the client goes out first, then
// the connection is closed and the OnClosed handlers run. It does not wait for
// that, and may be called more than once.
func (s *Session) Close() {
	if s.entity != nil {
		_ = s.entity.Close() // closed before: what was wanted
	}
}

// Kick ends the session like [Session.Close] and tells the client the reason,
// if what carries the session can. On a node a session that has ended already
// is cluster.ErrCloseClosedSession.
func (s *Session) Kick(reason string) error {
	switch e := s.entity.(type) {
	case nil:
		return ErrNoEntity
	case Kicker:
		return e.Kick(reason)
	default:
		return e.Close()
	}
}

// RemoteAddr returns the client's address; nil for a session without a
// network entity.
func (s *Session) RemoteAddr() net.Addr {
	if s.entity == nil {
		return nil
	}
	return s.entity.RemoteAddr()
}
