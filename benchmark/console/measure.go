//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lonng/nano/console"
	"github.com/lonng/nano/internal/child"
)

// patience is how long the consoles may take to show what is true.
const patience = time.Minute

// trial is the nodes and the bots.
type trial struct {
	o     options
	nodes []*child.Process // the backend, which is the master, and two gates
	gates []string         // their addresses for clients
	bots  []*child.Process // of each gate
	each  []int            // how many these are
}

// measure runs the whole and prints it.
func measure(o options) error {
	t := &trial{o: o, each: []int{o.bots / 2, o.bots - o.bots/2}}
	defer t.stop()
	if err := t.start(); err != nil {
		return err
	}
	fmt.Printf("%d bots at 2 gates, %.0f requests a second\n", o.bots, float64(o.bots)*o.rate)
	if err := t.tellBots("play", "plays"); err != nil {
		return err
	}
	cost, err := t.compare()
	if err != nil {
		return err
	}
	counted, err := t.count("rest")
	if err != nil {
		return err
	}
	for _, gate := range t.gates {
		if err := t.agrees(gate, counted); err != nil {
			return fmt.Errorf("the console at %s: %w", gate, err)
		}
	}
	fmt.Printf("both consoles show what the bots have counted: %d sessions, %v\n", o.bots, counted)
	if o.most > 0 && cost > o.most {
		return fmt.Errorf("two consoles cost %.2f %% of the nodes' processor time, more than %v %%", cost, o.most)
	}
	return nil
}

func (t *trial) start() error {
	backend, w, err := t.begin("backend")
	if err != nil {
		return err
	}
	t.nodes = append(t.nodes, backend)
	for range 2 {
		gate, at, err := t.begin("gate", "-addr", w[0])
		if err != nil {
			return err
		}
		t.nodes = append(t.nodes, gate)
		t.gates = append(t.gates, at[1])
	}
	for i, gate := range t.gates {
		b, err := child.Start("bots of gate "+strconv.Itoa(i+1), "bots", "-addr", gate, "-bots", strconv.Itoa(t.each[i]), "-rate", fmt.Sprint(t.o.rate))
		if err != nil {
			return err
		}
		t.bots = append(t.bots, b)
	}
	for _, b := range t.bots {
		if _, err := b.Words("in"); err != nil {
			return err
		}
	}
	return nil
}

// begin starts a node, and returns what it says of itself.
func (t *trial) begin(role string, more ...string) (*child.Process, []string, error) {
	p, err := child.Start(role, role, more...)
	if err != nil {
		return nil, nil, err
	}
	w, err := p.Words("serves")
	return p, w, err
}

// stop ends all processes.
func (t *trial) stop() {
	for _, p := range append(t.bots, t.nodes...) {
		p.Stop()
	}
}

// tellBots writes a line to all bots, which answer with a word.
func (t *trial) tellBots(line, answer string) error {
	for _, b := range t.bots {
		if _, err := io.WriteString(b.Stdin, line+"\n"); err != nil {
			return err
		}
		if _, err := b.Words(answer); err != nil {
			return err
		}
	}
	return nil
}

// count asks all bots for what they have counted: now, or when they rest.
func (t *trial) count(how string) (counts, error) {
	for _, b := range t.bots {
		if _, err := io.WriteString(b.Stdin, how+"\n"); err != nil {
			return nil, err
		}
	}
	sum := make(counts)
	for _, b := range t.bots {
		w, err := b.Words("counted")
		if err != nil {
			return nil, err
		}
		var c counts
		if err := json.Unmarshal([]byte(strings.Join(w, " ")), &c); err != nil {
			return nil, err
		}
		for route, n := range c {
			sum[route] += n
		}
	}
	return sum, nil
}

func (c counts) total() (n uint64) {
	for _, m := range c {
		n += m
	}
	return n
}

// phase is what was measured in one.
type phase struct {
	cpu      time.Duration
	requests uint64
}

func (p phase) perRequest() float64 { return float64(p.cpu) / float64(p.requests) / 1e3 }

// compare measures phases without and with two consoles by turns, and returns what the consoles
// cost, in percent.
func (t *trial) compare() (cost float64, err error) {
	var sums [2]phase
	for range t.o.rounds {
		for with := range sums {
			p, err := t.measurePhase(with == 1)
			if err != nil {
				return 0, err
			}
			fmt.Printf("%-16s %8.2f µs of the nodes' processor time a request, %d requests\n",
				[]string{"no console", "two consoles"}[with], p.perRequest(), p.requests)
			sums[with].cpu += p.cpu
			sums[with].requests += p.requests
		}
	}
	cost = (sums[1].perRequest()/sums[0].perRequest() - 1) * 100
	fmt.Printf("two consoles cost %.2f %%\n", cost)
	return cost, nil
}

// measurePhase measures one phase.
func (t *trial) measurePhase(consoles bool) (p phase, err error) {
	if consoles {
		for i, view := range []string{"nodes", "routes"} {
			s, err := open(t.gates[i], view)
			if err != nil {
				return p, err
			}
			defer s.close()                          //nolint:revive // both are open until the phase ends
			if _, _, err := s.after(1); err != nil { // it is under way
				return p, err
			}
		}
	}
	time.Sleep(t.o.settle)
	before, err := t.count("count")
	if err != nil {
		return p, err
	}
	cpu := child.CPU(t.nodes)
	for end := time.Now().Add(patience); ; { // on a machine that is busy, a short phase may pass without an answer
		time.Sleep(t.o.phase)
		p.cpu = child.CPU(t.nodes) - cpu
		after, err := t.count("count")
		if err != nil {
			return p, err
		}
		if p.requests = after.total() - before.total(); p.requests > 0 {
			return p, nil
		}
		if time.Now().After(end) {
			return p, errors.New("the bots got no answers")
		}
	}
}

// agrees waits until the console of a gate shows the bots, and what they have counted.
func (t *trial) agrees(gate string, counted counts) error {
	s, err := open(gate, "routes")
	if err != nil {
		return err
	}
	defer s.close()
	differs := errors.New("it has shown nothing yet")
	for end, n := time.Now().Add(patience), 0; differs != nil && time.Now().Before(end); {
		var o *console.Overview
		if o, n, err = s.after(n); err != nil {
			return err
		}
		differs = t.differs(o, counted)
	}
	return differs
}

// differs says what an overview shows that is not so.
func (t *trial) differs(o *console.Overview, counted counts) error {
	if len(o.Nodes) != len(t.nodes) || o.Total.Sessions != t.o.bots {
		return fmt.Errorf("%d nodes with %d sessions, want %d with %d", len(o.Nodes), o.Total.Sessions, len(t.nodes), t.o.bots)
	}
	for i, gate := range t.gates {
		for _, n := range o.Nodes {
			if len(n.Clients) > 0 && n.Clients[0] == gate && n.Sessions != t.each[i] {
				return fmt.Errorf("%d sessions at gate %s, want %d", n.Sessions, gate, t.each[i])
			}
		}
	}
	shown := make(counts)
	for _, r := range o.Routes {
		shown[r.Name] = r.Messages
		if r.Failed > 0 {
			return fmt.Errorf("%d requests of %s failed", r.Failed, r.Name)
		}
	}
	for route, n := range counted {
		if shown[route] != n {
			return fmt.Errorf("%d requests of %s, and the bots have counted %d", shown[route], route, n)
		}
	}
	return nil
}
