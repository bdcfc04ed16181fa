// Package link carries frames from one node to another: in order, in batches, each once, and across
// reconnects.
//
// A [Sender] gathers frames and hands them, as few batches, to a stream; a [Receiver] at the other
// end takes them and acknowledges from time to time. What was not acknowledged when a stream broke
// is sent again on the next one, to the same run of the peer. When the peer was restarted it is
// dropped instead, and both ends are told, because the sessions that it was about are gone.
//
//	sender, err := link.NewSender(link.SenderConfig{Dial: dial, Epoch: epoch, Up: up, Down: down})
//	...
//	dirty, err := sender.Queue(&link.Frame{Kind: link.Push, Session: id, Route: route, Data: data})
//	if dirty {
//		sender.Flush() // at once, or when the work at hand is over
//	}
//
// A peer that says nothing for SenderConfig.Silence is given up: the stream ends with [ErrSilent],
// and another is tried. What asks for an answer does not outlive who waits for it: [Frame.Left]
// goes down while a frame waits, and [Sender.Withdraw] takes back what was answered with an error.
//
// The package opens no connection and knows no RPC system: it is given streams. It does not know
// what the frames mean, and answers none by itself.
package link
