// Package component is what an application registers with a node, and how its
// handlers are found.
//
// A component is a value with handlers for methods. Embedding [Base] gives it
// the four methods of its life; each exported method in one of these forms is
// a handler, reached under the route "Type.Method":
//
//	func(s *session.Session, arg A) error
//	func(s *session.Session, arg A) (R, error)
//	func(ctx context.Context, s *session.Session, arg A) error
//	func(ctx context.Context, s *session.Session, arg A) (R, error)
//
// A is []byte, which gets the payload as it came, or a pointer, to which the
// node's serializer reads it. R is any type; it answers the request, bytes as
// they are and all else through the serializer. Other methods are left alone.
//
//	rooms := &component.Components{}
//	rooms.Register(&Room{}, component.WithName("room"), component.WithNameFunc(strings.ToLower))
//
// [Handle], [HandleNotify] and [HandleRaw] register one function instead,
// without reflection when it is called:
//
//	component.Handle(rooms, "Room.Join", func(ctx context.Context, s *session.Session, req *Join) (*Joined, error) {
//		...
//	})
//
// What is wrong with what was registered is found by [Components.Services],
// which a node calls when it starts. An [Error] that a handler returns reaches
// clients that accept errors with its code.
//
// The package runs nothing: handlers are called by the node, one at a time on
// the scheduler of their service.
package component
