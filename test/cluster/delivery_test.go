package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

type position struct {
	Who string
	At  int
}

// startMovers starts a backend that sends positions in each way there is, floods, and effects.
func startMovers(t *testing.T, f *apptest.Cluster) (b *apptest.Node) {
	t.Helper()
	room := nano.NewGroup("room")
	move := func(s *session.Session, i int) error {
		p := &position{"abc"[i%3 : i%3+1], i}
		switch i % 4 {
		case 0:
			return s.Push("pos", p)
		case 1:
			return room.Broadcast("pos", p)
		case 2:
			return b.PushTo(7, "pos", p)
		default:
			return s.Push("gates", p)
		}
	}
	b = f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{
		"Back.Move": func(_ context.Context, s *session.Session, _ []byte) error {
			if err := room.Add(s); err != nil {
				return err
			}
			for i := range 30 {
				if err := move(s, i); err != nil {
					return err
				}
				if i == 27 {
					if err := room.Broadcast("all", []byte(`"x"`)); err != nil {
						return err
					}
				}
			}
			return s.Response([]byte(`"done"`))
		},
		"Back.Flood": func(_ context.Context, s *session.Session, _ []byte) error {
			for range 200 {
				if err := s.Push("all", make([]byte, 1000)); err != nil {
					return err
				}
			}
			return nil
		},
		"Back.Effect": func(_ context.Context, s *session.Session, _ []byte) error {
			return s.Push("effect", []byte(`"boom"`))
		},
	}), nano.WithDelivery(nano.LatestBy(func(p *position) string { return p.Who }), "pos"),
		nano.WithDelivery(nano.DropWhenBusy(), "effect"))
	return b
}

// The classes of delivery that a backend has set hold at the gate, where the messages wait: for a
// push, a broadcast and a push to a user. A gate needs no option for it. Of nodes that send no
// class, the gate's own options hold.
func TestDeliveryClassesHoldAtTheGate(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), nano.WithWriteDelay(time.Second),
			nano.WithDelivery(nano.Latest(), "gates"))
		b := startMovers(t, f)
		apptest.Meet(t, m, g, b)

		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready()
		apptest.Bind(t, c, "7", "<nil>")
		c.Request("Back.Move", nil)
		var got []string
		for {
			msg := c.Message()
			if msg.Type == codec.Response {
				break
			}
			got = append(got, msg.Route+" "+string(msg.Data))
		}
		want := `gates {"Who":"a","At":27}, all "x", pos {"Who":"b","At":28}, pos {"Who":"c","At":29}`
		// The last of a is 24, a push; 27 went under the gate's own route.
		want = `pos {"Who":"a","At":24}, ` + want
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("the client gets %s\nwant %s", all, want)
		}

		c.Notify("Back.Effect", nil)
		if got := c.Push("effect"); string(got) != `"boom"` {
			t.Errorf("the effect for a client that reads: %q", got)
		}
		c.Beats = false
		c.Notify("Back.Flood", nil) // and it does not read
		nanotest.Until(t, "the gate has sent what the client takes", func() bool { return g.Stats().BytesOut > 0 })
		time.Sleep(1500 * time.Millisecond)
		c.Notify("Back.Effect", nil)
		nanotest.Until(t, "the effect is left out", func() bool { return g.Stats().Skipped == 1 })
		for i := range 200 {
			if got := c.Push("all"); len(got) != 1000 {
				t.Fatalf("message %d has %d bytes", i, len(got))
			}
		}
		if got := fmt.Sprint(g.Stats().Replaced); got == "0" {
			t.Error("nothing is counted as replaced")
		}
	})
}
