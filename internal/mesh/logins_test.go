package mesh

import (
	"testing"
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// The clock of one gate is ahead. A player signs in there, and later at another gate: the first
// login is the one that goes, or both would stay and play on one account.
func TestLoginsByClocksThatDiffer(t *testing.T) {
	const uid, ahead = 7, 2 * time.Second
	type end struct {
		logins *logins
		sess   *session.Session
		net    *mock.NetworkEntity
		told   link.Frame
	}
	gateAt := func(addr string) *end {
		n := &node{addr: addr, users: users.New(session.BindKickOld)}
		ps := newPeers(n)
		l := &logins{node: n, peers: ps, sessions: &gateSessions{node: n, peers: ps}, arrivals: new(arrivals), directory: newDirectory(session.BindKickOld)}
		e := &end{logins: l, net: mock.NewNetworkEntity()}
		e.sess = session.NewWithID(e.net, 1)
		n.users.Add(e.sess)
		return e
	}
	bound := func(e *end) {
		e.told = link.Frame{Kind: link.Bound, Session: e.sess.ID(), UID: uid, ID: e.logins.users.Since(e.sess)}
	}
	hear := func(by, from *end) {
		by.logins.handleBound(sessionKey{from.logins.addr, 1, from.sess.ID()}, &from.told)
	}
	one, two := gateAt("gate:1"), gateAt("gate:2")
	if _, err := one.logins.users.Bind(one.sess, uid, uint64(time.Now().Add(ahead).UnixNano())); err != nil {
		t.Fatal(err)
	}
	bound(one)
	hear(two, one)
	if err := two.logins.Bind(two.sess, uid); err != nil {
		t.Fatal(err)
	}
	bound(two)
	hear(one, two)
	if got, _ := one.net.Kicked(); got != users.KickReason {
		t.Errorf("the first was kicked because of %q", got)
	}
	hear(two, one) // told again, as when a link comes back
	if got, ok := two.net.Kicked(); ok {
		t.Errorf("the second was kicked because of %q", got)
	}
}
