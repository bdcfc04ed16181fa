//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano/benchmark/internal/load"
	"github.com/lonng/nano/benchmark/internal/report"
)

// options are the flags.
type options struct {
	only, subjects, json, svg, from, peer string
	rounds                                int
	duration                              time.Duration
	scale                                 float64
}

// measure runs the rows and shows them.
func measure(o options) error {
	r, err := read(o.from)
	if o.from == "" {
		r, err = collect(o)
	}
	if err != nil {
		return err
	}
	fmt.Println(r.Machine)
	if err := r.Table(os.Stdout); err != nil {
		return err
	}
	return errors.Join(write(o.json, r.JSON), write(o.svg, r.SVG))
}

// read reads the report that an earlier run has written; "" is none.
func read(name string) (*report.Report, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name) //nolint:gosec // the user's
	if err != nil {
		return nil, err
	}
	r := new(report.Report)
	return r, json.Unmarshal(b, r)
}

// write writes a file; "" is none.
func write(name string, what func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name) //nolint:gosec // the user's
	if err != nil {
		return err
	}
	return errors.Join(what(f), f.Close())
}

// collect measures all rows that the options choose.
func collect(o options) (*report.Report, error) {
	peer, clean, err := buildPeer(o.peer)
	if err != nil {
		return nil, err
	}
	defer clean()
	r := &report.Report{Machine: machine(), Date: time.Now().Format(time.DateOnly)}
	var of []subject
	for _, s := range subjects(peer) {
		if o.subjects == "" || slices.Contains(strings.Split(o.subjects, ","), s.name) {
			of = append(of, s)
			r.Subjects = append(r.Subjects, s.name)
		}
	}
	done := make(map[key]figures) // rows that show other figures of the same runs
	for _, row := range rows(o.duration) {
		if !strings.Contains(row.name, o.only) {
			continue
		}
		if o.scale != 1 {
			row.scenario.Clients = max(3, int(float64(row.scenario.Clients)*o.scale))
		}
		line := &report.Row{Name: row.name, Unit: row.unit, More: row.more}
		for round := range o.rounds {
			for _, s := range of { // by turns, so that a change of the machine meets all
				if !s.measures(row) {
					continue
				}
				k := key{s.name, row.scenario, row.kind, round}
				f, ok := done[k]
				if !ok {
					fmt.Fprintf(os.Stderr, "%s: %s (%d of %d)\n", row.name, s.name, round+1, o.rounds)
					f, err = s.run(row)
					if err != nil && s.program != "" { // what another checkout cannot do ends nothing
						r.Failed = append(r.Failed, fmt.Sprintf("%s, %s: %v", row.name, s.name, err))
						continue
					}
					if err != nil {
						return nil, fmt.Errorf("%s, %s: %w", row.name, s.name, err)
					}
					done[k] = f
				}
				others := maps.Clone(f.values)
				delete(others, row.figure)
				line.Add(s.name, f.values[row.figure], others, f.note)
			}
		}
		if len(line.Cells) > 0 {
			r.Rows = append(r.Rows, line)
		}
	}
	return r, nil
}

// key names a run.
type key struct {
	subject  string
	scenario load.Scenario
	kind     string
	round    int
}
