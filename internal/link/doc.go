// Package link carries frames from one node to another: in order, in batches, each once, and across
// reconnects.
//
// A [Sender] gathers frames and hands them to a stream in few batches. A [Receiver] at the other
// end takes them and acknowledges from time to time. When a stream breaks, the sender sends again
// what was not acknowledged, on the next stream to the same run of the peer. If the peer was
// restarted, the sender drops it instead and tells its owner, because the sessions that it was
// about are gone.
//
//	sender, err := link.NewSender(link.SenderConfig{Dial: dial, Epoch: epoch, Up: up, Down: down})
//	...
//	dirty, err := sender.Queue(&link.Frame{Kind: link.Push, Session: id, Route: route, Data: data})
//	if dirty {
//		sender.Flush() // at once, or when the work at hand is over
//	}
//
// If a peer says nothing for SenderConfig.Silence, the stream ends with [ErrSilent] and the sender
// tries another one. A frame that asks for an answer is not sent when nobody waits for the answer
// any more: [Frame.Left] runs down while the frame waits, and [Sender.Withdraw] removes frames that
// were answered with an error.
//
// The package opens no connection and knows no RPC system: its user gives it streams. It does not
// know what frames mean and answers none.
package link
