package session

import (
	"cmp"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/lonng/nano/internal/log"
)

// LifetimeHandler is called at one moment in the life of a session. The handlers of one moment run
// one after the other, in the order in which they were added.
type LifetimeHandler func(*Session)

// Lifetime is the default instance: its handlers are called for the sessions of all nodes that
// have no instance of their own.
var Lifetime = NewLifetime()

// Lifetimes holds the handlers for the moments of a session's life: opened, bound, suspended,
// resumed, closed. Its methods may be called from any goroutine. A handler that is added while
// handlers run is called from the next time on. A panic of a handler costs that handler only. The
// zero value is ready.
type Lifetimes struct {
	mu sync.RWMutex
	// Only ever appended to, so that a reader may keep the slice it saw.
	opened, bound, suspended, resumed, closed []LifetimeHandler
	panicked                                  func(s *Session, v any, stack []byte)
	log                                       *slog.Logger // nil: other

	otherOnce sync.Once
	other     *slog.Logger // limited in its rate; made for the first panic
}

// NewLifetime returns an instance without handlers, for one node.
func NewLifetime() *Lifetimes { return new(Lifetimes) }

// OnOpened adds a handler for sessions whose handshake is done. A node runs it on its scheduler,
// before the calls of the session's messages there.
func (l *Lifetimes) OnOpened(h LifetimeHandler) { l.add(&l.opened, h) }

// OnBound adds a handler for sessions that were bound to another uid than before. It runs on the
// goroutine that called Bind.
func (l *Lifetimes) OnBound(h LifetimeHandler) { l.add(&l.bound, h) }

// OnSuspended adds a handler for sessions that have lost their connection, and wait for their
// client to come back: see nano.WithResume. Such a session is open as before: what is pushed to it
// is kept. A node runs the handler on its scheduler, as OnClosed handlers.
func (l *Lifetimes) OnSuspended(h LifetimeHandler) { l.add(&l.suspended, h) }

// OnResumed adds a handler for sessions whose client has come back on a new connection. A node runs
// it on its scheduler, before the calls of the messages that the client sends then. It also runs
// for a client whose former connection was not known to be lost, so that there was no OnSuspended.
// In a cluster it runs as well on the gate that the session has left for another one, and on
// backends after a gap: nano.GateOf says where the client is.
func (l *Lifetimes) OnResumed(h LifetimeHandler) { l.add(&l.resumed, h) }

// OnClosed adds a handler for the end of sessions. When it runs, the session still has its uid, its
// values and its groups, and its context has not ended; but it cannot be bound or join a group any
// more. [Session.CloseReason] says why the session ended.
//
// A node runs the handler on its scheduler, after the calls that were queued there before the end.
// The scheduler of a component may still have calls of the session in its queue: a task that the
// handler pushes there runs after them.
func (l *Lifetimes) OnClosed(h LifetimeHandler) { l.add(&l.closed, h) }

// OnPanic sets the function that is called after a panic of a handler, with the panic's value and
// stack. The default, also for nil, logs an error, at most one per second, as LogTo says.
func (l *Lifetimes) OnPanic(f func(s *Session, v any, stack []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.panicked = f
}

// LogTo sets the log for the panics of handlers. A node calls it at its start with its own log; the
// last call wins. Default: [slog.Default].
func (l *Lifetimes) LogTo(to *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = to
}

func (l *Lifetimes) add(to *[]LifetimeHandler, h LifetimeHandler) {
	if h == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	*to = append(*to, h)
}

func (l *Lifetimes) handlers(of *[]LifetimeHandler) []LifetimeHandler {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return *of
}

// Open runs the OnOpened handlers. The network entity's owner calls it: a second call, and a call
// for a closed session, has no effect.
func (l *Lifetimes) Open(s *Session) {
	if s != nil && s.advance(phaseOpen) {
		l.run(&l.opened, s)
	}
}

// Bound runs the OnBound handlers. [Session.Bind] calls it.
func (l *Lifetimes) Bound(s *Session) {
	if s != nil {
		l.run(&l.bound, s)
	}
}

// Suspend runs the OnSuspended handlers, unless the session has ended. The network entity's owner
// calls it.
func (l *Lifetimes) Suspend(s *Session) {
	if s != nil && !s.Closed() {
		l.run(&l.suspended, s)
	}
}

// Resume runs the OnResumed handlers, unless the session has ended. The network entity's owner
// calls it.
func (l *Lifetimes) Resume(s *Session) {
	if s != nil && !s.Closed() {
		l.run(&l.resumed, s)
	}
}

// Close ends the life of s: from now on it cannot be bound or observed. Close runs the OnClosed
// handlers, ends the context, and tells the observers. The network entity's owner calls it, after
// the connection has ended. It may be called again and from several goroutines: the first call
// does all of it, and the others return at once.
func (l *Lifetimes) Close(s *Session) {
	if s == nil || !s.advance(phaseClosing) {
		return
	}
	l.run(&l.closed, s)
	s.end(l)
}

func (l *Lifetimes) run(of *[]LifetimeHandler, s *Session) {
	for _, h := range l.handlers(of) {
		l.shield(s, h)
	}
}

// shield calls h and keeps its panic from whoever comes after it.
func (l *Lifetimes) shield(s *Session, h LifetimeHandler) {
	defer func() {
		if v := recover(); v != nil {
			l.report(s, v, debug.Stack())
		}
	}()
	h(s)
}

func (l *Lifetimes) report(s *Session, v any, stack []byte) {
	l.mu.RLock()
	f, to := l.panicked, l.log
	l.mu.RUnlock()
	l.otherOnce.Do(func() { l.other = log.Default() })
	defer func() {
		if again := recover(); again != nil {
			logPanic(l.other, s, v, stack)
			logPanic(l.other, s, again, debug.Stack())
		}
	}()
	if f == nil {
		logPanic(cmp.Or(to, l.other), s, v, stack)
		return
	}
	f(s, v, stack)
}

func logPanic(to *slog.Logger, s *Session, v any, stack []byte) {
	to.Error("lifetime handler panicked",
		"session", s.ID(), "uid", s.UID(), "panic", v, "stack", string(stack))
}
