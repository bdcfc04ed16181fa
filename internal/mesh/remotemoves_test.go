package mesh

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

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
		var closed []string
		m.life.OnClosed(func(s *session.Session) { closed = append(closed, s.CloseReason().Reason) })
		meet(m, other("gate:1"), other("gate:2"))
		to := resume.Place{Addr: "gate:2", Epoch: 1}
		for _, id := range []int64{1, 2} {
			introduced(t, m, id)
			m.remotes.move(sessionKey{"gate:1", 1, id}, to, nil)
		}
		arrived := sessionKey{"gate:2", 1, 1}
		m.remotes.handleOpened(arrived, m.peers.at("gate:2"), &link.Frame{Kind: link.SessionOpened, Session: 1, ID: 30_000})
		time.Sleep(29 * time.Second)
		if synctest.Wait(); len(closed) > 0 {
			t.Errorf("closed too early: %q", closed)
		}
		time.Sleep(2 * time.Second)
		if synctest.Wait(); len(closed) != 1 || closed[0] != "the gate where it goes has not got it" {
			t.Errorf("closed: %q", closed)
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
