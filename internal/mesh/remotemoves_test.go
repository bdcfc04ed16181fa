package mesh

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// introduced has gate:1 introduce a session that waits 30 s for its client.
func introduced(t *testing.T, m *Mesh, id int64) *remoteSession {
	t.Helper()
	f := &link.Frame{Kind: link.SessionOpened, Session: id, ID: 30_000}
	m.remotes.handleOpened(sessionKey{"gate:1", 1, id}, m.peers.at("gate:1"), f)
	r := m.remotes.get(sessionKey{"gate:1", 1, id})
	if r == nil {
		t.Fatal("the session is not known")
	}
	return r
}

// A session goes to a gate that never gets it: both gates had trouble at that moment. Its player
// does not stay in a room for ever, and a session that has arrived stays.
func TestSessionThatNeverArrivesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMesh(t, nil)
		m.sched.Start()
		defer func() {
			m.sched.Close()
			_ = m.sched.Wait(context.Background())
		}()
		var closed nanotest.Record
		m.life.OnClosed(func(s *session.Session) { closed.Add(s.CloseReason().Reason) })
		meet(m, other("gate:1"), other("gate:2"))
		to := resume.Place{Addr: "gate:2", Epoch: 1}
		for _, id := range []int64{1, 2} {
			introduced(t, m, id)
			m.remotes.move(sessionKey{"gate:1", 1, id}, to, nil)
		}
		arrived := sessionKey{"gate:2", 1, 1}
		m.remotes.handleOpened(arrived, m.peers.at("gate:2"), &link.Frame{Kind: link.SessionOpened, Session: 1, ID: 30_000})
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if got := closed.List(); len(got) > 0 {
			t.Errorf("closed too early: %q", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := closed.List(); !slices.Equal(got, []string{"the gate where it goes has not got it"}) {
			t.Errorf("closed: %q", got)
		}
		if m.remotes.get(arrived) == nil {
			t.Error("the session that has arrived is gone")
		}
	})
}

// A backend signs a player in at the moment in which the session goes to another gate: neither
// waits for the other for ever.
func TestBindWhileASessionMoves(t *testing.T) {
	m, _ := newMesh(t, nil)
	meet(m, other("gate:1"), other("gate:2"))
	p := m.peers.at("gate:1")
	new(heard).connect(t, p)
	r := introduced(t, m, 1)
	p.moves.Lock()
	bound := make(chan error, 1)
	go func() { bound <- r.BindUID(r.sess, 7) }()
	nanotest.Until(t, "the gate is asked, and the session is free", func() bool {
		if !r.mu.TryLock() {
			return false
		}
		defer r.mu.Unlock()
		return r.asked
	})
	p.moves.Unlock()
	if err := <-bound; err != nil {
		t.Errorf("Bind: %v", err)
	}
}

// A gate that this node hears keeps its sessions, whoever asks for them: else one with a token that
// was used would take them. One that says itself that it does not have a session gives it up.
func TestGateThatLivesKeepsItsSessions(t *testing.T) {
	m, _ := newMesh(t, nil)
	meet(m, other("gate:1"), other("gate:2"))
	p := m.peers.at("gate:1")
	new(heard).connect(t, p)
	r := introduced(t, m, 1)
	_ = p.send(&link.Frame{Kind: link.Credit})
	nanotest.Until(t, "the link is up", func() bool { p.link.Flush(); return p.link.Stats().Connected })
	one, two := resume.Place{Addr: "gate:1", Epoch: 1}, resume.Place{Addr: "gate:2", Epoch: 1}
	m.gate = new(gate.Gate) // which says how long moves are remembered
	if got := m.remotes.adopt(adopting{From: one}, two, 1); got.Knows || !got.Alive || r.key().gate != "gate:1" {
		t.Errorf("the gate lives: %+v, the session is at %s", got, r.key().gate)
	}
	if got := m.remotes.adopt(adopting{From: one, Free: true, Look: true}, two, 1); !got.Knows || r.key().gate != "gate:1" {
		t.Errorf("it is only asked: %+v, the session is at %s", got, r.key().gate)
	}
	if got := m.remotes.adopt(adopting{From: one, Free: true}, two, 1); !got.Knows || r.key().gate != "gate:2" {
		t.Errorf("the gate does not have it: %+v, the session is at %s", got, r.key().gate)
	}
}

// A session goes to a gate that has just started, of which this node has not heard yet: what is
// pushed meanwhile waits for it, and arrives before what comes later.
func TestPushesWaitForAGateThatIsNotKnownYet(t *testing.T) {
	m, _ := newMesh(t, nil)
	meet(m, other("gate:1"))
	new(heard).connect(t, m.peers.at("gate:1"))
	r := introduced(t, m, 1)
	m.remotes.move(sessionKey{"gate:1", 1, 1}, resume.Place{Addr: "gate:2", Epoch: 1}, nil)
	data := []byte("0")
	for range 2 {
		if err := r.sess.Push("n", data); err != nil {
			t.Fatal(err)
		}
		data[0]++ // it is the caller's again
	}
	if err := r.sess.Kick("enough"); err != nil {
		t.Error(err)
	}
	meet(m, other("gate:1"), other("gate:2"))
	p, h := m.peers.at("gate:2"), new(heard)
	h.connect(t, p)
	m.remotes.handleOpened(sessionKey{"gate:2", 1, 1}, p, &link.Frame{Kind: link.SessionOpened, Session: 1, ID: 30_000})
	if err := r.sess.Push("n", data); err != nil {
		t.Error(err)
	}
	got := ""
	for _, f := range h.flush(t, p) {
		got += fmt.Sprintf("%v %s%s, ", f.Kind, f.Data, f.Text)
	}
	if want := "Push 0, Push 1, Kick enough, Push 2, "; got != want {
		t.Errorf("the gate gets %q, want %q", got, want)
	}
}

// A backend says that it has a session while that is on its way here: it hears of it when it is
// here, and not that it has ended.
func TestBackendThatHasASessionBeforeItIsHere(t *testing.T) {
	m, _ := newMesh(t, nil)
	m.gate = new(gate.Gate)
	meet(m, other("back:1"))
	p, h := m.peers.at("back:1"), new(heard)
	h.connect(t, p)
	ar, _ := m.Arrivals.begin(gate.Claim{Token: resume.Token{Session: 5}})
	from := &sender{peers: m.peers, addr: p.addr, epoch: p.epoch, way: p, in: &inboundLink{}}
	batch := m.table.BeginMetered()
	m.inbound.handle(from, &link.Frame{Kind: link.SessionOpened, Flags: flagHold, Session: 5}, batch)
	batch.Submit()
	if got := h.flush(t, p); len(got) > 0 {
		t.Errorf("before the session is here, the backend hears %v", got)
	}
	m.Arrivals.end(5, ar)
	if got := h.flush(t, p); len(got) != 1 || got[0].Kind != link.SessionClosed {
		t.Errorf("there is none: the backend hears %v", got)
	}
}

// A session comes back to this gate before a node has said that it knew of its leaving. What that
// node sends is dropped as too late, though it may be new: the client hears of a gap, and so does
// the node, also if it has said so before the session is here.
func TestWhatIsDroppedOnTheWayBackIsAGap(t *testing.T) {
	m, _ := newMesh(t, nil)
	meet(m, other("back:1"), other("back:2"))
	p, token := m.peers.at("back:1"), resume.Token{Session: 5, Turn: 3}
	m.departures.lag(func(l *resume.Lags[*peer]) {
		l.Tell(5, p)
		l.Leave(5, p)
	})
	ar, _ := m.Arrivals.begin(gate.Claim{Token: token})
	batch := m.table.BeginMetered()
	from := &sender{peers: m.peers, addr: p.addr, epoch: p.epoch, way: p, in: &inboundLink{}}
	m.inbound.handle(from, &link.Frame{Kind: link.Push, Session: 5, Route: []byte("n")}, batch)
	m.inbound.handle(from, &link.Frame{Kind: link.Multicast, Sessions: []int64{5}, Route: []byte("n")}, batch)
	batch.Submit()
	if n := m.refusals.Lost.Load(); n != 2 {
		t.Errorf("%d pushes are counted, want 2", n)
	}
	m.departures.lag(func(l *resume.Lags[*peer]) { l.Knows(5, p) })
	d := departing{Known: []resume.Place{placeOf(p), placeOf(m.peers.at("back:2"))}}
	d.State.Issued = 4
	m.Arrivals.leftBehind(ar, &d)
	if !slices.Equal(d.Behind, []resume.Place{placeOf(p)}) || !d.Loss.Concerns(token) {
		t.Errorf("behind are %v, and the client hears of %+v", d.Behind, d.Loss)
	}
}
