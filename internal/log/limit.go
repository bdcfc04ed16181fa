package log

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	every     = time.Second // between two lines of one kind, and of one message once its first lines are used up
	maxEvents = 256         // messages that are told apart: all of them are constants of the code
	maxValue  = 255         // bytes of an attribute that tell kinds apart
	maxText   = 512         // bytes of a value in a line, if it is not the program's own

	debugFirst = 100                   // a debug line stands for one event: each is let through, up to so many at once,
	debugEvery = 10 * time.Millisecond // and then one each
)

// Limiter is a slog handler for lines that anybody outside can cause: a client, a stranger, a
// handler that fails. Records with the same message and the same attributes that tell kinds apart
// are of one kind. The first of each kind is a line at once; then one line a second says how many
// there were ("times"). A message has a number of first lines for all its kinds; when those are
// used up, it has one line a second, for whichever kind ("mixed" if there are more kinds than it
// tells apart). A value whose text has more than 512 bytes is cut, unless it is a stack or tells of
// methods. So neither the lines nor the memory grow with what comes in.
//
// All methods, and the handlers that WithAttrs and WithGroup return, may be used by any number of
// goroutines.
type Limiter struct {
	next  slog.Handler
	state *limiterState
}

// tellsKinds tells which attributes tell the kinds of a message apart, if they are text.
func tellsKinds(key string) bool {
	switch key {
	case "route", "code", "peer", "call", "key":
		return true
	}
	return false
}

// limiterState is shared by a Limiter and those that were made from it.
type limiterState struct {
	first int  // lines of each message that are not counted by the second
	lazy  bool // what is held back is told with the next line of its kind, not by a timer

	flushing sync.Mutex // held while flush runs, so that Stop waits for it; taken before mu

	mu      sync.Mutex
	events  map[event]*history
	timer   *time.Timer // not nil: something is held back
	stopped bool
}

// event is what a line tells of.
type event struct {
	message string
	level   slog.Level
}

// history is what was logged of one event.
type history struct {
	free  time.Time        // when the lines that it has in reserve are all free again
	kinds map[string]*kind // at most first
	rest  kind             // all kinds beyond
}

// kind is what was logged of one kind.
type kind struct {
	until time.Time // no line before
	held  int       // records since the last line
	last  line      // the latest of those
}

// line is a record and where it goes.
type line struct {
	ctx    context.Context // of the record
	to     slog.Handler
	record slog.Record
	times  int
	mixed  bool
}

// NewLimiter returns a Limiter that passes lines on to next. Each message has first lines for its
// kinds.
func NewLimiter(next slog.Handler, first int) *Limiter {
	return &Limiter{next: next, state: &limiterState{first: first, events: make(map[event]*history)}}
}

// NewLazyLimiter is NewLimiter for who is never stopped: it uses no timer. What was held back last
// is told with the next line of its kind.
func NewLazyLimiter(next slog.Handler, first int) *Limiter {
	l := NewLimiter(next, first)
	l.state.lazy = true
	return l
}

// Default returns a logger that passes the limited lines on to what slog.Default is when they come.
func Default() *slog.Logger { return slog.New(NewLazyLimiter(current{}, 20)) }

// Stop tells what is held back. Lines that come later are limited all the same.
func (l *Limiter) Stop() {
	s := l.state
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	s.stopped, s.lazy = true, true
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	var lines []line
	for _, h := range s.events {
		for _, k := range h.kinds {
			lines = k.release(lines, false)
		}
		lines = h.rest.release(lines, true)
	}
	s.mu.Unlock()
	write(lines)
}

// Enabled asks the handler behind.
func (l *Limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// WithAttrs returns a Limiter that shares everything but the attributes.
func (l *Limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Limiter{next: l.next.WithAttrs(attrs), state: l.state}
}

// WithGroup returns a Limiter that shares everything but the group.
func (l *Limiter) WithGroup(name string) slog.Handler {
	return &Limiter{next: l.next.WithGroup(name), state: l.state}
}

// Handle passes the record on, or counts it.
func (l *Limiter) Handle(ctx context.Context, r slog.Record) error {
	now := time.Now()
	var buf [128]byte
	key := appendKind(buf[:0], r)

	s := l.state
	s.mu.Lock()
	h := s.historyLocked(event{r.Message, r.Level})
	k, mixed := h.kinds[string(key)], false
	switch {
	case k != nil:
	case len(h.kinds) < s.first:
		k = new(kind)
		h.kinds[string(key)] = k
	default:
		h.forget(now)
		k, mixed = &h.rest, true
	}
	if (k.until.After(now) && r.Level >= slog.LevelInfo) || !s.takeLocked(h, r.Level, now) {
		k.held++
		k.last = line{ctx: ctx, to: l.next, record: r.Clone()}
		if s.timer == nil && !s.lazy {
			s.timer = time.AfterFunc(every, s.flush)
		}
		s.mu.Unlock()
		return nil
	}
	out := line{ctx: ctx, to: l.next, record: r, times: k.held + 1, mixed: mixed && k.held > 0}
	*k = kind{until: now.Add(every)}
	s.mu.Unlock()
	return out.write()
}

// appendKind appends what tells the record's kind apart from others with its message.
func appendKind(key []byte, r slog.Record) []byte {
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Kind() == slog.KindString && tellsKinds(a.Key) {
			v := a.Value.String()
			key = append(append(key, 0), v[:min(len(v), maxValue)]...)
		}
		return true
	})
	return key
}

func (s *limiterState) historyLocked(e event) *history {
	if h := s.events[e]; h != nil {
		return h
	}
	if len(s.events) >= maxEvents {
		e = event{level: e.level}
		if h := s.events[e]; h != nil {
			return h
		}
	}
	h := &history{kinds: make(map[string]*kind)}
	s.events[e] = h
	return h
}

// takeLocked takes one of the lines that an event has in reserve; one comes back each second.
func (s *limiterState) takeLocked(h *history, level slog.Level, now time.Time) bool {
	first, each := s.first, every
	if level < slog.LevelInfo {
		first, each = debugFirst, debugEvery
	}
	if h.free.Before(now) {
		h.free = now
	}
	free := h.free.Add(each)
	if free.Sub(now) > time.Duration(first)*each {
		return false
	}
	h.free = free
	return true
}

// forget makes room for other kinds.
func (h *history) forget(now time.Time) {
	for key, k := range h.kinds {
		if k.held == 0 && !k.until.After(now) {
			delete(h.kinds, key)
		}
	}
}

// release takes what is held back.
func (k *kind) release(lines []line, mixed bool) []line {
	if k.held == 0 {
		return lines
	}
	out := k.last
	out.times, out.mixed = k.held, mixed && k.held > 1
	k.held, k.last = 0, line{}
	return append(lines, out)
}

// flush tells what is held back and may be told now.
func (s *limiterState) flush() {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	now := time.Now()
	var lines []line
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	left := false
	for e, h := range s.events {
		tell := func(k *kind, mixed bool) {
			if k.held == 0 {
				return
			}
			if k.until.After(now) || !s.takeLocked(h, e.level, now) {
				left = true
				return
			}
			lines = k.release(lines, mixed)
			k.until = now.Add(every)
		}
		tell(&h.rest, true)
		for _, k := range h.kinds {
			tell(k, false)
		}
		h.forget(now)
	}
	s.timer = nil
	if left {
		s.timer = time.AfterFunc(every, s.flush)
	}
	s.mu.Unlock()
	write(lines)
}

// write writes lines on a goroutine that nobody else may lose: a handler of the application's may
// panic.
func write(lines []line) {
	for i := range lines {
		func() {
			defer func() { _ = recover() }()
			_ = lines[i].write() // there is nobody to tell that a log cannot be written
		}()
	}
}

// write passes the record on, with values that are made only for lines.
func (l line) write() error {
	r := slog.NewRecord(l.record.Time, l.record.Level, l.record.Message, l.record.PC)
	l.record.Attrs(func(a slog.Attr) bool {
		r.AddAttrs(slog.Attr{Key: a.Key, Value: cut(a.Key, a.Value.Resolve())})
		return true
	})
	if l.times > 1 {
		r.AddAttrs(slog.Int("times", l.times))
	}
	if l.mixed {
		r.AddAttrs(slog.Bool("mixed", true))
	}
	return l.to.Handle(l.ctx, r)
}

// cut shortens a value with a long text: whoever is outside may have chosen it.
func cut(key string, v slog.Value) slog.Value {
	text := v.String()
	if len(text) <= maxText || key == "stack" || key == "methods" {
		return v
	}
	return slog.StringValue(fmt.Sprintf("%s... (%d bytes more)", text[:maxText], len(text)-maxText))
}

// current passes records on to slog.Default.
type current struct{}

func (current) Enabled(ctx context.Context, l slog.Level) bool {
	return slog.Default().Handler().Enabled(ctx, l)
}

func (current) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

func (current) WithAttrs(attrs []slog.Attr) slog.Handler {
	return slog.Default().Handler().WithAttrs(attrs)
}

func (current) WithGroup(name string) slog.Handler { return slog.Default().Handler().WithGroup(name) }
