//go:build linux

package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/lonng/nano/benchmark/internal/server"
	"github.com/lonng/nano/internal/child"
)

// subject is a server that is measured.
type subject struct {
	name      string
	floor     bool
	cluster   bool
	transport string
	program   string // of another checkout; "" for this program
}

// subjects returns the columns of the table.
func subjects(peer string) []subject {
	all := []subject{{name: "floor", floor: true}}
	for _, t := range server.Transports() {
		name := t
		if t == "loop" {
			name = "event loop"
		}
		all = append(all, subject{name: name, transport: t})
	}
	all = append(all, subject{name: "cluster", cluster: true})
	if peer != "" {
		all = append(all, subject{name: "peer", program: peer}, subject{name: "peer's cluster", program: peer, cluster: true})
	}
	return all
}

// measures tells whether the row has a value for the subject.
func (s subject) measures(r row) bool {
	switch {
	case s.floor:
		return !r.alone
	case s.cluster:
		return !r.alone && r.kind == "" && (s.program == "" || !r.noPeer)
	}
	return s.program == "" || !r.noPeer
}

// servers are the processes of a subject, and where its clients go.
type servers struct {
	all  []*child.Process
	addr string
}

func (s *servers) stop() {
	for _, p := range slices.Backward(s.all) {
		p.Stop()
	}
}

// start starts the servers of a subject for a row.
func (s subject) start(r row) (up *servers, err error) {
	tries := 1
	if s.program != "" {
		tries = 5 // a node of v0.5 sometimes ends itself while it starts
	}
	for range tries {
		if up, err = s.startOnce(r); err == nil {
			break
		}
	}
	return up, err
}

func (s subject) startOnce(r row) (*servers, error) {
	up := new(servers)
	begin := func(c server.Config) (string, error) {
		p, err := s.launch(c)
		if err != nil {
			return "", err
		}
		up.all = append(up.all, p)
		w, err := p.Words("serves")
		if err != nil || len(w) == 0 {
			return "", fmt.Errorf("%s does not say where it serves: %w", p.Name, err)
		}
		return w[0], nil
	}
	config := server.Config{Role: "single", WebSocket: r.scenario.WebSocket, Transport: s.transport, Merge: r.merge}
	roles := []string{"single"}
	if s.cluster {
		roles = []string{"master", "backend", "gate"}
	}
	for _, role := range roles {
		config.Role = role
		at, err := begin(config)
		if err != nil {
			up.stop()
			return nil, err
		}
		if role == "master" {
			config.Master = at
		}
		up.addr = at
	}
	for _, p := range up.all {
		if _, err := p.Words("knows"); err != nil {
			up.stop()
			return nil, err
		}
	}
	return up, nil
}

func (s subject) launch(c server.Config) (*child.Process, error) {
	name := s.name + ", " + c.Role
	switch {
	case s.floor:
		return child.Start(name, "floor", "-floor-websocket="+strconv.FormatBool(c.WebSocket))
	case s.program != "":
		return child.StartProgram(name, s.program, c.Args()...)
	}
	return child.Start(name, "server", c.Args()...)
}

// allocations returns how many objects the servers have allocated so far.
func (s *servers) allocations() (sum float64, err error) {
	for _, p := range s.all {
		if _, err := fmt.Fprintln(p.Stdin, "stats"); err != nil {
			return 0, err
		}
		w, err := p.Words("stats")
		if err != nil || len(w) == 0 {
			return 0, fmt.Errorf("%s gives no figures: %w", p.Name, err)
		}
		n, _ := strconv.ParseFloat(w[0], 64)
		sum += n
	}
	return sum, nil
}
