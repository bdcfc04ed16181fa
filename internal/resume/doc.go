// Package resume keeps a session whole while its connections come and go: each data packet arrives
// exactly once and in order, in both directions. It decides; it does no I/O, and time is an
// argument.
//
// Each side counts the data packets that it has received ([Side.Receive]) and keeps those that it
// has sent until the other side has received them ([Outbox]). A client that comes back on a new
// connection proves with a [Token] that it is the same one, and both sides say how much they have
// received. Each then sends the rest again:
//
//	client                                   node
//	handshake: token, received n   ->        Session.Resume(token, n, now)
//	Client.Welcome(answer)         <-        answer: next token, received m; then packets n+1, n+2, ...
//	ack; then packets m+1, m+2, ...  ->        Session.Confirm
//
// [Session] is the node's half and [Client] the other. None of the types has a lock: their owners
// guard them. Only [Side.Received] may be called at any time, and a [Packet] may be shared by
// sessions of several owners.
package resume
