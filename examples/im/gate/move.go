package gate

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/session"
)

// What follows is for sessions that change their gate: their clients have lost the connection and
// come back elsewhere, or the gate is drained. The new gate gets the seat with the session, and
// tells the old one: until then, what the old gate pushes to the session still finds its client.

// carried is what the next gate is told of a seat.
type carried struct {
	User     store.User `json:"user"`
	Platform string     `json:"platform"`
	Token    string     `json:"token"`
	Since    int64      `json:"since"`
}

// GobEncode writes what the next gate is told of a seat.
func (st *seat) GobEncode() ([]byte, error) {
	return json.Marshal(carried{st.user, st.platform, st.token, st.since})
}

// GobDecode reads what the gate before has written.
func (st *seat) GobDecode(b []byte) error {
	var c carried
	err := json.Unmarshal(b, &c)
	st.user, st.platform, st.token, st.since = c.User, c.Platform, c.Token, c.Since
	return err
}

// tellTime is within which the new gate tells the old one.
const tellTime = 3 * time.Second

// resumed enters a session that has come from another gate. Its client has to ask for im.start:
// what it has missed on the way is in the store. One that was here before goes on as if nothing had
// been. The hook also runs at the gate that the session has left.
func (g *Gate) resumed(s *session.Session) {
	st := seatOf(s)
	if st == nil {
		return
	}
	if nano.GateOf(s) != "" {
		g.app.Scheduler().NewAfterTimer(tellTime, func() { // if the other gate's message is lost
			if nano.GateOf(s) != "" {
				g.gone(st)
			}
		})
		return
	}
	if slices.Contains(g.of(st.user.ID), st) {
		g.hooks.Came(st.user, st.platform, st.since) // it may have been elsewhere meanwhile
		return
	}
	g.moved(st.user.ID, st.platform, st.since)
	st.session = s
	g.enter(st)
	report(protocol.PushAgain, s.Push(protocol.PushAgain, protocol.Empty{}))
}

// CameElsewhere notes that a user has come to another gate: the session is the one that came to the
// messenger at that time. If a newer one is here, that gate is told.
func (g *Gate) CameElsewhere(user, platform string, since int64) {
	g.moved(user, platform, since)
	g.supersede(user, platform, since)
	for _, st := range g.of(user) {
		if st.platform == platform && st.since > since {
			g.hooks.Came(st.user, st.platform, st.since)
		}
	}
}

// moved forgets a session of a user that has come to another gate. One that is back stays: the news
// was slower than its client.
func (g *Gate) moved(user, platform string, since int64) {
	for _, st := range g.of(user) {
		if st.platform == platform && st.since == since && nano.GateOf(st.session) != "" {
			g.gone(st)
		}
	}
}

// outFor is how long a gate remembers who has signed out: longer than a handshake takes, and the
// way from another gate. A session that was signed in just before by the same token is kicked when
// it comes.
const outFor = time.Minute

// signedOut are the ids of tokens whose users have signed out a moment ago. Its owner has the lock.
type signedOut struct {
	at  map[string]time.Time
	max int // so many, and those of longer ago are forgotten
}

func (o *signedOut) note(tokenID string) {
	if o.at == nil {
		o.at = make(map[string]time.Time)
	}
	o.at[tokenID] = time.Now()
	if len(o.at) < o.max {
		return
	}
	for id, at := range o.at { // each look goes over twice as many as the last one has left
		if time.Since(at) > outFor {
			delete(o.at, id)
		}
	}
	o.max = max(1000, 2*len(o.at))
}
