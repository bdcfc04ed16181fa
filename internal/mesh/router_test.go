package mesh

import (
	"errors"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// A session stays with its node, and goes to one that the application chooses first. Where none can
// serve it, its client learns whether there is such a service at all.
func TestRouterChooses(t *testing.T) {
	choice, fails := "back:2", error(nil)
	m, _ := newMesh(t, func(c *Config) {
		c.Choose = func(service string, _ *session.Session, open []member.Peer, sessions func(string) int64) (string, error) {
			if service == "Panics" {
				panic("bug")
			}
			if len(open) != 2 && service == "Room" || sessions("nobody:1") != 0 {
				t.Errorf("%d nodes are there for %s, and nobody has %d sessions", len(open), service, sessions("nobody:1"))
			}
			return choice, fails
		}
	})
	starting := other("back:3", "Room", "Late")
	starting.State = member.Starting
	meet(m, other("back:1", "Room", "Panics"), other("back:2", "Room"), starting)
	s := session.NewWithID(mock.NewNetworkEntity(), 1)

	p, err := m.Routes.choose("Room", s)
	if err != nil || p != m.peers.at("back:2") {
		t.Fatalf("the application's choice: %v, %v", p, err)
	}
	choice = "back:1"
	if p, _ := m.Routes.choose("Room", s); p != m.peers.at("back:2") {
		t.Errorf("the session does not stay with its node, but goes to %s", p.addr)
	}
	for _, c := range []struct {
		service, choice string
		fails           error
		code            string
	}{
		{"Nothing", "", nil, component.CodeNotFound},
		{"Late", "", nil, component.CodeUnavailable}, // it starts
		{"Panics", "", nil, ""},
		{"Room", "gone:1", nil, component.CodeUnavailable},
		{"Room", "", errors.New("full"), ""},
	} {
		choice, fails = c.choice, c.fails
		one := session.NewWithID(mock.NewNetworkEntity(), 2)
		if p, err := m.Routes.choose(c.service, one); err == nil || codeOf(err) != c.code {
			t.Errorf("%s, where the application chooses %q, %v: %v, %v", c.service, c.choice, c.fails, p, err)
		}
		if _, bound := one.Router().Find(c.service); bound {
			t.Errorf("%s: the session is bound to a node that it did not get", c.service)
		}
	}
}

// Calls take the nodes in turn, and leave out those of the 0.5 series, to which a call without a
// session cannot be said.
func TestCallsTakeNodesInTurn(t *testing.T) {
	m, _ := newMesh(t, nil)
	if p, err := m.Routes.anyOf("Room"); codeOf(err) != component.CodeNotFound {
		t.Errorf("without nodes: %v, %v", p, err)
	}
	old := member.Member{Addr: "old:1", Services: []string{"Room", "Old"}}
	draining := other("back:4", "Room")
	draining.State = member.Draining
	meet(m, other("back:1", "Room"), other("back:2", "Room"), other("back:3", "Room"), draining, old)
	calls := make(map[string]int)
	for range 30 {
		p, err := m.Routes.anyOf("Room")
		if err != nil {
			t.Fatal(err)
		}
		calls[p.addr]++
	}
	for _, addr := range []string{"back:1", "back:2", "back:3"} {
		if calls[addr] != 10 {
			t.Errorf("calls went to %v", calls)
		}
	}
	if p, err := m.Routes.anyOf("Old"); codeOf(err) != component.CodeUnavailable {
		t.Errorf("a call to v0.5: %v, %v", p, err)
	}
	if all := m.Routes.allOf("Room"); len(all) != 4 { // one that drains still hears what all are told
		t.Errorf("all are %d nodes", len(all))
	}
}

// A route is kept while its node can go on with the session, whether or not it takes new ones.
func TestRoutesThatAreKept(t *testing.T) {
	m, _ := newMesh(t, nil)
	draining := other("back:2", "Room")
	draining.State = member.Draining
	meet(m, other("back:1", "Room"), draining)
	for addr, want := range map[string]bool{"self:1": true, "back:1": true, "back:2": true, "gone:1": false} {
		if got := m.Routes.Reaches("Room", addr); got != want {
			t.Errorf("%s is reached: %v", addr, got)
		}
	}
	if m.Routes.Reaches("Chat", "back:1") {
		t.Error("a node is reached for a service that it does not run")
	}
	var back heard
	back.connect(t, m.peers.at("back:1"))
	nanotest.Until(t, "a link is up", func() bool { return m.Routes.canReach("Room") })
	if m.Routes.canReach("Chat") || m.Routes.coming("Room") {
		t.Error("what can be reached is not what the nodes run")
	}
}
