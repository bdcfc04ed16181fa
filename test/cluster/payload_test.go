package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A game fills one buffer again and again and sends it: what it writes after a call has returned
// must not be what the client, or another handler, gets. Whichever way the payload goes.
func TestPayloadsMayBeUsedAgain(t *testing.T) {
	for _, gated := range []bool{true, false} {
		for _, filtered := range []bool{true, false} {
			t.Run(fmt.Sprintf("behind a gate: %v, filtered: %v", gated, filtered), func(t *testing.T) {
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) { payloads(t, f, gated, filtered) })
			})
		}
	}
}

func payloads(t *testing.T, f *apptest.Cluster, gated, filtered bool) {
	var opts []nano.Option
	if filtered {
		p := pipeline.New()
		p.Outbound().PushBack(func(*session.Session, *pipeline.Message) error { return nil })
		opts = append(opts, nano.WithPipeline(p))
	}
	var heard nanotest.Record // by two nodes
	hear := func(_ context.Context, s *session.Session, data []byte) error {
		heard.Add(string(data))
		return s.Response(data)
	}
	var app *apptest.Node
	room, buf := nano.NewGroup("room"), make([]byte, 5)
	defer func() { _ = room.Close() }()
	send := func(errs *error, text string, by func(v []byte) error) {
		copy(buf, text)
		if err := by(buf); err != nil {
			*errs = errors.Join(*errs, fmt.Errorf("%s: %w", text, err))
		}
		copy(buf, "*****")
	}
	m := f.Start(t, apptest.Master, apptest.Handlers(nil))
	g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"Gate.Hear": func(_ context.Context, _ *session.Session, data []byte) error {
		heard.Add(string(data))
		return nil
	}, "A.Bind": apptest.SignIn()["A.Bind"]}), opts...)
	b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
		"Back.Bind": func(_ context.Context, s *session.Session, _ []byte) error {
			return errors.Join(s.Bind(7), s.Response([]byte("ok")))
		},
		"Back.Hear": hear,
		"Back.Send": func(ctx context.Context, s *session.Session, _ []byte) (err error) {
			if err := room.Add(s); err != nil {
				return err
			}
			send(&err, "push ", func(v []byte) error { return s.Push("on", v) })
			send(&err, "broad", func(v []byte) error { return room.Broadcast("on", v) })
			send(&err, "multi", func(v []byte) error {
				return room.Multicast("on", v, func(*session.Session) bool { return true })
			})
			send(&err, "to 7 ", func(v []byte) error { return app.PushTo(7, "on", v) })
			send(&err, "rpc h", func(v []byte) error { return s.RPC("Back.Hear", v) })
			send(&err, "rpc t", func(v []byte) error { return s.RPC("Gate.Hear", v) })
			send(&err, "cast ", func(v []byte) error { return nano.Notify(ctx, "Gate.Hear", v) })
			send(&err, "resp ", func(v []byte) error { return s.Response(v) })
			return err
		},
	}), opts...)
	app = b
	apptest.Meet(t, m, g, b)
	n := b
	if gated {
		n = g
	}
	c := n.TCP.Client(t)
	c.Ready(apptest.AcceptErrors)
	apptest.Call(t, c, "Back.Bind", "", "ok")
	synctest.Wait()
	id := c.Request("Back.Send", nil)
	synctest.Wait()
	var got []string
	for range 4 {
		got = append(got, string(c.Push("on")))
	}
	slices.Sort(got)
	if want := []string{"broad", "multi", "push ", "to 7 "}; !slices.Equal(got, want) {
		t.Errorf("pushed: %q", got)
	}
	if msg := c.Response(id); string(msg.Data) != "resp " {
		t.Errorf("answered: %v %q", msg, msg.Data)
	}
	others := slices.Sorted(slices.Values(heard.List()))
	if want := []string{"cast ", "rpc h", "rpc t"}; !slices.Equal(others, want) {
		t.Errorf("other handlers have heard %q", others)
	}
}
