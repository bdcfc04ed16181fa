package cluster

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lonng/nano/internal/log"
)

// How much a [LogRing] keeps.
const (
	DefaultLogLines = 500
	maxLogLine      = 8 << 10   // bytes of one line
	maxLogBytes     = 512 << 10 // of all lines
)

// LogLine is one line that was logged.
type LogLine struct {
	N     uint64    `json:"n"` // counts the lines of the ring, from 1
	Time  time.Time `json:"time"`
	Level string    `json:"level"` // DEBUG, INFO, WARN, ERROR, as slog writes it
	Text  string    `json:"text"`  // the message, then key=value pairs
}

// LogRing is a slog handler that passes all it gets on to another one and keeps the last lines as
// text, for a console. Each node keeps its own lines. An application that logs to a LogRing, and
// gives the same logger to nano.WithSlog, has its lines beside them. It keeps a bounded number of
// lines and bytes. All methods may be called from any goroutine.
type LogRing struct {
	next  slog.Handler
	texts slog.Handler // makes the texts
	kept  *keptLines
}

// NewLogRing returns a LogRing that passes lines on to next, and keeps the last ones: at most
// lines of them, [DefaultLogLines] for 0, and no more than half a megabyte.
func NewLogRing(next slog.Handler, lines int) *LogRing {
	if lines <= 0 {
		lines = DefaultLogLines
	}
	return &LogRing{next: next, texts: log.New(nil, slog.LevelDebug).Handler(), kept: &keptLines{most: lines}}
}

// ringOf returns what keeps the lines for h: itself, or one before it.
func ringOf(h slog.Handler) *LogRing {
	if ring, ok := h.(*LogRing); ok {
		return ring
	}
	return NewLogRing(h, 0)
}

// Lines returns the kept lines with a number above after, the oldest first.
func (r *LogRing) Lines(after uint64) []LogLine { return r.kept.since(after) }

// Enabled asks the handler behind.
func (r *LogRing) Enabled(ctx context.Context, level slog.Level) bool {
	return r.next.Enabled(ctx, level)
}

// Handle keeps the line and passes it on.
func (r *LogRing) Handle(ctx context.Context, rec slog.Record) error {
	text := log.Text(r.texts, rec) // under no lock: values of the application may log while they make their text
	r.kept.keep(rec, text)
	return r.next.Handle(ctx, rec)
}

// WithAttrs returns a handler that keeps its lines in the same ring.
func (r *LogRing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &LogRing{next: r.next.WithAttrs(attrs), texts: r.texts.WithAttrs(attrs), kept: r.kept}
}

// WithGroup returns a handler that keeps its lines in the same ring.
func (r *LogRing) WithGroup(name string) slog.Handler {
	return &LogRing{next: r.next.WithGroup(name), texts: r.texts.WithGroup(name), kept: r.kept}
}

// keptLines are the lines of a ring and of those that were made from it.
type keptLines struct {
	most int

	mu    sync.Mutex
	lines []LogLine // the oldest first
	bytes int
	n     uint64
}

// keep keeps the line of a record.
func (k *keptLines) keep(rec slog.Record, text string) {
	text = strings.TrimPrefix(text, "nano: ")
	if rec.Level != slog.LevelInfo {
		text = strings.TrimPrefix(text, rec.Level.String()+" ")
	}
	if len(text) > maxLogLine {
		text = strings.ToValidUTF8(text[:maxLogLine], "") + "…"
	}
	at := rec.Time
	if _, err := at.MarshalText(); err != nil { // a record of the application's own making, of the year 10000
		at = time.Time{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	k.bytes += len(text)
	k.lines = append(k.lines, LogLine{N: k.n, Time: at, Level: rec.Level.String(), Text: strings.Clone(text)})
	drop := max(0, len(k.lines)-k.most)
	for i := range k.lines {
		if i >= drop && k.bytes <= maxLogBytes {
			break
		}
		drop = max(drop, i+1)
		k.bytes -= len(k.lines[i].Text)
	}
	if drop > 0 {
		k.lines = slices.Delete(k.lines, 0, drop)
	}
}

func (k *keptLines) since(after uint64) []LogLine {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, l := range k.lines {
		if l.N > after {
			return slices.Clone(k.lines[i:])
		}
	}
	return nil
}
