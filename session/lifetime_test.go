package session_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano/session"
)

// OnClosed twice would pay out a player's stake twice.
func TestClosedOnce(t *testing.T) {
	life := session.NewLifetime()
	var closed atomic.Int32
	life.OnClosed(func(*session.Session) { closed.Add(1) })
	s := session.New(nil)
	w := &watcher{}
	s.Observe(w)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { life.Close(s) })
	}
	wg.Wait()
	// Another instance does not close it again.
	session.NewLifetime().Close(s)
	if closed.Load() != 1 || w.closed != 1 {
		t.Errorf("handlers ran %d times and observers %d times, want once", closed.Load(), w.closed)
	}
}

func TestOpenedOnce(t *testing.T) {
	life := session.NewLifetime()
	opened := 0
	life.OnOpened(func(*session.Session) { opened++ })
	s := session.New(nil)
	life.Open(s)
	life.Open(s)
	life.Close(s)
	life.Open(s)
	gone := session.New(nil)
	life.Close(gone)
	life.Open(gone)
	if opened != 1 {
		t.Errorf("OnOpened ran %d times, want once, and not after the end", opened)
	}
}

// The order of the end: handlers still have the session's context and groups.
func TestOrderOfTheEnd(t *testing.T) {
	life := session.NewLifetime()
	s := session.New(nil)
	if err := s.Bind(5); err != nil {
		t.Fatal(err)
	}
	ctx := s.Context()
	w, late := &watcher{}, &watcher{}
	s.Observe(w)
	ran := false
	life.OnClosed(func(s *session.Session) {
		ran = true
		if !s.Closed() || s.UID() != 5 {
			t.Errorf("closed %v, uid %d inside the handler", s.Closed(), s.UID())
		}
		if ctx.Err() != nil || s.Context() != ctx {
			t.Error("the context has ended before the handler could use it")
		}
		if w.closed != 0 {
			t.Error("the observers were told before the handler")
		}
		if err := s.Bind(6); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Bind: %v", err)
		}
		if s.Observe(late) {
			t.Error("a closed session can be observed")
		}
		life.Close(s) // returns at once
	})
	life.Close(s)
	if !ran || ctx.Err() == nil || w.closed != 1 || late.closed != 0 {
		t.Errorf("ran %v, context %v, observer %d, late one %d", ran, ctx.Err(), w.closed, late.closed)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, session.ErrClosed) {
		t.Errorf("cause %v", cause)
	}
}

func TestContextOfAClosedSession(t *testing.T) {
	s := session.New(nil)
	session.NewLifetime().Close(s)
	if cause := context.Cause(s.Context()); !errors.Is(cause, session.ErrClosed) {
		t.Errorf("cause %v", cause)
	}
}

// Work for a client that left ends: it would hold its goroutine otherwise.
func TestContextReleasesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(nil)
		done := false
		go func() {
			<-s.Context().Done()
			done = true
		}()
		synctest.Wait()
		session.NewLifetime().Close(s)
		synctest.Wait()
		if !done {
			t.Error("the work goes on")
		}
	})
}

type panicker struct{}

func (*panicker) SessionBound(*session.Session)  { panic("bound") }
func (*panicker) SessionClosed(*session.Session) { panic("closed") }

// A panic in one handler must not keep the others from saving a player.
func TestHandlersAreShielded(t *testing.T) {
	life := session.NewLifetime()
	var panics []any
	life.OnPanic(func(s *session.Session, v any, stack []byte) {
		if s == nil || !strings.Contains(string(stack), "lifetime_test.go") {
			t.Errorf("report without a session or a stack that leads to the handler:\n%s", stack)
		}
		panics = append(panics, v)
	})
	var ran []string
	for _, name := range []string{"opened", "bound", "closed"} {
		on := map[string]func(session.LifetimeHandler){
			"opened": life.OnOpened, "bound": life.OnBound, "closed": life.OnClosed,
		}[name]
		on(func(*session.Session) { panic(name) })
		on(nil)
		on(func(*session.Session) { ran = append(ran, name) })
	}
	s := session.New(nil)
	s.SetLifetime(life)
	w := &watcher{}
	s.Observe(&panicker{})
	s.Observe(w)
	life.Open(s)
	if err := s.Bind(1); err != nil {
		t.Fatal(err)
	}
	life.Close(s)
	if want := []string{"opened", "bound", "closed"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	if want := []any{"opened", "bound", "bound", "closed", "closed"}; !slices.Equal(panics, want) {
		t.Errorf("reported %v, want %v", panics, want)
	}
	if w.bound != 1 || w.closed != 1 {
		t.Errorf("the second observer was told %d and %d times, want once each", w.bound, w.closed)
	}
}

func TestPanicOfTheReport(t *testing.T) {
	life := session.NewLifetime()
	life.OnPanic(func(*session.Session, any, []byte) { panic("report") })
	life.OnClosed(func(*session.Session) { panic("closed") })
	ran := false
	life.OnClosed(func(*session.Session) { ran = true })
	life.Close(session.New(nil))
	if !ran {
		t.Error("the second handler did not run")
	}
}

var _ *session.Lifetimes = session.Lifetime

// Programs of v0.5 register on the default instance.
func TestDefaultLifetime(t *testing.T) {
	l := session.Lifetime
	s := session.New(nil)
	var bound, closed int
	l.OnBound(func(other *session.Session) {
		if other == s {
			bound++
		}
	})
	l.OnClosed(func(other *session.Session) {
		if other == s {
			closed++
		}
	})
	if err := s.Bind(1); err != nil {
		t.Fatal(err)
	}
	session.Lifetime.Close(s)
	if bound != 1 || closed != 1 {
		t.Errorf("bound %d, closed %d, want once each", bound, closed)
	}
	session.Lifetime.Open(nil)
	session.Lifetime.Bound(nil)
	session.Lifetime.Close(nil)
}

func TestHandlersAddedWhileOthersRun(t *testing.T) {
	life := session.NewLifetime()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				life.OnClosed(func(*session.Session) {})
			}
		})
		wg.Go(func() {
			for range 100 {
				life.Close(session.New(nil))
			}
		})
	}
	wg.Wait()
}

// incomparable would panic where two observers are compared.
type incomparable struct{ _ func() }

func (incomparable) SessionBound(*session.Session)  {}
func (incomparable) SessionClosed(*session.Session) {}

func TestObserve(t *testing.T) {
	life := session.NewLifetime()
	s := session.New(nil)
	a, b := &watcher{}, &watcher{}
	if s.Observe(nil) || s.Observe(incomparable{}) {
		t.Error("observed by what cannot be found again")
	}
	s.Unobserve(nil)
	s.Unobserve(incomparable{})
	s.Unobserve(a)
	if !s.Observe(a) || !s.Observe(b) {
		t.Error("refused")
	}
	if !s.Observe(a) {
		t.Error("refused the second time")
	}
	s.Unobserve(b)
	s.Unobserve(b)
	life.Close(s)
	if a.closed != 1 || b.closed != 0 {
		t.Errorf("told %d and %d times, want the one that stayed once", a.closed, b.closed)
	}
	s.Unobserve(a)
}

// An observer leaves from inside, as a group that empties itself does.
func TestUnobserveFromInside(t *testing.T) {
	s := session.New(nil)
	w := &leaver{}
	s.Observe(w)
	session.NewLifetime().Close(s)
	if w.closed != 1 {
		t.Errorf("told %d times", w.closed)
	}
}

type leaver struct{ closed int }

func (l *leaver) SessionBound(*session.Session)    {}
func (l *leaver) SessionClosed(s *session.Session) { l.closed++; s.Unobserve(l) }
