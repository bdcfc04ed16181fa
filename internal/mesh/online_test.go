package mesh

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/session"
)

// deaf returns a way to a node that never answers.
func deaf(t *testing.T, n *node, addr string) *peer {
	t.Helper()
	s, err := link.NewSender(link.SenderConfig{
		Dial: func(ctx context.Context) (link.Stream, error) { <-ctx.Done(); return nil, ctx.Err() },
		Log:  slog.New(slog.DiscardHandler), Withdrawn: &n.refusals.Withdrawn,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx)
		<-s.Done()
	})
	return &peer{node: n, addr: addr, epoch: 1, version: linkVersion, link: s}
}

// One gate has the user and says so at once. Whoever kicks is not kept waiting for the gates that
// hang.
func TestFirstYesIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []question
		for range 5 {
			q := question{new(peer), newPendingCall()}
			q.peer.calls.begin(q.call)
			asked = append(asked, q)
		}
		began := time.Now()
		asked[1].call.end(nil, nil) // no
		go func() {
			time.Sleep(10 * time.Millisecond)
			asked[3].call.end([]byte{1}, nil)
		}()
		if yes, _ := anyYes(asked); !yes || time.Since(began) > 10*time.Millisecond {
			t.Errorf("it says %v after %v", yes, time.Since(began))
		}
		for i, q := range asked {
			if q.peer.calls.remove(q.call.id) != nil {
				t.Errorf("question %d still waits for its answer", i)
			}
		}
		began = time.Now()
		if yes, silent := anyYes(asked[1:2]); yes || silent || time.Since(began) > 0 {
			t.Errorf("one says no: %v, silent %v, after %v", yes, silent, time.Since(began))
		}
		if yes, silent := anyYes(asked[2:3]); yes || !silent || time.Since(began) != kickWait {
			t.Errorf("nobody answers: %v, silent %v, after %v", yes, silent, time.Since(began))
		}
		asked[4].call.end(nil, errPeerGone)
		if yes, silent := anyYes(asked[4:]); yes || !silent {
			t.Errorf("one is gone: %v, silent %v", yes, silent)
		}
	})
}

// The question cannot be sent to a gate, so there is no answer to wait for.
func TestKickWaitsOnlyForThoseWhoWereAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{addr: "node:1", users: users.New(session.BindKeepBoth), log: slog.New(slog.DiscardHandler)}
		ps := newPeers(n)
		l := &logins{node: n, peers: ps, sessions: &gateSessions{node: n, peers: ps}, arrivals: new(arrivals), directory: newDirectory(session.BindKeepBoth)}
		p := deaf(t, n, "gate:1")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = p.link.Close(ctx) // it ends just then
		ps.set(p.addr, p)
		began := time.Now()
		if err := l.Kick(7, "banned"); !errors.Is(err, ErrOffline) || time.Since(began) > 0 {
			t.Errorf("it says %v after %v", err, time.Since(began))
		}
	})
}

// A node says nothing more about what it was asked: its requests are answered with an error here,
// and what still waits for it must not run there later.
func TestWhatIsAnsweredWithAnErrorIsNotSent(t *testing.T) {
	n := &node{addr: "node:1", users: users.New(session.BindKeepBoth), log: slog.New(slog.DiscardHandler)}
	ps := newPeers(n)
	ps.sessions = &gateSessions{node: n, peers: ps}
	p := deaf(t, n, "back:1")
	p.peers = ps
	for _, f := range []link.Frame{
		{Kind: link.Request, Session: 1, ID: 1, Route: []byte("Back.Do")},
		{Kind: link.Call, ID: 1, Route: []byte("Back.Do"), Left: time.Minute},
		{Kind: link.SessionClosed, Session: 2},
	} {
		if _, err := p.link.Queue(&f); err != nil {
			t.Fatal(err)
		}
	}
	p.unanswered()
	if got := n.refusals.Withdrawn.Load(); got != 2 {
		t.Errorf("%d frames were withdrawn, want the request and the call", got)
	}
}
