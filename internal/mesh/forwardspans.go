package mesh

import (
	"encoding/json"
	"sync"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// forwardSpans are the spans of requests of this gate's clients that other nodes are to answer.
// Whoever takes one ends it. It is empty in a node without a tracer. The methods may be called
// concurrently. The zero value is empty and ready.
type forwardSpans struct {
	mu        sync.Mutex
	bySession map[int64]map[uint64]tracing.Span
}

// put notes the span of a request. It returns what is to be ended for it: the span of an earlier
// request with the id, or this one if the session has too many.
func (f *forwardSpans) put(id int64, mid uint64, span tracing.Span) (out tracing.Span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bySession == nil {
		f.bySession = make(map[int64]map[uint64]tracing.Span)
	}
	all := f.bySession[id]
	out, again := all[mid]
	switch {
	case all == nil:
		all = make(map[uint64]tracing.Span)
		f.bySession[id] = all
	case !again && len(all) >= maxInFlight: // handlers never answer
		return span
	}
	all[mid] = span
	return out
}

// take returns the span of a request, and forgets it; the zero Span if there is none.
func (f *forwardSpans) take(id int64, mid uint64) tracing.Span {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.bySession[id]
	span := all[mid]
	if delete(all, mid); len(all) == 0 {
		delete(f.bySession, id)
	}
	return span
}

// takeAll returns the spans of a session, and forgets them.
func (f *forwardSpans) takeAll(id int64) map[uint64]tracing.Span {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.bySession[id]
	delete(f.bySession, id)
	return all
}

// errSameRequest ends the span of a request whose id its client uses again.
var errSameRequest = fault.New(fault.Invalid, "cluster: the client has used the id of the request again")

// forward is send for a message with a span, whose carrier goes along. It ends the span: that of a
// request with the answer.
func (gs *gateSessions) forward(from *gate.Conn, p *peer, f *link.Frame, span tracing.Span) error {
	f.Trace = span.Carrier
	if f.Kind != link.Request || span.End == nil {
		err := gs.send(from, p, f)
		gs.table.Spans().End(span, err)
		return err
	}
	id := from.Session().ID()
	gs.table.Spans().End(gs.spans.put(id, f.ID, span), errSameRequest)
	err := gs.send(from, p, f)
	if err != nil {
		gs.endSpan(id, f.ID, err)
	} else if gs.users.Session(id) == nil { // its end may have come before the span
		gs.endSpan(id, f.ID, session.ErrClosed)
	}
	return err
}

// endSpan ends the span of a request, if it has one.
func (gs *gateSessions) endSpan(id int64, mid uint64, err error) {
	if gs.table.Spans().On() {
		gs.table.Spans().End(gs.spans.take(id, mid), err)
	}
}

// endSpans ends the spans of a session that this gate has no more.
func (gs *gateSessions) endSpans(id int64, err error) {
	if !gs.table.Spans().On() {
		return
	}
	for _, span := range gs.spans.takeAll(id) {
		gs.table.Spans().End(span, err)
	}
}

// refuse answers a client's request that has failed with an error.
func (gs *gateSessions) refuse(g *gateSession, c *gate.Conn, mid uint64, err error) {
	gs.endSpan(c.Session().ID(), mid, err)
	gs.table.Refuse(c, mid, "", err)
	g.refused(mid)
}

// outcomeOf returns the error that another node has answered with; nil for none.
func outcomeOf(f *link.Frame) error {
	if f.Flags&flagError == 0 {
		return nil
	}
	var failure dispatch.Failure
	if json.Unmarshal(f.Data, &failure) != nil || failure.Code == "" { // the application has shaped it, for its clients
		return component.Errorf(component.CodeInternal, "the handler has failed")
	}
	return &component.Error{Code: failure.Code, Message: failure.Error}
}
