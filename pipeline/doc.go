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
// Filters run in order and may change the message. The first error ends the processing. It refuses
// an inbound message: the client gets the error if it accepts errors. An outbound message is not
// sent, and its sender gets the error.
//
// In a cluster, a message passes inbound filters on the node that has its handler, and outbound
// filters on the client's gate. A filter that decrypts, say, may be set on all nodes. What a gate
// sends on to other nodes passes the filter of nano.WithForwardFilter there, and no other.
//
// With outbound filters, a broadcast is encoded for each member, because each may get another
// message. Without them it is encoded once.
package pipeline
