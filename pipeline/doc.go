// Package pipeline holds an application's filters: functions that see each
// message before its handler does, and each message before it goes out.
//
//	p := pipeline.New()
//	p.Inbound().PushBack(func(s *session.Session, msg *pipeline.Message) error {
//		if s.UID() == 0 && msg.Route != "Account.Login" {
//			return component.Errorf(component.CodeUnauthenticated, "log in first")
//		}
//		return nil
//	})
//
// Filters run in order and may change the message. The first error ends the
// processing: an inbound message is refused, and the client that requested it
// gets the error if it accepts errors; an outbound one is not sent, and
// whoever sent it gets the error.
//
// Outbound filters cost something: a broadcast has to be encoded for each
// member, since each may see another message. Without any it is encoded once.
package pipeline
