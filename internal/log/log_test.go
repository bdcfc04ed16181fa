package log

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a logger as programs written for v0.5 have them.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Println(v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, strings.TrimSuffix(fmt.Sprintln(v...), "\n"))
}

func (l *lines) Fatal(...any)          { panic("a library ended the process") }
func (l *lines) Fatalf(string, ...any) { panic("a library ended the process") }

// A program's old logger keeps getting lines that a person can read, whatever the code logs with.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		name string
		log  func(l *slog.Logger)
		want string
	}{
		{"info bears no level", func(l *slog.Logger) { l.Info("node started", "name", "a") }, "nano: node started name=a"},
		{"others do", func(l *slog.Logger) { l.Error("failed", "err", errors.New("why")) }, "nano: ERROR failed err=why"},
		{"kinds of values", func(l *slog.Logger) { l.Warn("w", "d", time.Second, "n", 3, "b", true, "nil", nil) }, "nano: WARN w d=1s n=3 b=true nil=<nil>"},
		{"with", func(l *slog.Logger) { l.With("a", 1).With("b", 2).Info("m", "c", 3) }, "nano: m a=1 b=2 c=3"},
		{"group", func(l *slog.Logger) { l.Info("m", slog.Group("g", "a", 1, slog.Group("h", "b", 2))) }, "nano: m g.a=1 g.h.b=2"},
		{"group without a name", func(l *slog.Logger) { l.Info("m", slog.Group("", "a", 1)) }, "nano: m a=1"},
		{"with group", func(l *slog.Logger) { l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").Info("m", "c", 3) }, "nano: m a=1 g.b=2 g.h.c=3"},
		{"with group without a name", func(l *slog.Logger) { l.WithGroup("").Info("m", "c", 3) }, "nano: m c=3"},
		{"empty attribute", func(l *slog.Logger) { l.LogAttrs(context.Background(), slog.LevelInfo, "m", slog.Attr{}) }, "nano: m"},
		{"several words", func(l *slog.Logger) { l.Info("m", "a", "two words", "b", "", "c", "k=v") }, `nano: m a="two words" b="" c="k=v"`},
		{"quotes stay readable", func(l *slog.Logger) { l.Info("m", "err", errors.New(`no "x"; "y"?`)) }, "nano: m err=`no \"x\"; \"y\"?`"},
		{"no forged line", func(l *slog.Logger) { l.Info("m", "route", "a\nnano: ERROR hacked") }, `nano: m route="a\nnano: ERROR hacked"`},
		{"no forged line in quotes", func(l *slog.Logger) { l.Info("m", "route", "\"a\"\r\nnano: b") }, `nano: m route="\"a\"\r\nnano: b"`},
		{"no forged line in a group", func(l *slog.Logger) { l.Info("m", slog.Group("g", "a", "x\ny")) }, `nano: m g.a="x\ny"`},
		{"no forged line with", func(l *slog.Logger) { l.With("a", "x\ny").Info("m") }, `nano: m a="x\ny"`},
		{"no terminal codes", func(l *slog.Logger) { l.Info("m", "a", "\x1b[2J", "b", "\u202e", "c", "\xff") }, `nano: m a="\x1b[2J" b="\u202e" c="\xff"`},
		{"resolved", func(l *slog.Logger) { l.Info("m", "v", late{}) }, "nano: m v=resolved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := new(lines)
			c.log(New(out, slog.LevelInfo))
			if !slices.Equal(out.all, []string{c.want}) {
				t.Errorf("got %q, want %q", out.all, c.want)
			}
		})
	}
}

type late struct{}

func (late) LogValue() slog.Value { return slog.StringValue("resolved") }

func TestLevel(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelError} {
		out := new(lines)
		l := New(out, level)
		want := 0
		for _, at := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			l.Log(context.Background(), at, "m")
			if at >= level {
				want++
			}
		}
		if len(out.all) != want {
			t.Errorf("level %v: %d lines, want %d", level, len(out.all), want)
		}
	}
}

// A logger made with attributes is shared by connections; one's must not show up in another's
// lines.
func TestLoggersDoNotShareAttributes(t *testing.T) {
	out := new(lines)
	base := New(out, slog.LevelInfo).With("node", "a")
	one, two := base.With("session", 1), base.With("session", 2)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { one.Info("m") })
		wg.Go(func() { two.WithGroup("g").Info("m", "k", 1) })
	}
	wg.Wait()
	for _, line := range out.all {
		if line != "nano: m node=a session=1" && line != "nano: m node=a session=2 g.k=1" {
			t.Fatalf("mixed up: %q", line)
		}
	}
	if len(out.all) != 200 {
		t.Errorf("%d lines, want 200", len(out.all))
	}
}
