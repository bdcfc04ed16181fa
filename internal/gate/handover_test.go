package gate

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// elsewhere carries a session at another gate, and counts who ends it there.
type elsewhere struct {
	dispatch.Entity
	ended atomic.Int32
}

func (e *elsewhere) Kick(string) error { e.ended.Add(1); return nil }

func (e *elsewhere) Close() error { e.ended.Add(1); return nil }

// left returns what Drain says that is left now; nil if nothing is.
func (w *world) left() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return w.Drain(ctx, time.Second)
}

// joins has a client of a session that can be resumed join, and returns its token.
func (w *world) joins(t *testing.T) (resume.Token, *session.Session) {
	t.Helper()
	token, err := w.ReadToken(answered(t, w.tcp.Client(t).Ready(greetingOf("", 0)).Body).Token)
	if err != nil {
		t.Fatal(err)
	}
	return token, <-w.opened
}

// releases begins to give a session to another gate.
func (w *world) releases(t *testing.T, token resume.Token) *Conn {
	t.Helper()
	c, why := w.Release(token, 0, time.Now().Add(time.Hour))
	if why != "" {
		t.Fatal("not released: ", why)
	}
	return c
}

// A node that ends as soon as its drain is over would lose the last session, which is on its way to
// another gate.
func TestDrainWaitsForWhatGoesToAnotherGate(t *testing.T) {
	w := newResumingWorld(t)
	token, _ := w.joins(t)
	c := w.releases(t, token)
	if w.left() == nil {
		t.Error("Drain is over before the session has gone")
	}
	w.Hand(c, new(elsewhere))
	if w.left() == nil {
		t.Error("Drain is over before the session was sent")
	}
	w.Gone()
	if err := w.left(); err != nil {
		t.Error(err)
	}
}

// A gate that is too slow to answer a claim in time says so, and not that there is no such session.
func TestReleaseThatIsTooLate(t *testing.T) {
	w := newResumingWorld(t)
	token, s := w.joins(t)
	if _, why := w.Release(token, 0, time.Now()); why != resume.Later || s.Closed() {
		t.Errorf("it says %q, closed %v", why, s.Closed())
	}
	w.Hand(w.releases(t, token), new(elsewhere))
	w.Gone()
}

// A session whose client came here just before the drain is on its way from another gate: a node
// that ended now would lose it.
func TestDrainWaitsForWhatComesFromAnotherGate(t *testing.T) {
	var w *world
	asked := make(chan error, 1)
	w = newResumingWorld(t, func(c *Config) {
		c.Claim = func(Claim) resume.Reason {
			asked <- w.left()
			return resume.Unknown
		}
	})
	c := w.tcp.Client(t)
	c.WritePacket(codec.Handshake, []byte(greetingOf(w.resumer.signer.Text(resume.Token{Turn: 1, Session: 77, Gate: "gate:2"}), 0)))
	if <-asked == nil {
		t.Error("Drain is over before the session has come")
	}
	c.Ended()
	if err := w.left(); err != nil {
		t.Error(err)
	}
}

// A node that ends kicks no player who is at another gate by now, or on the way there, although
// something is still under way on the old connection.
func TestShutdownKicksNobodyElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newResumingWorld(t)
		token, s := w.joins(t)
		old := s.NetworkEntity().(*Conn)
		writes := func(now bool) {
			old.mu.Lock()
			old.writing = now
			old.mu.Unlock()
			w.remove(old)
		}
		writes(true) // so the gate has the connection until that is over
		c := w.releases(t, token)
		w.KickAll("server shutdown")
		to := new(elsewhere)
		if h := w.Hand(c, to); h.End {
			t.Errorf("the session is ended on its way: %+v", h.Why)
		}
		w.Gone()
		w.KickAll("server shutdown")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = w.Shutdown(ctx) // whose time is over: it cuts what is left
		writes(false)
		if n := to.ended.Load(); n != 0 {
			t.Errorf("the session is ended %d times at the other gate", n)
		}
	})
}

// What a hook pushes to a client that it then turns away does not count as kept for ever: else
// nothing would be kept for anybody in the end.
func TestNothingIsKeptForARefusedClient(t *testing.T) {
	w := newResumingWorld(t, func(c *Config) {
		c.Handshake = func(s *session.Session, _ *session.Handshake) error {
			return errors.Join(s.Push("n", bytes.Repeat([]byte("x"), 100_000)), errors.New("you are banned"))
		}
	})
	c := w.tcp.Client(t)
	c.WritePacket(codec.Handshake, []byte(greetingOf("", 0)))
	if p, err := c.Next(); err != nil || p.Type != codec.Handshake {
		t.Errorf("answer %v, %v", p, err)
	}
	c.Ended()
	if n := w.resumer.kept.Load(); n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
}
