package dispatch

import (
	"context"

	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Entity is the other end of a session, as a handler call needs it: the connection of a client,
// a client of another gate, or a node that calls. What only some entities can do is in the
// interfaces below.
type Entity interface {
	session.NetworkEntity
	// Session returns the session that speaks through this entity.
	Session() *session.Session
	// Enter says which message the next handler works on: what LastMid returns and Response
	// answers.
	Enter(mid uint64)
	// Fail answers request mid with payload and the error flag. It does nothing if the client
	// takes no errors, or if the request has its answer.
	Fail(mid uint64, payload []byte)
}

// Laned is an Entity whose messages keep their order, and take turns with those of other entities.
type Laned interface {
	// Lane returns the order of the entity's messages.
	Lane() *scheduler.Lane
	// Waiting is called by whoever is about to wait for room for the entity's messages. The channel
	// is closed when the session has ended: nobody waits then.
	Waiting() <-chan struct{}
}

// Answerer is an Entity that knows whether its handler has answered.
type Answerer interface {
	// Answered returns the request that was answered since Enter; 0 if none was.
	Answered() uint64
	// Return goes back to a message whose handler has let others run: it undoes what Enter has
	// done since Answered was asked.
	Return(mid, answered uint64)
}

// Rehome has another entity carry a session from now on. Handlers that were called for the one
// before go on, and answer their own requests.
func Rehome(s *session.Session, to Entity) {
	from := s.NetworkEntity()
	follow(from, to)
	s.Rehome(to)
	follow(from, to) // a handler that has begun since looks at the session first, see enter, or is seen now
}

// follow has one entity work on the message that another works on.
func follow(from session.NetworkEntity, to Entity) {
	a, ok := from.(Answerer)
	b, can := to.(Answerer)
	if ok && can {
		b.Return(from.LastMid(), a.Answered())
	}
}

// moved returns what carries the session of an entity by now, nil if it is the entity.
func moved(p Entity) Entity {
	by, ok := p.Session().NetworkEntity().(Entity)
	if !ok || by == p {
		return nil
	}
	return by
}

// enter says to the entity of a call, and to the one that carries its session by now, which message
// the next handler works on.
func enter(p Entity, mid uint64) {
	p.Enter(mid)
	if by := moved(p); by != nil {
		by.Enter(mid)
	}
}

// hasAnswered reports whether the handler that works on a request has answered it.
func hasAnswered(p Entity, mid uint64) bool {
	if a, ok := p.(Answerer); ok && a.Answered() == mid {
		return true
	}
	a, ok := moved(p).(Answerer)
	return ok && a.Answered() == mid
}

// Sent is an Entity whose messages another node has sent, because this node has the handler. They
// are not sent on.
type Sent interface{ Sent() }

// CallingNode is an Entity that is a node, and no client. It waits for its answer until some
// moment.
type CallingNode interface {
	// Begin is called before a handler that takes a context. ctx ends when nobody waits any
	// more. returned is called when the handler has returned.
	Begin() (ctx context.Context, returned func())
	// Over reports whether nobody waits any more: then the handler is not called.
	Over() bool
	// FailWith answers request mid with err, in the shape that nodes read.
	FailWith(mid uint64, err error)
}

// Sanctioner is an Entity that can end a client which sends what no honest client sends.
type Sanctioner interface{ Malformed(err error) }

// Meter is told when messages that were counted leave the queue: cost bytes of them. It is
// called from any goroutine.
type Meter interface{ Spent(cost int) }
