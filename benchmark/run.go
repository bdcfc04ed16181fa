//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lonng/nano/benchmark/internal/load"
	"github.com/lonng/nano/internal/child"
)

// figures are what a run gives, by name, and a note of what must not be overlooked.
type figures struct {
	values map[string]float64
	note   string
}

// run measures a row once.
func (s subject) run(r row) (f figures, err error) {
	if s.floor && r.single {
		r.scenario.Burst, r.scenario.Rate = 1, r.scenario.Rate*float64(r.scenario.Burst)
	}
	up, err := s.start(r)
	if err != nil {
		return f, err
	}
	defer up.stop()
	switch r.kind {
	case "quiet":
		return up.quiet(r)
	case "heartbeats":
		return up.heartbeats(r)
	case "beside":
		return up.beside(r)
	}
	return up.work(r.scenario)
}

// begin starts a load and waits until all its clients are in.
func (s *servers) begin(c load.Scenario) (*child.Process, error) {
	c.Addr = s.addr
	l, err := child.Start("load", "load", c.Args()...)
	if err != nil {
		return nil, err
	}
	if _, err := l.Words("ready"); err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// work measures a load while it works.
func (s *servers) work(c load.Scenario) (f figures, err error) {
	l, err := s.begin(c)
	if err != nil {
		return f, err
	}
	defer l.Stop()
	objects, err := s.allocations()
	if err != nil {
		return f, err
	}
	before := child.CPU(s.all)
	r, err := goAndWait(l)
	if err != nil {
		return f, err
	}
	used := child.CPU(s.all) - before
	after, err := s.allocations()
	if err != nil {
		return f, err
	}
	n := float64(max(r.Messages, 1))
	f.values = map[string]float64{
		"cpu": used.Seconds() * 1e6 / n, "allocs": (after - objects) / n, "rate": r.PerSecond,
		"p50": r.P50, "p99": r.P99, "p999": r.P999, "rss": child.Memory(s.all),
	}
	if r.Lost > 0 {
		f.note = fmt.Sprintf("%d messages were lost or came in another order", r.Lost)
	}
	return f, nil
}

// goAndWait has a load begin, and waits for its result.
func goAndWait(l *child.Process) (r load.Result, err error) {
	if _, err := io.WriteString(l.Stdin, "go\n"); err != nil {
		return r, err
	}
	w, err := l.Words("done")
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal([]byte(strings.Join(w, " ")), &r)
}

// quiet measures the memory of connections that say nothing.
func (s *servers) quiet(r row) (f figures, err error) {
	empty := child.Memory(s.all)
	l, err := s.begin(r.scenario)
	if err != nil {
		return f, err
	}
	defer l.Stop()
	time.Sleep(2 * time.Second) // until what the handshakes have left is collected
	full := child.Memory(s.all)
	f.values = map[string]float64{"memory": (full - empty) / float64(r.scenario.Clients), "rss": full, "rss_empty": empty}
	return f, nil
}

// heartbeatTime is how long heartbeats are measured: each connection has two of them.
const heartbeatTime = time.Minute

// heartbeats measures the processor time of connections that say nothing else.
func (s *servers) heartbeats(r row) (f figures, err error) {
	l, err := s.begin(r.scenario)
	if err != nil {
		return f, err
	}
	defer l.Stop()
	time.Sleep(2 * time.Second)
	before, begun := child.CPU(s.all), time.Now()
	time.Sleep(heartbeatTime)
	used, took := child.CPU(s.all)-before, time.Since(begun)
	f.values = map[string]float64{"busy": used.Seconds() / took.Seconds() * 100, "rss": child.Memory(s.all)}
	return f, nil
}

// beside measures an echo alone, and beside rooms that are spoken to.
func (s *servers) beside(r row) (f figures, err error) {
	rooms, err := s.begin(load.Scenario{What: "rooms", Clients: scaled(10_000, r.scenario.Clients, 50), Rate: 20})
	if err != nil {
		return f, err
	}
	defer rooms.Stop()
	echo := func() (load.Result, error) {
		l, err := s.begin(r.scenario)
		if err != nil {
			return load.Result{}, err
		}
		defer l.Stop()
		return goAndWait(l)
	}
	alone, err := echo()
	if err != nil {
		return f, err
	}
	if _, err := io.WriteString(rooms.Stdin, "go\n"); err != nil {
		return f, err
	}
	time.Sleep(500 * time.Millisecond) // until they are at it
	beside, err := echo()
	if err != nil {
		return f, err
	}
	if err := rooms.Stdin.Close(); err != nil {
		return f, err
	}
	w, err := rooms.Words("delivered")
	if err != nil || len(w) < 2 {
		return f, fmt.Errorf("the rooms: %w", err)
	}
	rate, _ := strconv.ParseFloat(w[1], 64)
	f.values = map[string]float64{
		"slower": beside.P99 / max(alone.P99, 1), "p99": beside.P99, "p99_alone": alone.P99, "p50": beside.P50, "deliveries": rate,
	}
	if w[0] != "0" {
		f.note = w[0] + " members have lost their connection"
	}
	return f, nil
}

// scaled returns the part of n that is of all.
func scaled(n, of, all int) int { return max(1, n*of/all) }
