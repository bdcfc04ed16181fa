package session

import (
	"fmt"
	"net/http"
)

// Handshake is a client's handshake, as a handshake hook (nano.WithHandshake) sees it, and what the
// hook adds to the answer. It is valid during the call and belongs to one goroutine.
type Handshake struct {
	// Payload is the handshake's body as the client sent it: often JSON with the keys "sys" and
	// "user", but the client decides, and it may be empty. It is valid during the call.
	Payload []byte
	// Request is the HTTP request that was upgraded, with its headers and cookies. It is nil on
	// TCP.
	Request *http.Request
	// Sys is added to the "sys" part of the answer. Keys that the protocol uses (heartbeat,
	// servertime, dict, dictVersion, maxPacket, accepted) are not overwritten.
	Sys map[string]any
	// User is the "user" part of the answer. Nil leaves it out.
	User any
}

// Refusal is the error of a handshake hook that tells the client a code and a reason. nano.Refuse
// makes one.
type Refusal struct {
	Code   int    // the code of the handshake's answer, 500 and above; clients fail on any but 200
	Reason string // text for the client
}

// Error says with which code and why the handshake was refused.
func (r *Refusal) Error() string {
	return fmt.Sprintf("session: handshake refused with code %d: %s", r.Code, r.Reason)
}
