package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A task or a timer that calls another node waits for the reply, and nobody else does: also where
// it runs on a component's own scheduler, whose queue the other node fills meanwhile. The reply is
// behind that on the link; a room whose timer asked would stand still until the call's deadline.
func TestCallOfATaskHoldsUpNobody(t *testing.T) {
	for name, run := range map[string]func(own, main *scheduler.Scheduler, fn func()){
		"task":                      func(_, main *scheduler.Scheduler, fn func()) { main.PushTask(fn) },
		"timer":                     func(_, main *scheduler.Scheduler, fn func()) { main.NewAfterTimer(time.Millisecond, fn) },
		"task of another scheduler": func(own, _ *scheduler.Scheduler, fn func()) { own.PushTask(fn) },
		"timer of another scheduler": func(own, _ *scheduler.Scheduler, fn func()) {
			own.NewAfterTimer(time.Millisecond, fn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				own, main := scheduler.New(scheduler.WithLimit(5)), scheduler.New(scheduler.WithLimit(5))
				for _, s := range []*scheduler.Scheduler{own, main} {
					s.Start()
					t.Cleanup(s.Close)
				}
				say := func(context.Context, *session.Session, []byte) error { return nil }
				cs := new(component.Components)
				component.HandleRaw(cs, "Own.Say", say, component.WithScheduler(own))
				component.HandleRaw(cs, "Main.Say", say)
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				a := f.Start(t, "back:1", cs, nano.WithScheduler(main))
				var b *apptest.Node
				b = f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{"B.Ask": func(_ context.Context, s *session.Session, _ []byte) error {
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
				apptest.Meet(t, m, a, b)
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

// watched is a component whose handler tells how its context ends.
type watched struct {
	ends  chan watchedEnd
	began chan time.Duration // how long it may take
	next  func(ctx context.Context, s *session.Session) error
}

type watchedEnd struct {
	err   error
	after time.Duration
}

func newWatched() *watched {
	return &watched{ends: make(chan watchedEnd, 10), began: make(chan time.Duration, 10)}
}

// handle watches its context on a goroutine of its own, and returns or does what is next.
func (w *watched) handle(ctx context.Context, s *session.Session, _ []byte) error {
	began := time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		w.began <- time.Until(deadline)
	} else {
		w.began <- 0
	}
	go func() {
		<-ctx.Done()
		w.ends <- watchedEnd{ctx.Err(), time.Since(began)}
	}()
	if w.next != nil {
		return w.next(ctx, s)
	}
	return nil
}

// A node that calls gives up: by its deadline, or because the client for whom it calls has left.
// The handler that it has called is told by its context, on another node and on the same, and so is
// who that one has called. It would go on working, and hold what it holds, for nobody.
func TestCancelledCallEndsItsHandler(t *testing.T) {
	for name, at := range map[string]int{"another node": 1, "the same node": 0} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				w, deep := newWatched(), newWatched()
				comps := []apptest.Funcs{{}, {}}
				comps[at]["W.Do"] = w.handle
				m := f.Start(t, apptest.Master, apptest.Handlers(apptest.Funcs{"Deep.Do": deep.handle}))
				a := f.Start(t, "back:1", apptest.Handlers(comps[0]))
				b := f.Start(t, "back:2", apptest.Handlers(comps[1]))
				apptest.Meet(t, m, a, b)
				call := func(ctx context.Context) error {
					_, err := nano.Call[string](a.Context(ctx), "W.Do", nil)
					return err
				}
				within := func(d time.Duration) (context.Context, context.CancelFunc) {
					return context.WithTimeout(t.Context(), d)
				}

				ctx, cancel := within(50 * time.Millisecond)
				defer cancel()
				if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the call: %v", err)
				}
				if left, end := <-w.began, <-w.ends; left != 50*time.Millisecond || !errors.Is(end.err, context.DeadlineExceeded) || end.after != left {
					t.Errorf("the handler had %v, and its context ended after %v: %v", left, end.after, end.err)
				}

				ctx, cancel = within(time.Minute)
				time.AfterFunc(20*time.Millisecond, cancel)
				if err := call(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("the call: %v", err)
				}
				if left, end := <-w.began, <-w.ends; left != time.Minute || !errors.Is(end.err, context.Canceled) || end.after > 30*time.Millisecond {
					t.Errorf("the handler had %v, and its context ended after %v: %v", left, end.after, end.err)
				}

				synctest.Wait()
				w.next = func(ctx context.Context, _ *session.Session) error {
					_, err := nano.Call[string](ctx, "Deep.Do", nil)
					return err
				}
				ctx, cancel = within(time.Minute)
				time.AfterFunc(20*time.Millisecond, cancel)
				_ = call(ctx)
				<-w.began
				if left, end := <-deep.began, <-deep.ends; left != time.Minute || !errors.Is(end.err, context.Canceled) || end.after > 30*time.Millisecond {
					t.Errorf("two nodes on, the handler had %v, and its context ended after %v: %v", left, end.after, end.err)
				}
				<-w.ends

				// A handler that answers and goes on keeps its context until it returns.
				synctest.Wait()
				w.next = func(ctx context.Context, s *session.Session) error {
					if err := s.Response([]byte(`"well"`)); err != nil {
						return err
					}
					time.Sleep(10 * time.Millisecond)
					return ctx.Err()
				}
				if err := call(t.Context()); err != nil {
					t.Error(err)
				}
				if left, end := <-w.began, <-w.ends; left != 5*time.Second || !errors.Is(end.err, context.Canceled) || end.after != 10*time.Millisecond {
					t.Errorf("the handler had %v, and its context ended after %v: %v", left, end.after, end.err)
				}
				for _, n := range []*apptest.Node{m, a, b} {
					if got := n.Log.Lines("ERROR"); len(got) > 0 {
						t.Errorf("logged: %q", got)
					}
				}
			})
		})
	}
}

// Who has called gives up while the other node cannot be reached: because it is told that, or by
// itself. When the link is back, the handler that works for it is told.
func TestCallThatWasGivenUpInACutEndsItsHandler(t *testing.T) {
	for name, cancels := range map[string]bool{"unreachable": false, "cancelled": true} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				w := newWatched()
				m := f.Start(t, apptest.Master, apptest.Handlers(nil))
				a := f.Start(t, "back:1", apptest.Handlers(nil))
				b := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{"W.Do": w.handle}))
				apptest.Meet(t, m, a, b)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				called := make(chan error, 1)
				go func() { called <- a.Call(ctx, "W.Do", nil, nil) }()
				<-w.began
				f.Block("back:1", "back:2")
				if cancels {
					time.AfterFunc(300*time.Millisecond, cancel)
				}
				time.Sleep(2 * time.Second)
				if err := <-called; err == nil || errors.Is(err, context.Canceled) != cancels {
					t.Errorf("the call: %v", err)
				}
				f.Allow("back:1", "back:2")
				if end := <-w.ends; end.after > 5*time.Second {
					t.Errorf("the handler worked for %v", end.after)
				}
			})
		})
	}
}

// A notify has nobody who waits: the context of its handler does not end with the message.
func TestNotifyHasNoDeadline(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		w := newWatched()
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"W.Do": func(ctx context.Context, s *session.Session, _ []byte) error {
			_, ok := ctx.Deadline()
			w.ends <- watchedEnd{err: ctx.Err()}
			if ok || ctx.Done() == nil {
				t.Error("the context has a deadline, or no end")
			}
			return nil
		}}))
		apptest.Meet(t, m, b)
		if err := m.Notify("W.Do", nil); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if end := <-w.ends; end.err != nil {
			t.Error(end.err)
		}
	})
}

// The node that calls dies, or a client leaves for whose sake a handler calls.
func TestCallOfADeadCallerEnds(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		w := newWatched()
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		ask := func(ctx context.Context, _ *session.Session, _ []byte) error {
			_, err := nano.Call[string](ctx, "W.Do", nil)
			return err
		}
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"A.Ask": ask}))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"W.Do": w.handle}))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready()
		c.Request("A.Ask", nil)
		<-w.began
		c.Close()
		if end := <-w.ends; !errors.Is(end.err, context.Canceled) || end.after > 10*time.Millisecond {
			t.Errorf("the client has left, and the context ended after %v: %v", end.after, end.err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		failed := make(chan error, 1)
		go func() {
			_, err := nano.Call[string](g.Context(ctx), "W.Do", nil)
			failed <- err
		}()
		<-w.began
		f.Kill("gate:1")
		if end := <-w.ends; !errors.Is(end.err, context.Canceled) || end.after > 10*time.Second {
			t.Errorf("the node has died, and the context ended after %v: %v", end.after, end.err)
		}
		if err := <-failed; err == nil {
			t.Error("the dead node has a reply")
		}
	})
}

// codeOf is the code that a client would be told of an error.
func codeOf(err error) string {
	if e := (*component.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// The reply is too large for the link: the caller is told that at once, and does not wait for its
// deadline.
func TestReplyThatCannotBeSentIsAnError(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		a := f.Start(t, "back:1", apptest.Handlers(nil))
		big := make([]byte, 25<<20)
		b := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{
			"B.Big": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response(big) },
		}))
		apptest.Meet(t, m, a, b)
		began := time.Now()
		_, err := nano.Call[[]byte](a.Context(t.Context()), "B.Big", nil)
		if took := time.Since(began); took > time.Second || codeOf(err) != component.CodeExhausted {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// A handler that another node has called returns and never answers. The caller only sees its
// deadline, so the node that has the handler says which it is.
func TestUnansweredCallOfAnotherNodeIsLogged(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		a := f.Start(t, "back:1", apptest.Handlers(nil))
		b := f.Start(t, "back:2", apptest.Handlers(apptest.Funcs{
			"B.Never": func(context.Context, *session.Session, []byte) error { return nil },
			"B.Later": func(ctx context.Context, s *session.Session, _ []byte) error {
				mid := nano.MessageID(ctx)
				time.AfterFunc(100*time.Millisecond, func() { _ = s.ResponseMID(mid, []byte(`"late"`)) })
				return nil
			},
			"B.Twice": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte(`"once"`)) },
		}), nano.WithUnanswered(2*time.Second))
		apptest.Meet(t, m, a, b)
		for route, want := range map[string]string{"B.Later": "late", "B.Twice": "once"} {
			if got, err := nano.Call[string](a.Context(t.Context()), route, nil); err != nil || *got != want {
				t.Errorf("%s: %v", route, err)
			}
		}
		if _, err := nano.Call[string](a.Context(t.Context()), "B.Never", nil); err == nil {
			t.Error("a reply came")
		}
		if lines := b.Log.Lines("request was not answered"); len(lines) != 1 || !strings.Contains(lines[0], "B.Never") {
			t.Errorf("logged: %q", lines)
		}
	})
}
