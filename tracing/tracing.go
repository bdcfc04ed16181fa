// Package tracing is how a node tells a tracer what it does with a message, so that one trace shows
// a client's request on its way through the nodes of a cluster.
//
// A node knows no tracer. nano.WithTracer gives it one: contrib/otel is that for OpenTelemetry, and
// an application may write its own. The node calls [Tracer.Start] for each message, and carries the
// bytes that the tracer gives it to the next node, with the message. It does not look into them.
package tracing

import (
	"context"
	"time"

	"github.com/lonng/nano/session"
)

// Tracer begins spans. The node calls it from many goroutines at once, on the way of each message:
// it must not wait. A panic of the tracer is logged, and costs that span.
type Tracer interface {
	// Start begins the span of an operation. For calls, ctx is the context of whoever calls. For
	// handlers, it is the handler's own without the values of a call; its parent is in
	// op.Parent, if there is one.
	Start(ctx context.Context, op Operation) Span
}

// Greeter is a [Tracer] that sees the handshakes of clients, to learn the trace context that a
// client says. Handshake is called before the application's hook, once per session: a client that
// comes back to its session shakes no hands. The session keeps values ([session.Session.Set]).
type Greeter interface {
	Handshake(s *session.Session, h *session.Handshake)
}

// Kind says what an operation is.
type Kind uint8

// The kinds of operations.
const (
	// Handle is the call of a handler, from the moment at which its message has come: it includes
	// the time that the message waits for its scheduler. It ends when the handler has returned. A
	// message that is refused before its handler is one, too.
	Handle Kind = iota + 1
	// Forward is a client's message that its gate sends to another node. That of a request ends
	// with the answer, that of a notify when it is queued.
	Forward
	// Call is a call that waits for the reply of a handler, on this node or another.
	Call
	// Notify is a call without a reply. It ends when it is queued.
	Notify
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case Handle:
		return "handle"
	case Forward:
		return "forward"
	case Call:
		return "call"
	case Notify:
		return "notify"
	}
	return "unknown"
}

// Operation is what a span is of.
type Operation struct {
	Kind Kind
	// Route is "Service.Method". Clients choose the text of a route that no handler has here, for
	// Forward also the method.
	Route string
	// Known says that this node has a handler for the route.
	Known bool
	// Request says that an answer is wanted.
	Request bool
	// Nodes says that a node calls, and no client.
	Nodes bool
	// Session is the client's, or that of the call between nodes. Nil for Call and Notify.
	Session *session.Session
	// Received is when the message came; zero means now.
	Received time.Time
	// Parent is the Carrier of the span that the operation belongs to, on the node that has sent
	// the message; empty if there is none. It is valid during the call.
	Parent []byte
}

// Span is what a [Tracer] has begun. All fields may be zero: then nothing is traced.
type Span struct {
	// Context is the one that was given to Start, with the span in it. Handlers get it.
	Context context.Context
	// Carrier is what the tracer of the node that gets the message is to know: the Parent of its
	// operation. It costs so many bytes on each message between nodes. A Carrier of more than
	// MaxCarrier bytes is not sent. Nobody may change it after Start.
	Carrier []byte
	// End ends the span. The node calls it once, with the error that the operation has ended in,
	// from any goroutine. An error for clients or nodes is, or wraps, a *component.Error with its
	// code; all others have the code "internal".
	End func(err error)
}

// MaxCarrier is how many bytes a [Span.Carrier] may have.
const MaxCarrier = 1 << 10
