// Package session is what a handler knows of its client: who it is, values
// kept for it, the way to reach it, and its end.
//
// A node makes a [Session] for each connection and gives it to the handlers.
// Handlers push to it, answer its requests, bind it to a user and keep values
// in it:
//
//	func (r *Room) Join(s *session.Session, msg *JoinRequest) error {
//		if err := s.Bind(msg.UserID); err != nil {
//			return err
//		}
//		s.Set("room", msg.Room)
//		return s.Response(&JoinResponse{OK: true})
//	}
//
// What is to happen when a session opens, is bound or ends is registered on a
// [Lifetimes], by default on [Lifetime].
//
// A session does no I/O and keeps no register of users: what it is asked to
// send goes to its [NetworkEntity], which also may keep such a register by
// being a [Binder]. An idle session is one small struct; its maps, its router
// and its context are made when they are first used.
package session
