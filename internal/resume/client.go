package resume

import (
	"fmt"
	"time"
)

// Offer is what a client says of resuming in its handshake: "sys.resume".
type Offer struct {
	Token    string `json:"token"`
	Received uint64 `json:"received"`
	// Gap says that the client can go on with a session that has lost messages.
	Gap bool `json:"gap,omitempty"`
}

// Answer is what a node says of resuming in its answer: "sys.resume".
type Answer struct {
	Token   string `json:"token"`
	Window  int64  `json:"window"` // seconds
	Resumed *bool  `json:"resumed,omitempty"`
	// Received is only there if Resumed is true, and Reason if it is false.
	Received *uint64 `json:"received,omitempty"`
	Reason   Reason  `json:"reason,omitempty"`
	// Gap is only there if Resumed is true: messages were lost. Without Received, both sides count
	// from 0 again, and nothing is sent again.
	Gap bool `json:"gap,omitempty"`
}

// Client is a client's half of a session. The zero value has no session.
type Client struct {
	Side
	token  string
	window time.Duration
}

// Can reports whether there is a session to come back to.
func (c *Client) Can() bool { return c.token != "" }

// Window returns how long the node keeps the session without a connection.
func (c *Client) Window() time.Duration { return c.window }

// Offer returns what the next handshake says; nil if there is no session.
func (c *Client) Offer() *Offer {
	if c.token == "" {
		return nil
	}
	return &Offer{Token: c.token, Received: c.Received(), Gap: true}
}

// Forget says that there is no session to come back to: nothing is kept, and counts begin anew.
func (c *Client) Forget() {
	c.token, c.window, c.owed = "", 0, 0
	c.received.Store(0)
	c.Out.Clear()
}

// Welcome takes the answer to a handshake, nil if it says nothing of resuming. If it returns true,
// the session goes on, and what [Outbox.All] returns has to be sent again behind the ack. Else it
// is a new session, with the reason if there was one before. An error means that the node says what
// cannot be. After a gap without a count, nothing is kept, and counts begin anew.
func (c *Client) Welcome(a *Answer) (resumed bool, reason Reason, err error) {
	had := c.Can()
	if a != nil && a.Resumed != nil && *a.Resumed {
		if had && a.Gap && a.Received == nil && a.Token != "" {
			c.Forget()
			c.token, c.window = a.Token, window(a.Window)
			return true, "", nil
		}
		if !had || a.Token == "" || a.Received == nil || *a.Received < c.Out.Base() {
			return false, "", fmt.Errorf("%w: the answer to the handshake", ErrCount)
		}
		if err := c.Out.Acknowledge(*a.Received); err != nil {
			return false, "", err
		}
		c.token, c.window = a.Token, window(a.Window)
		return true, "", nil
	}
	c.Forget()
	if had {
		reason = Unknown
	}
	if a != nil {
		c.token, c.window = a.Token, window(a.Window)
		if had && a.Reason != "" {
			reason = a.Reason
		}
	}
	return false, reason, nil
}

// window returns the seconds of an answer as a time; a node may say anything.
func window(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, 0), 1<<31)) * time.Second
}
