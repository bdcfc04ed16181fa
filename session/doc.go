// Package session is what a handler knows about its client: who it is, its values, how to reach it,
// and when it ends.
//
// A node makes a [Session] for each connection and gives it to the handlers. They push to it,
// answer its requests, bind it to a user and keep values in it:
//
//	func (r *Room) Join(s *session.Session, msg *JoinRequest) error {
//		if err := s.Bind(msg.UserID); err != nil {
//			return err
//		}
//		s.Set("room", msg.Room)
//		return s.Response(&JoinResponse{OK: true})
//	}
//
// An application registers handlers for the moments of a session's life (opened, bound, closed) on
// a [Lifetimes], by default on [Lifetime].
//
// A session does no I/O: its [NetworkEntity] sends, and may keep a register of users ([Binder]). An
// idle session is one small struct; its maps, its router and its context are made at first use.
package session
