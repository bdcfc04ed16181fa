//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// progress shows how far a thing has come, on the standard error: on one line that is written anew
// where that is a terminal, else on a line every ten seconds.
type progress struct {
	what     string
	total    int
	begun    time.Time
	shown    time.Time
	terminal bool
}

func newProgress(what string, total int) *progress {
	now := time.Now()
	p := &progress{what: what, total: total, begun: now, shown: now}
	if info, err := os.Stderr.Stat(); err == nil {
		p.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progress) show(n int) {
	every := 10 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	begin, end := "", "\n"
	if p.terminal {
		begin, end = "\r", "   "
	}
	const width = 30
	done := n * width / max(p.total, 1)
	took := time.Since(p.begun)
	rest := "-"
	if n > 0 {
		rest = (took * time.Duration(p.total-n) / time.Duration(n)).Round(time.Second).String()
	}
	fmt.Fprintf(os.Stderr, "%s%s [%s%s] %d of %d, %.0f a second, %s left%s", begin, p.what,
		strings.Repeat("#", done), strings.Repeat(".", width-done), n, p.total, float64(n)/max(took.Seconds(), 0.001), rest, end)
}

// end clears the line.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(os.Stderr, "\r", strings.Repeat(" ", 100), "\r")
	}
}
