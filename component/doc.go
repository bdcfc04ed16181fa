// Package component is what an application registers with a node, and finds its handlers.
//
// A component is a value whose methods are handlers. Embed [Base] for the four hooks of its life.
// Each exported method in one of these forms is a handler, with the route "Type.Method":
//
//	func(s *session.Session, arg A) error
//	func(s *session.Session, arg A) (R, error)
//	func(ctx context.Context, s *session.Session, arg A) error
//	func(ctx context.Context, s *session.Session, arg A) (R, error)
//
// A is []byte, which is the payload as it came, or a pointer, into which the node's serializer
// reads the payload. R is any type and answers the request: bytes as they are, all else through the
// serializer. Other methods are no handlers.
//
//	rooms := &component.Components{}
//	rooms.Register(&Room{}, component.WithName("room"), component.WithNameFunc(strings.ToLower))
//
// [Handle], [HandleNotify] and [HandleRaw] register one function, which is called without
// reflection:
//
//	component.Handle(rooms, "Room.Join", func(ctx context.Context, s *session.Session, req *Join) (*Joined, error) {
//		...
//	})
//
// [Components.Services], which a node calls at its start, reports all faults. An [Error] that a
// handler returns reaches clients that accept errors, with its code.
//
// The package runs nothing: the node calls handlers, one at a time, on the scheduler of their
// service.
package component
