package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A handler that answers later answers with an error as one that returns it: shaped, counted,
// logged by its code, for clients that accept errors only, and once. A client would wait for a dice
// that nobody rolls any more.
func TestLateErrorIsAnswered(t *testing.T) {
	for _, name := range []string{"behind a gate", "on the node"} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) { failsLater(t, f, name == "behind a gate") })
		})
	}
}

var errFull = nano.Errorf("full", "room 3 is full")

// lateNode is a backend whose handlers fail later.
type lateNode struct {
	*apptest.Node
	notify error            // what FailMID said to a notify
	kept   *session.Session // that asked for Later
}

func startLate(t *testing.T, f *apptest.Cluster) *lateNode {
	t.Helper()
	b := new(lateNode)
	shape := nano.WithErrorShape(func(s *session.Session, _ string, err error) any {
		var e *nano.Error
		if !errors.As(err, &e) {
			e = nano.Errorf(component.CodeInternal, "oops")
		}
		return map[string]any{"code": e.Code, "uid": s.UID()}
	})
	later := func(s *session.Session, mid uint64, err error) {
		b.Scheduler().PushTask(func() {
			if err := s.FailMID(mid, err); err != nil {
				t.Errorf("FailMID: %v", err)
			}
		})
	}
	b.Node = f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
		"Back.Later": func(ctx context.Context, s *session.Session, _ []byte) error {
			b.kept = s
			later(s, nano.MessageID(ctx), errFull)
			return nil
		},
		"Back.Plain": func(ctx context.Context, s *session.Session, _ []byte) error {
			later(s, nano.MessageID(ctx), errors.New("secret"))
			return nil
		},
		"Back.None": func(ctx context.Context, s *session.Session, _ []byte) error {
			later(s, nano.MessageID(ctx), nil)
			return nil
		},
		"Back.Both": func(_ context.Context, s *session.Session, _ []byte) error {
			return errors.Join(s.FailMID(s.LastMid(), errFull), s.FailMID(s.LastMid(), errors.New("again")), errors.New("and an error"))
		},
		"Back.Answered": func(_ context.Context, s *session.Session, _ []byte) error {
			return errors.Join(s.Response([]byte("done")), s.FailMID(s.LastMid(), errFull))
		},
		"Back.Notify": func(_ context.Context, s *session.Session, _ []byte) error {
			b.notify = s.FailMID(s.LastMid(), errFull)
			return nil
		},
	}), shape)
	return b
}

func failsLater(t *testing.T, f *apptest.Cluster, gated bool) {
	m := f.Start(t, apptest.Master, apptest.Handlers(nil))
	g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
	b := startLate(t, f)
	apptest.Meet(t, m, g, b.Node)
	n := b.Node
	if gated {
		n = g
	}
	c, old := n.TCP.Client(t), n.TCP.Client(t)
	c.Ready(apptest.AcceptErrors)
	old.Ready()
	uid := 0.0
	if gated {
		uid = 7
		apptest.Bind(t, c, "7", "<nil>")
	}
	before := b.Stats().Failed
	for _, r := range []struct{ route, code string }{
		{"Back.Later", "full"}, {"Back.Plain", "internal"}, {"Back.None", "invalid_argument"}, {"Back.Both", "full"},
	} {
		var e struct {
			Code string
			UID  float64
		}
		msg := c.Call(r.route, nil)
		if err := json.Unmarshal(msg.Data, &e); err != nil || !msg.Err || e.Code != r.code || e.UID != uid {
			t.Errorf("%s: answer %v %q, want %s for user %v", r.route, msg, msg.Data, r.code, uid)
		}
	}
	apptest.Call(t, c, "Back.Answered", "", "done")
	synctest.Wait()
	apptest.Pong(t, c) // nothing was answered twice
	if got := b.Stats().Failed - before; got < 5 {
		t.Errorf("%d messages have failed", got)
	}
	old.Request("Back.Later", nil)
	synctest.Wait()
	apptest.Pong(t, old)
	b.notify = nil
	c.Notify("Back.Notify", nil)
	synctest.Wait()
	if !errors.Is(b.notify, cluster.ErrSessionOnNotify) {
		t.Errorf("a notify: %v", b.notify)
	}
	old.Close()
	synctest.Wait()
	if err := b.kept.FailMID(1, errFull); !errors.Is(err, cluster.ErrBrokenPipe) {
		t.Errorf("after the end: %v", err)
	}
	if got := b.Log.Lines("ERROR", "message failed", "room 3"); len(got) != 0 {
		t.Errorf("a refusal is logged as an error: %q", got)
	}

	// A node that calls reads the error as it is, not as it is shaped for clients.
	var e *nano.Error
	_, err := nano.Call[struct{}](g.Context(t.Context()), "Back.Later", []byte("{}"))
	if !errors.As(err, &e) || e.Code != "full" || e.Message != "room 3 is full" {
		t.Errorf("a node is told %v", err)
	}
}
