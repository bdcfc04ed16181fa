package dispatch

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// A handler finds the scheduler that runs it in its context, wherever it was registered: a room
// that took another one for its own would push its tasks there, and race with itself.
func TestSchedulerTravelsInTheContext(t *testing.T) {
	own, named := scheduler.New(), scheduler.New()
	theirs := new(local)
	var seen []*scheduler.Scheduler
	look := func(ctx context.Context, _ *session.Session, _ []byte) error {
		within, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		seen = append(seen, scheduler.FromContext(within))
		return nil
	}
	cs := new(component.Components)
	component.HandleRaw(cs, "Node.Look", look)
	component.HandleRaw(cs, "Own.Look", look, component.WithScheduler(own))
	component.HandleRaw(cs, "Named.Look", look, component.WithSchedulerName("room"))
	component.HandleRaw(cs, "Theirs.Look", look, component.WithScheduler(theirs))
	b := newBench(t, cs)
	b.peer.s.Set("room", named)
	for route, at := range map[string]*scheduler.Scheduler{"Node.Look": b.sched, "Own.Look": own, "Named.Look": named, "Theirs.Look": nil} {
		for how, call := range map[string]func(){
			"a client's message": func() { b.add(notify(route, "")) },
			"Session.RPC":        func() { _ = b.Notify(b.peer, route, nil) },
		} {
			seen = nil
			call()
			if at != nil {
				at.Start()
				finish(at)
				_ = at.Configure() // open again
			}
			theirs.run()
			if !slices.Equal(seen, []*scheduler.Scheduler{at}) {
				t.Errorf("%s by %s: found %p, want %p", route, how, seen, at)
			}
		}
	}
	if scheduler.FromContext(context.Background()) != nil {
		t.Error("a context of nobody has a scheduler")
	}
}

// A handler may hand its context on. Only the handler itself gives its turn away: what it
// started beside itself would give away what it does not have, and two calls would run at once.
func TestAwaitByContext(t *testing.T) {
	tests := map[string]struct {
		use  func(ctx context.Context, other *scheduler.Scheduler, await func())
		lets bool // others run while the handler waits
	}{
		"the handler": {func(_ context.Context, _ *scheduler.Scheduler, await func()) { await() }, true},
		"a goroutine of the handler, which runs on": {func(_ context.Context, _ *scheduler.Scheduler, await func()) {
			go await()
			time.Sleep(2 * time.Second)
		}, false},
		"a task elsewhere, while the handler runs on": {func(_ context.Context, other *scheduler.Scheduler, await func()) {
			other.PushTask(await)
			time.Sleep(2 * time.Second)
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other := scheduler.New()
				other.Start()
				in, let := false, false
				cs := raw("A.Wait", func(ctx context.Context, s *session.Session, _ []byte) error {
					in = true
					tt.use(ctx, other, func() { Await(ctx, func() { time.Sleep(time.Second) }) })
					in = false
					return s.Response([]byte{})
				})
				b := newBench(t, cs)
				b.add(request(7, "A.Wait", ""))
				b.sched.PushTask(func() { let = in })
				b.finish()
				finish(other)
				if let != tt.lets {
					t.Errorf("others ran meanwhile: %v, want %v", let, tt.lets)
				}
				if all := b.peer.Responses(); len(all) != 1 || all[0].MID != 7 {
					t.Errorf("answers: %+v", all)
				}
			})
		})
	}
}
