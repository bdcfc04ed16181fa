package component

import (
	"context"
	"errors"
	"reflect"

	"github.com/lonng/nano/session"
)

// errArgument is returned by Handler.Call for what New has not made.
var errArgument = errors.New("component: wrong argument for the handler")

// Handle registers fn as the handler of route, "Service.Method". The node's serializer reads the
// request from the payload, and the reply answers the request. A nil reply without an error is
// answered as the serializer writes nil, unless fn has answered already. To answer later, register
// the handler by [HandleNotify] and call Session.ResponseMID.
//
// Functions and a component may share a service; a scheduler option of one of them holds for all.
// The start of the node reports errors, for example two handlers of one route.
func Handle[Req, Resp any](cs *Components, route string, fn func(ctx context.Context, s *session.Session, req *Req) (*Resp, error), opts ...Option) {
	h := typedHandler[Req]()
	h.HasReply, h.Reply = true, reflect.TypeFor[*Resp]()
	if fn != nil {
		h.Call = func(ctx context.Context, s *session.Session, arg any, _ []byte) (any, error) {
			req, ok := arg.(*Req)
			if !ok {
				return nil, h.wrongArgument(arg)
			}
			resp, err := fn(ctx, s, req)
			if err != nil || resp == nil {
				return nil, err
			}
			return resp, nil
		}
	}
	cs.handle(route, h, opts)
}

// HandleNotify is [Handle] for a function that returns no reply: for notifies, and for requests
// that fn answers itself, at once by Session.Response or later by Session.ResponseMID.
func HandleNotify[Req any](cs *Components, route string, fn func(ctx context.Context, s *session.Session, req *Req) error, opts ...Option) {
	h := typedHandler[Req]()
	if fn != nil {
		h.Call = func(ctx context.Context, s *session.Session, arg any, _ []byte) (any, error) {
			req, ok := arg.(*Req)
			if !ok {
				return nil, h.wrongArgument(arg)
			}
			return nil, fn(ctx, s, req)
		}
	}
	cs.handle(route, h, opts)
}

// HandleRaw is [HandleNotify] for a function that gets the payload as it came, without the
// serializer.
func HandleRaw(cs *Components, route string, fn func(ctx context.Context, s *session.Session, data []byte) error, opts ...Option) {
	h := &Handler{
		Type:         typeOfBytes,
		IsRawArg:     true,
		NeedsContext: true,
		New:          func() any { return nil },
	}
	if fn != nil {
		h.Call = func(ctx context.Context, s *session.Session, _ any, raw []byte) (any, error) {
			return nil, fn(ctx, s, raw)
		}
	}
	cs.handle(route, h, opts)
}

func typedHandler[Req any]() *Handler {
	return &Handler{
		Type:         reflect.TypeFor[*Req](),
		NeedsContext: true,
		New:          func() any { return new(Req) },
	}
}

func (cs *Components) handle(route string, h *Handler, opts []Option) {
	h.NodesOnly = fold(opts).nodesOnly
	cs.entries = append(cs.entries, entry{route: route, handler: h, opts: opts})
}
