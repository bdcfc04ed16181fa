package mesh

import (
	"fmt"
	"testing"

	"github.com/lonng/nano/internal/link"
)

// A message of a session that nobody has introduced runs nowhere, and whoever sent it learns that,
// as far as their version allows: else the client waits, or a message is lost without a word
// anywhere.
func TestStrangeMessagesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		version uint32
		frame   link.Frame
		want    string // what the sender is told
		warned  bool
	}{
		{"request", linkVersion, link.Frame{Kind: link.Request, Session: 5, ID: 9}, "Refused session 5 id 9 gate ", false},
		{"notify", linkVersion, link.Frame{Kind: link.Notify, Session: 5}, "Refused session 5 id 0 gate ", false},
		{"in a gate's name", linkVersion, link.Frame{Kind: link.Request, Session: 5, ID: 9, Text: []byte("gate:2")}, "Refused session 5 id 9 gate gate:2", false},
		{"in nobody's name", linkVersion, link.Frame{Kind: link.Notify, Session: 5, Text: []byte("gone:1")}, "Refused session 5 id 0 gate gone:1", false},
		{"in the name of a client of this gate's", linkVersion, link.Frame{Kind: link.Notify, Session: 5, Text: []byte("self:1")}, "", false},
		{"request of an older gate", answersFrom - 1, link.Frame{Kind: link.Request, Session: 5, ID: 9}, "Response session 5 id 9 gate ", false},
		{"notify of an older gate", answersFrom - 1, link.Frame{Kind: link.Notify, Session: 5}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, log := newMesh(t, nil)
			meet(m, other("gate:1"), other("gate:2"))
			p := m.peers.at("gate:1")
			m.roster.do(func() { p.version = c.version })
			h := new(heard)
			h.connect(t, p)
			new(heard).connect(t, m.peers.at("gate:2")) // else it counts as one of the 0.5 series
			from := &sender{peers: m.peers, addr: p.addr, epoch: p.epoch, way: p, in: &inboundLink{}}
			batch := m.table.BeginMetered()
			c.frame.Route = []byte("Room.Join")
			m.inbound.handle(from, &c.frame, batch)
			batch.Submit()
			told := ""
			for _, f := range h.flush(t, p) {
				if f.Kind == link.Credit {
					continue
				}
				told += fmt.Sprintf("%v session %d id %d gate %s", f.Kind, f.Session, f.ID, f.Text)
			}
			if told != c.want {
				t.Errorf("the sender is told %q, want %q", told, c.want)
			}
			if got := m.refusals.Unknown.Load(); got != 1 {
				t.Errorf("%d messages are counted", got)
			}
			if got := log.Has("a notify of an unknown session was dropped", "gate:1"); got != c.warned {
				t.Errorf("there is a warning: %v", got)
			}
		})
	}
}

// Each frame about a session goes to the one that keeps it: the session is introduced, changes its
// user, and ends. What its gate tells of one id is nothing to the same id of another gate.
func TestSessionsOfTwoGates(t *testing.T) {
	m, _ := newMesh(t, nil)
	meet(m, other("gate:1"), other("gate:2"))
	go m.sched.Start()
	handle := func(gate string, f link.Frame) {
		p := m.peers.at(gate)
		batch := m.table.BeginMetered()
		m.inbound.handle(&sender{peers: m.peers, addr: gate, epoch: 1, way: p, in: &inboundLink{}}, &f, batch)
		batch.Submit()
	}
	uids := func() string {
		text := ""
		for _, gate := range []string{"gate:1", "gate:2"} {
			if r := m.remotes.get(sessionKey{gate, 1, 5}); r != nil {
				text += fmt.Sprintf("%s %d ", gate, r.sess.UID())
			}
		}
		return text
	}
	handle("gate:1", link.Frame{Kind: link.SessionOpened, Session: 5, UID: 10, Text: []byte("192.0.2.1:99")})
	handle("gate:2", link.Frame{Kind: link.SessionOpened, Session: 5, UID: 20})
	if got := uids(); got != "gate:1 10 gate:2 20 " {
		t.Errorf("the sessions are %q", got)
	}
	if got := m.remotes.get(sessionKey{"gate:1", 1, 5}).RemoteAddr().String(); got != "192.0.2.1:99" {
		t.Errorf("the client's address is %s", got)
	}
	handle("gate:1", link.Frame{Kind: link.SessionClosed, Session: 5})
	if got := uids(); got != "gate:2 20 " {
		t.Errorf("after the end of one the sessions are %q", got)
	}
	handle("gate:2", link.Frame{Kind: link.Bound, Session: 5, UID: 20, ID: 1})
	if !m.Users.Online(20) || m.Users.Online(10) {
		t.Error("the wrong users are online")
	}
	handle("gate:2", link.Frame{Kind: link.Bound, Flags: flagOff, Session: 5, UID: 20})
	if m.Users.Online(20) {
		t.Error("who signed out is online")
	}
}

// A frame whose handling panics costs that frame, and one that is not heard any more does nothing.
func TestAFrameMayPanic(t *testing.T) {
	m, log := newMesh(t, nil)
	meet(m, other("gate:1"))
	from := &sender{peers: m.peers, addr: "gate:1", epoch: 1, way: m.peers.at("gate:1"), in: &inboundLink{}}
	m.inbound.handle(from, &link.Frame{Kind: link.Multicast, Sessions: []int64{1}}, nil) // the mesh has no gate here
	if !log.Has("panicked", "gate:1", "Multicast") {
		t.Errorf("the log is %q", log.Lines())
	}
	from.in.dead.Store(true)
	m.inbound.handle(from, &link.Frame{Kind: link.Bound, Session: 5, UID: 20, ID: 1}, nil)
	if m.Users.Online(20) {
		t.Error("what a dead link says is heard")
	}
}
