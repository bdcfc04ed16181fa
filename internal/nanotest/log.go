package nanotest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// Log keeps what is logged. It may be used by any number of goroutines.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// NewLog returns a logger of all levels and where its lines are kept: "LEVEL message key=value
// ...".
func NewLog() (*slog.Logger, *Log) {
	l := new(Log)
	return slog.New(handler{log: l}), l
}

// Lines returns the lines that contain all the words.
func (l *Log) Lines(words ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
lines:
	for _, line := range l.lines {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}

// Has tells whether a line contains all the words.
func (l *Log) Has(words ...string) bool { return len(l.Lines(words...)) > 0 }

type handler struct {
	log   *Log
	attrs string
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s%s", r.Level, r.Message, h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %v", a)
		return true
	})
	h.log.mu.Lock()
	h.log.lines = append(h.log.lines, b.String())
	h.log.mu.Unlock()
	return nil
}

func (h handler) WithAttrs(as []slog.Attr) slog.Handler {
	for _, a := range as {
		h.attrs += " " + a.String()
	}
	return h
}

func (h handler) WithGroup(string) slog.Handler { return h }
