//go:build linux

package main

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/benchmark/internal/load"
	"github.com/lonng/nano/benchmark/internal/server"
)

// The test's binary is what the benchmark starts as its servers and clients.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-role" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Each way of measuring runs for a moment, with servers and clients as processes of their own.
func TestRowsRun(t *testing.T) {
	for _, c := range []struct{ only, subjects string }{
		{"echo raw tcp, 1 in flight", "floor,cluster"},
		{"echo raw ws, 8 in flight", "floor"},
		{"merged broadcast ws", ""},
		{"full speed", ""},
		{"joins and leaves", ""},
		{"beside 10 rooms", ""},
		{"quiet ws, 9,000 that made a request", "floor," + subjects("")[1].name},
	} {
		t.Run(c.only, func(t *testing.T) {
			r, err := collect(options{only: c.only, subjects: c.subjects, rounds: 1, duration: 200 * time.Millisecond, scale: 0.02})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Rows) == 0 {
				t.Fatal("no such row")
			}
			for _, row := range r.Rows {
				for _, s := range r.Subjects {
					cell := row.Cells[s]
					if cell == nil && c.subjects != "" {
						t.Errorf("%s: nothing of %s", row.Name, s)
					}
					if cell != nil && (cell.Value <= 0 && row.Unit != perConn || len(cell.Notes) > 0) {
						t.Errorf("%s, %s: %v %v", row.Name, s, cell.Value, cell.Notes)
					}
				}
			}
		})
	}
}

// Rows that share a name would overwrite each other in what programs read.
func TestRowsAreDistinct(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows(time.Second) {
		if names[r.name] || r.figure == "" || r.unit == "" || r.scenario.Clients == 0 {
			t.Errorf("row %q is there twice, or misses something", r.name)
		}
		names[r.name] = true
	}
}

// What a process is told arrives there whole.
func TestFlagsCarryEverything(t *testing.T) {
	s := load.Scenario{
		What: "broadcast", Addr: "127.0.0.1:1", WebSocket: true, Batch: true, Clients: 7, Duration: time.Minute,
		Route: "Bench.Echo", Depth: 3, Count: 9, Rate: 1.5, Burst: 4, Window: 2, Warm: true,
	}
	var got load.Scenario
	f := flag.NewFlagSet("", flag.ContinueOnError)
	got.Flags(f)
	if err := f.Parse(s.Args()); err != nil || got != s {
		t.Errorf("%v: %+v is not %+v", err, got, s)
	}
	c := server.Config{Role: "gate", Master: "127.0.0.1:2", WebSocket: true, Transport: "portable", Merge: time.Second}
	var back server.Config
	f = flag.NewFlagSet("", flag.ContinueOnError)
	back.Flags(f)
	if err := f.Parse(c.Args()); err != nil || back != c {
		t.Errorf("%v: %+v is not %+v", err, back, c)
	}
}

func TestPeerMustBeACheckout(t *testing.T) {
	if _, _, err := buildPeer(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no checkout") {
		t.Errorf("a folder without a module: %v", err)
	}
	if program, clean, err := buildPeer(""); program != "" || err != nil {
		t.Errorf("without a folder: %q, %v", program, err)
	} else {
		clean()
	}
}
