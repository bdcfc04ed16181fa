package decode

import (
	"encoding/json"
	"fmt"

	"github.com/lonng/nano/internal/resume"
)

// drainRoute is the route of the push by which a server that is drained asks a client to leave.
const drainRoute = "nano.drain"

// beat explains the body of a heartbeat: only those have one who have agreed to resume sessions.
func (x *Explainer) beat(at int, body []byte) {
	if len(body) == 0 {
		return
	}
	n, err := resume.ParseCount(body)
	if err != nil {
		x.dump(at, body, "a body that means nothing here")
		return
	}
	x.line(at, body, fmt.Sprintf("resume: %d data packets received so far", n))
}

// resume explains what a handshake says of sessions that outlive their connections.
func (x *Explainer) resume(body []byte) {
	var said struct {
		Code *int
		Sys  struct {
			Resume *struct {
				Token, Reason    string
				Window, Received *int64
				Resumed          *bool
				Gap              bool
			}
		}
	}
	if json.Unmarshal(body, &said) != nil || said.Sys.Resume == nil {
		return
	}
	r, received := said.Sys.Resume, int64(0)
	if r.Received != nil {
		received = *r.Received
	}
	switch {
	case said.Code == nil:
		x.note(fmt.Sprintf("it comes back to a session, of which it has received %d data packets", received))
		if !r.Gap {
			x.note("it wants another session if messages of this one were lost")
		}
	case r.Resumed == nil:
		x.note("a new session, which can be resumed with the token")
	case *r.Resumed && r.Gap && r.Received == nil:
		x.note("the session goes on with a gap: the server that had it has died, both sides count from 0, and nothing is sent again")
	case *r.Resumed && r.Gap:
		x.note(fmt.Sprintf("the session goes on with a gap: messages of other nodes may be lost; the server has received %d data packets, and sends the rest again", received))
	case *r.Resumed:
		x.note(fmt.Sprintf("the session goes on; the server has received %d data packets, and sends the rest again", received))
	default:
		x.note(fmt.Sprintf("the session does not go on (%s): it is a new one", r.Reason))
	}
}
