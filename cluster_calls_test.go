package nano_test

import (
	"context"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// A task or a timer that calls another node waits for the reply, and nobody else does: also where it runs on a
// component's own scheduler, whose queue the other node fills meanwhile. The reply is behind that on the link; a room
// whose timer asked would stand still until the call's deadline.
func TestClusterCallOutsideOfHandlers(t *testing.T) {
	for name, run := range map[string]func(own, main *scheduler.Scheduler, fn func()){
		"task":                      func(_, main *scheduler.Scheduler, fn func()) { main.PushTask(fn) },
		"timer":                     func(_, main *scheduler.Scheduler, fn func()) { main.NewAfterTimer(time.Millisecond, fn) },
		"task of another scheduler": func(own, _ *scheduler.Scheduler, fn func()) { own.PushTask(fn) },
		"timer of another scheduler": func(own, _ *scheduler.Scheduler, fn func()) {
			own.NewAfterTimer(time.Millisecond, fn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fabric) {
				own, main := scheduler.New(scheduler.WithLimit(5)), scheduler.New(scheduler.WithLimit(5))
				for _, s := range []*scheduler.Scheduler{own, main} {
					s.Start()
					t.Cleanup(s.Close)
				}
				say := func(context.Context, *session.Session, []byte) error { return nil }
				cs := new(component.Components)
				component.HandleRaw(cs, "Own.Say", say, component.WithScheduler(own))
				component.HandleRaw(cs, "Main.Say", say)
				m := f.start(t, masterAddr, handlers(nil))
				a := f.start(t, "back:1", cs, nano.WithScheduler(main))
				var b *node
				b = f.start(t, "back:2", handlers(fns{"B.Ask": func(_ context.Context, s *session.Session, _ []byte) error {
					for range 3 { // several batches: the first fills the queue, and one of the later waits for room in it
						for range 20 {
							for _, route := range []string{"Own.Say", "Main.Say"} {
								if err := b.NotifyNode("back:1", route, nil); err != nil {
									return err
								}
							}
						}
						time.Sleep(20 * time.Millisecond)
					}
					return s.Response([]byte(`"well"`))
				}}))
				meet(t, m, a, b)
				done := make(chan struct{})
				run(own, main, func() {
					defer close(done)
					began := time.Now()
					got, err := nano.Call[string](a.Context(t.Context()), "B.Ask", nil)
					if err != nil || *got != "well" || time.Since(began) > time.Second {
						t.Errorf("the reply after %v: %v", time.Since(began), err)
					}
				})
				<-done
			})
		})
	}
}
