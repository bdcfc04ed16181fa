package node_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Programs of v0.5 answer later, from goroutines of their own: a handler that has returned does not
// count.
func TestHandlersThatAnswerLaterAreNotBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mids []uint64
		var who *session.Session
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{"Late.Do": func(_ context.Context, s *session.Session, _ []byte) error {
			who, mids = s, append(mids, s.LastMid())
			return nil
		}}), nano.WithSessionCalls(2), nano.WithWaitingCalls(2))
		c := n.TCP.Client(t)
		c.Ready()
		c.Write(apptest.Requests(1, 1000, "Late.Do"))
		synctest.Wait()
		if len(mids) != 1000 {
			t.Fatalf("%d of 1000 handlers ran before the first was answered", len(mids))
		}
		for _, mid := range mids {
			if err := who.ResponseMID(mid, []byte("1")); err != nil {
				t.Fatal(err)
			}
		}
		for _, mid := range mids {
			c.Response(mid)
		}
	})
}

// A client takes answers in the order of its requests, where all are answered at once; an error
// that is found when a message is read must not overtake what is still being handled.
func TestErrorAnswersKeepTheOrder(t *testing.T) {
	own, ended := scheduler.New(), scheduler.New()
	ended.Close()
	ofComponent := []component.Option{component.WithScheduler(own)}
	ofSession := []component.Option{component.WithSchedulerName("room")}
	for name, row := range map[string]struct {
		slow, typed []component.Option
		room        *scheduler.Scheduler // of the session
		fails       bool                 // it runs no handler of typed
	}{
		"the node's scheduler":                      {},
		"a component's scheduler":                   {slow: ofComponent, typed: ofComponent},
		"a session without a scheduler":             {typed: ofSession, fails: true},
		"a scheduler of the session that has ended": {typed: ofSession, room: ended, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			cs := new(component.Components)
			component.HandleRaw(cs, "Room.Slow", func(_ context.Context, s *session.Session, data []byte) error {
				time.Sleep(time.Millisecond)
				return s.Response(data)
			}, row.slow...)
			component.Handle(cs, "Desk.Typed", func(_ context.Context, _ *session.Session, _ *struct{ A int }) (*struct{}, error) {
				return &struct{}{}, nil
			}, row.typed...)
			own.Start()
			n := apptest.Start(t, cs, nano.WithHandshakeValidator(func(s *session.Session, _ []byte) error {
				if row.room != nil {
					s.Set("room", row.room)
				}
				return nil
			}))
			c := n.TCP.Client(t)
			c.Ready(apptest.AcceptErrors)
			var all []byte
			for i := range 20 {
				all = append(all, apptest.Requests(1+4*i, 1, "Room.Slow")...)
				all = append(all, apptest.Requests(2+4*i, 1, []string{"No.Such", "Room.None"}[i%2])...)
				bad, err := codec.AppendData(nil, codec.Request, uint64(3+4*i), "Desk.Typed", []byte("{"), 0, nil, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, bad...)
				all = append(all, apptest.Requests(4+4*i, 1, "Desk.Typed")...)
			}
			for rest := all; len(rest) > 0; { // several reads: what one of them began is not done when the next comes
				k := min(100, len(rest))
				c.Write(rest[:k])
				rest = rest[k:]
			}
			for want := uint64(1); want <= 80; want++ {
				m := c.Message()
				if m.ID != want {
					t.Fatalf("the answer of request %d came in the place of %d's", m.ID, want)
				}
				if fails := want%4 == 2 || want%4 == 3 || want%4 == 0 && row.fails; m.Err != fails {
					t.Fatalf("request %d: error %v", want, m.Err)
				}
			}
		})
	}
	own.Close()
	if err := own.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// A session with a thousand messages waiting does not stand before one with a single message.
func TestFloodersDoNotDelayAQuietClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int64
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{
			"Bench.Work": func(context.Context, *session.Session, []byte) error {
				ran.Add(1)
				time.Sleep(10 * time.Microsecond)
				return nil
			},
			"Bench.Echo": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) },
		}))
		const flooders = 50
		for i := range flooders {
			c := n.TCP.Client(t)
			c.Ready()
			flood := apptest.Notifies(5000, "Bench.Work", i%10)
			go func() { _ = c.SendRaw(flood) }()
		}
		quiet := n.TCP.Client(t)
		quiet.Ready()
		for i := range 20 {
			time.Sleep(time.Millisecond)
			before := ran.Load()
			quiet.Call("Bench.Echo", fmt.Append(nil, i))
			if others := ran.Load() - before; others > 3*512 {
				t.Errorf("request %d waited for %d messages of others", i, others)
			}
		}
		if ran.Load() > flooders*5000-5000 {
			t.Error("the flood was over too soon: the test shows nothing")
		}
	})
}
