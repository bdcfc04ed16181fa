// Package nodetest runs a node for the tests of the commands.
package nodetest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// Text is what the node's routes take and give.
type Text struct {
	Text string `json:"text"`
}

// Room is what the node offers.
type Room struct {
	component.Base
	group *nano.Group
}

// Echo answers with what it got.
func (r *Room) Echo(_ context.Context, _ *session.Session, m *Text) (*Text, error) { return m, nil }

// Bytes answers with what it got, whatever that is.
func (r *Room) Bytes(_ context.Context, _ *session.Session, data []byte) ([]byte, error) {
	return data, nil
}

// Join adds the session to those who hear what is said.
func (r *Room) Join(_ context.Context, s *session.Session, _ *Text) (*Text, error) {
	return &Text{"welcome"}, r.group.Add(s)
}

// Say tells everybody who is still there.
func (r *Room) Say(_ *session.Session, m *Text) error {
	_ = r.group.Broadcast("onSay", m) // some may be leaving
	return nil
}

// Fail always fails.
func (r *Room) Fail(_ context.Context, _ *session.Session, m *Text) (*Text, error) {
	return nil, component.Errorf(component.CodeRefused, "not you, %s", m.Text)
}

// Never does not answer.
func (r *Room) Never(*session.Session, *Text) error { return nil }

// Leave kicks the session.
func (r *Room) Leave(s *session.Session, m *Text) error { return s.Kick(m.Text) }

// Evict answers, and then kicks the session.
func (r *Room) Evict(s *session.Session, m *Text) error {
	if err := s.Response(m); err != nil {
		return err
	}
	return s.Kick(m.Text)
}

// New makes a node on a port of its own.
func New(opts ...nano.Option) *nano.App {
	comps := &component.Components{}
	comps.Register(&Room{group: nano.NewGroup("room")}, component.WithPush[Text]("onSay"), component.WithoutAnswer("Say", "Leave"))
	return nano.New("127.0.0.1:0", append([]nano.Option{
		nano.WithComponents(comps), nano.WithSerializer(json.NewSerializer()),
		nano.WithSlog(slog.New(slog.DiscardHandler)),
	}, opts...)...)
}

// Start runs a node until the test ends.
func Start(t testing.TB, opts ...nano.Option) *nano.App {
	t.Helper()
	app := New(opts...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := app.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return app
}

// Until waits until cond is true, for what a node tells nobody when it changes.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("it did not come: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
