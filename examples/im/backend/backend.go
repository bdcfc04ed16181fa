// Package backend is how gates reach the functions of those nodes that run channels: on this node,
// or on others.
package backend

import (
	"context"
	"fmt"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Func is one function of a service, as gates call it: on this node, or on another one.
type Func interface {
	// Call calls the function. resp is a pointer to its reply.
	Call(ctx context.Context, req, resp any) error
	// Serve makes the function a handler that other nodes may call.
	Serve(cs *component.Components, route string)
}

// Function is a Func of a request and its reply.
type Function[Req, Resp any] func(ctx context.Context, req *Req) (*Resp, error)

// Call calls the function.
func (f Function[Req, Resp]) Call(ctx context.Context, req, resp any) error {
	in, ok := req.(*Req)
	out, ok2 := resp.(*Resp)
	if !ok || !ok2 {
		return fmt.Errorf("backend: a function of %T and %T was called with %T and %T", in, out, req, resp)
	}
	r, err := f(ctx, in)
	if err == nil && r != nil {
		*out = *r
	}
	return err
}

// Serve makes the function a handler. It waits for the store, so its scheduler runs others
// meanwhile.
func (f Function[Req, Resp]) Serve(cs *component.Components, route string) {
	component.Handle(cs, route, func(ctx context.Context, _ *session.Session, req *Req) (resp *Resp, err error) {
		scheduler.FromContext(ctx).Await(func() { resp, err = f(ctx, req) })
		return resp, err
	}, component.WithNodesOnly())
}
