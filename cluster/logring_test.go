package cluster_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/internal/nanotest"
)

// A console shows the last lines as they were logged; the log itself has all of them.
func TestLogRingKeepsTheLastLines(t *testing.T) {
	logger, all := nanotest.NewLog()
	ring := cluster.NewLogRing(logger.Handler(), 3)
	log := slog.New(ring)
	if got := ring.Lines(0); len(got) != 0 {
		t.Errorf("an empty ring has %v", got)
	}
	log.Info("one", "a", 1)
	log.With("node", "x").WithGroup("g").Warn("two", "b", "two words")
	log.Error("three")
	log.Info("four")
	var got []string
	for _, l := range ring.Lines(0) {
		got = append(got, fmt.Sprint(l.N, " ", l.Level, " ", l.Text))
		if l.Time.IsZero() {
			t.Errorf("line %d has no time", l.N)
		}
	}
	if want := `2 WARN two node=x g.b="two words"|3 ERROR three|4 INFO four`; strings.Join(got, "|") != want {
		t.Errorf("the ring has %q", got)
	}
	if after := ring.Lines(3); len(after) != 1 || after[0].Text != "four" {
		t.Errorf("after line 3 come %v", after)
	}
	if after := ring.Lines(4); len(after) != 0 {
		t.Errorf("after the last line come %v", after)
	}
	if !all.Has("one") || !all.Has("four") {
		t.Errorf("passed on was %q", all.Lines())
	}
}

// Lines that clients can make long, and any number of lines, take a bounded room.
func TestLogRingIsBounded(t *testing.T) {
	ring := cluster.NewLogRing(slog.NewTextHandler(io.Discard, nil), 1000)
	log := slog.New(ring)
	for range 200 {
		log.Info("long", "x", strings.Repeat("ä", 1<<16))
	}
	bytes := 0
	lines := ring.Lines(0)
	for _, l := range lines {
		bytes += len(l.Text)
	}
	if bytes > 512<<10 || len(lines) < 10 {
		t.Errorf("the ring keeps %d bytes in %d lines", bytes, len(lines))
	}
}

// talkative is a value that logs while it makes its text, as one that looks something up may.
type talkative struct{ log *slog.Logger }

func (v talkative) LogValue() slog.Value {
	v.log.Info("looked up")
	return slog.StringValue("found")
}

// A value of the application's may log while a line is made of it: the node would stand still with
// the first goroutine that logs one.
func TestLogRingTakesValuesThatLog(t *testing.T) {
	logger, _ := nanotest.NewLog()
	ring := cluster.NewLogRing(logger.Handler(), 0)
	log := slog.New(ring)
	done := make(chan struct{})
	go func() {
		defer close(done)
		log.Info("line", "v", talkative{log})
	}()
	select {
	case <-done:
	case <-time.After(nanotest.Patience):
		t.Fatal("the line is not logged yet")
	}
	if lines := ring.Lines(0); len(lines) == 0 || lines[len(lines)-1].Text != "line v=found" {
		t.Errorf("the ring has %v", lines)
	}
}

// One record with a time that JSON does not have would keep all lines of the node from its
// consoles.
func TestLogRingTakesEachTime(t *testing.T) {
	ring := cluster.NewLogRing(slog.DiscardHandler, 0)
	rec := slog.NewRecord(time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC), slog.LevelInfo, "line", 0)
	if err := ring.Handle(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(ring.Lines(0)); err != nil || !strings.Contains(string(b), `"line"`) {
		t.Errorf("the lines are %s, %v", b, err)
	}
}
