package gate

import (
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/session"
)

// pace is how often something may be done: so often at once, and once more each time that passes.
type pace struct {
	burst int
	every time.Duration
	why   string // what who is too fast is told
}

// The paces of one user at this gate, on all platforms together. Connecting again does not help.
var (
	anything = pace{200, 10 * time.Millisecond, "too many requests; wait a moment"}
	talk     = pace{60, 25 * time.Millisecond, "you are writing faster than people can read; wait a moment"}
	typing   = pace{10, 500 * time.Millisecond, "too many requests; wait a moment"} // which all in a channel are told
	find     = pace{30, 200 * time.Millisecond, "too many searches; wait a moment"}
	arrange  = pace{60, 2 * time.Second, "too many changes of groups; wait a moment"} // of which many people are told
	refusals = pace{200, 50 * time.Millisecond, ""}                                   // before somebody is kicked
)

// user is how much one user has done of late. It belongs to the scheduler.
type user struct {
	at                                              int64 // of the last request, in nanoseconds of Unix time
	anything, talk, typing, find, arrange, refusals rules.Bucket
}

// paces holds back the users who are too fast. It belongs to the scheduler.
type paces struct {
	users map[string]*user // what users did of late, by id
	most  int              // with so many, those who did nothing for long are forgotten
}

// restless is how long a user is remembered who does nothing: until all buckets are empty.
const restless = 3 * time.Minute

// of returns how much a user has done.
func (p *paces) of(id string) *user {
	now := time.Now()
	u := p.users[id]
	if u == nil {
		if len(p.users) >= p.most { // each look goes over twice as many as the last one has left
			for id, u := range p.users {
				if now.Sub(time.Unix(0, u.at)) > restless {
					delete(p.users, id)
				}
			}
			p.most = max(1000, 2*len(p.users))
		}
		u = &user{}
		p.users[id] = u
	}
	u.at = now.UnixNano()
	return u
}

// caller returns who calls, and refuses those who call too often.
func (p *paces) caller(s *session.Session) (*seat, error) {
	st := seatOf(s)
	if st == nil {
		return nil, errSignedOut
	}
	u := p.of(st.user.ID)
	return st, p.take(st, u, &u.anything, anything)
}

// limit refuses those who do one thing too often. caller has been asked before.
func (p *paces) limit(st *seat, name string) error {
	u := p.of(st.user.ID)
	switch name {
	case "send", "edit", "delete", "livesay":
		return p.take(st, u, &u.talk, talk)
	case "typing":
		return p.take(st, u, &u.typing, typing)
	case "search", "people":
		return p.take(st, u, &u.find, find)
	case "create", "private", "invite", "accept", "decline", "leave", "remove", "role", "rename":
		return p.take(st, u, &u.arrange, arrange)
	}
	return nil
}

// take returns an error for one request too many, and kicks who does not stop.
func (*paces) take(st *seat, u *user, b *rules.Bucket, p pace) error {
	now := time.Unix(0, u.at)
	if b.Take(now, p.burst, p.every) {
		return nil
	}
	if !u.refusals.Take(now, refusals.burst, refusals.every) {
		_ = st.session.Kick(protocol.KickFlood) // it has ended by itself
	}
	return nano.Errorf(component.CodeExhausted, "%s", p.why)
}
