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
	"testing/synctest"
	"time"
)

// limited returns a logger behind a Limiter with first lines for each message, and what it writes.
func limited(t *testing.T, first int) (*slog.Logger, *lines) {
	t.Helper()
	out := new(lines)
	l := NewLimiter(New(out, slog.LevelDebug).Handler(), first)
	t.Cleanup(l.Stop)
	return slog.New(l), out
}

func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// Whoever writes a program sees each mistake at once, and how often it happens, but never a flood.
func TestLimiterTellsTheFirstAndThenCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limited(t, 20)
		for range 1000 {
			log.Warn("refused", "route", "a", "code", "x")
			log.Warn("refused", "route", "a", "code", "y")
			log.Warn("refused", "route", "b", "code", "x")
		}
		want := []string{"nano: WARN refused route=a code=x", "nano: WARN refused route=a code=y", "nano: WARN refused route=b code=x"}
		if got := out.take(); !slices.Equal(got, want) {
			t.Fatalf("at once: %q", got)
		}
		time.Sleep(every)
		synctest.Wait()
		got := out.take()
		slices.Sort(got)
		for i := range want {
			want[i] += " times=999"
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("after a second: %q", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := out.take(); len(got) != 0 {
			t.Errorf("later, with nothing to tell: %q", got)
		}
		log.Warn("refused", "route", "a", "code", "x")
		if got := out.take(); len(got) != 1 || strings.Contains(got[0], "times") {
			t.Errorf("a minute later: %q", got)
		}
	})
}

// Routes come from outside: with a new one in each message, neither the lines nor the memory grow,
// and all are counted.
func TestLimiterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limited(t, 20)
		const seconds, each = 30, 1000
		for i := range seconds * each {
			log.Warn("refused", "route", fmt.Sprint("r", i), "err", errors.New("no"))
			if i%each == each-1 {
				time.Sleep(time.Second)
			}
		}
		log.Handler().(*Limiter).Stop()
		got := out.take()
		if len(got) > 20+seconds+20 {
			t.Errorf("%d lines in %d seconds", len(got), seconds)
		}
		total := 0
		for _, line := range got {
			n := 1
			if i := strings.Index(line, "times="); i >= 0 {
				if _, err := fmt.Sscanf(line[i:], "times=%d", &n); err != nil {
					t.Fatal(err)
				}
			}
			total += n
		}
		if total != seconds*each {
			t.Errorf("the lines count %d of %d", total, seconds*each)
		}
		for _, h := range log.Handler().(*Limiter).state.events {
			if len(h.kinds) > 20 {
				t.Errorf("%d kinds are kept", len(h.kinds))
			}
		}
	})
}

func TestLimiterBoundsMessages(t *testing.T) {
	log, _ := limited(t, 5)
	for i := range 10 * maxEvents {
		log.Info(fmt.Sprint("message ", i))
	}
	if n := len(log.Handler().(*Limiter).state.events); n > maxEvents+1 {
		t.Errorf("%d messages are kept", n)
	}
}

// Who debugs sees every event, as long as they are few.
func TestLimiterLetsDebugLinesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limited(t, 5)
		for range 50 {
			log.Debug("connection ended")
		}
		if got := out.take(); len(got) != 50 {
			t.Errorf("%d of 50 lines", len(got))
		}
		for range 10000 {
			log.Debug("connection ended")
		}
		if got := out.take(); len(got) > debugFirst {
			t.Errorf("a flood of %d lines", len(got))
		}
	})
}

// What a line costs to make is spent only on lines.
func TestLimiterMakesValuesForLinesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limited(t, 5)
		made := 0
		for range 100 {
			log.Warn("refused", "why", counted{&made})
		}
		if made != 1 || !slices.Equal(out.take(), []string{"nano: WARN refused why=made"}) {
			t.Errorf("made %d times", made)
		}
	})
}

// Names, addresses and errors come from outside, and may be long: a line is not, and says how much
// it leaves out. A stack is the program's own.
func TestLimiterCutsLongValues(t *testing.T) {
	long := strings.Repeat("x", maxText+7)
	cut := long[:maxText] + "... (7 bytes more)"
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"method", long[:maxText], long[:maxText]},
		{"method", long, cut},
		{"err", errors.New(long), cut},
		{"err", lazy(long), cut},
		{"services", []string{long[:maxText/2], long[:maxText]}, "[" + strings.Repeat("x", maxText/2) + " " + strings.Repeat("x", maxText/2-2) + "... (259 bytes more)"},
		{"stack", long, long},
		{"n", 7, "7"},
	} {
		log, out := limited(t, 5)
		log.Warn("m", c.key, c.value)
		got := strings.Trim(strings.TrimPrefix(out.take()[0], "nano: WARN m "+c.key+"="), "\"\n\t")
		if got != c.want {
			t.Errorf("%s=%.20v: the line says %q", c.key, c.value, got)
		}
	}
}

type lazy string

func (l lazy) LogValue() slog.Value { return slog.StringValue(string(l)) }

type counted struct{ n *int }

func (c counted) LogValue() slog.Value { *c.n++; return slog.StringValue("made") }

// After Stop nothing is logged from a timer: a test's log, or an application's, may be closed.
func TestLimiterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limited(t, 5)
		log.Warn("m")
		log.Warn("m")
		log.Handler().(*Limiter).Stop()
		if got := out.take(); len(got) != 2 {
			t.Errorf("at the stop: %q", got)
		}
		log.Warn("m")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := out.take(); len(got) != 0 {
			t.Errorf("after the stop: %q", got)
		}
	})
}

// A handler of the application's that panics, called by the timer, must not end the process.
func TestLimiterSurvivesItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &panics{}
		l := NewLimiter(h, 5)
		defer l.Stop()
		log := slog.New(l)
		log.Warn("m")
		h.now = true
		log.Warn("m")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if h.calls != 2 {
			t.Errorf("%d calls, want 2", h.calls)
		}
	})
}

type panics struct {
	now   bool
	calls int
}

func (p *panics) Enabled(context.Context, slog.Level) bool { return true }
func (p *panics) Handle(context.Context, slog.Record) error {
	p.calls++
	if p.now {
		panic("no log")
	}
	return nil
}
func (p *panics) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p *panics) WithGroup(string) slog.Handler      { return p }

func TestLimiterFromManyGoroutines(t *testing.T) {
	log, out := limited(t, 20)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mine := log.With("n", i)
			for j := range 1000 {
				mine.Warn("m", "route", fmt.Sprint(j%40))
			}
		})
	}
	wg.Wait()
	if n := len(out.take()); n == 0 || n > 40 {
		t.Errorf("%d lines", n)
	}
}
