// Command cost measures what nano costs: processor time of all server processes for each request and each delivery of a
// broadcast, memory for each idle connection, and whether a burst arrives whole; on one node, and on a cluster of a
// master, a gate and a backend. The clients are a process of their own, whose time does not count.
//
//	go run ./benchmark/cost
//	go run ./benchmark/cost -only cluster -d 10s
//
// Processor time is what to compare: rates and latencies say as much of the machine and of what else it does. Linux only.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lonng/nano/internal/child"
)

// row is one line of the table: what the clients do to which servers.
type row struct {
	name      string
	cluster   bool
	websocket bool
	load      string // of load.go
	clients   int
	depth     int     // requests in flight on each connection
	rate      float64 // broadcasts a second
}

var rows = []row{
	{"echo, TCP, 8 in flight", false, false, "echo", 50, 8, 0},
	{"echo, TCP, 1 in flight", false, false, "echo", 50, 1, 0},
	{"echo, WebSocket, 8 in flight", false, true, "echo", 50, 8, 0},
	{"broadcast, TCP, 1,000 members, 50/s", false, false, "broadcast", 1000, 0, 50},
	{"broadcast, WebSocket, 1,000 members, 50/s", false, true, "broadcast", 1000, 0, 50},
	{"broadcast, TCP, 1,000 members, 20/s", false, false, "broadcast", 1000, 0, 20},
	{"idle, TCP, 5,000 connections", false, false, "idle", 5000, 0, 0},
	{"idle, WebSocket, 5,000 connections", false, true, "idle", 5000, 0, 0},
	{"burst of 10,000 pushes", false, false, "burst", 1, 0, 0},
	{"cluster: echo, TCP, 8 in flight", true, false, "echo", 50, 8, 0},
	{"cluster: echo, TCP, 1 in flight", true, false, "echo", 50, 1, 0},
	{"cluster: broadcast, TCP, 1,000 members, 20/s", true, false, "broadcast", 1000, 0, 20},
	{"cluster: burst of 10,000 pushes", true, false, "burst", 1, 0, 0},
}

func main() {
	only := flag.String("only", "", "measure only the rows that have this in their names")
	duration := flag.Duration("d", 3*time.Second, "how long each row lasts")
	rounds := flag.Int("rounds", 3, "how often each is measured: the table has the medians")
	role := flag.String("role", "", "what a process started by this one is: single, master, backend, gate or load")
	addr := flag.String("addr", "", "of the master, for nodes; of the clients' endpoint, for load")
	what := flag.String("load", "", "what load does")
	clients := flag.Int("clients", 1, "connections of load")
	depth := flag.Int("depth", 1, "requests in flight on each")
	rate := flag.Float64("rate", 1, "broadcasts a second")
	websocket := flag.Bool("websocket", false, "by WebSocket")
	flag.Parse()
	var err error
	switch *role {
	case "":
		err = measure(*only, *duration, *rounds)
	case "load":
		err = load(&scenario{*what, *addr, *websocket, *clients, *depth, *rate, *duration})
	default:
		err = node(*role, *addr, *websocket)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cost:", *role, err)
		os.Exit(1)
	}
}

// figure is what a run of a row gave.
type figure struct {
	value float64 // in unit
	unit  string
	notes string
}

func measure(only string, d time.Duration, rounds int) error {
	fmt.Printf("%-46s %12s  %-16s %s\n", "work", "median", "", "of one of the runs")
	for _, r := range rows {
		if !strings.Contains(r.name, only) {
			continue
		}
		var all []figure
		for range rounds {
			f, err := run(r, d)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			all = append(all, f)
		}
		slices.SortFunc(all, func(a, b figure) int { return int((a.value - b.value) * 1e6) })
		f := all[len(all)/2]
		fmt.Printf("%-46s %12.2f  %-16s %s\n", r.name, f.value, f.unit, f.notes)
	}
	return nil
}

// run measures one row once.
func run(r row, d time.Duration) (f figure, err error) {
	var nodes []*child.Process
	defer func() {
		for _, p := range slices.Backward(nodes) {
			p.Stop()
		}
	}()
	begin := func(role string, args ...string) ([]string, error) {
		p, err := child.Start(role, role, append(args, "-websocket="+strconv.FormatBool(r.websocket))...)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, p)
		return p.Words("serves")
	}
	var door string
	if r.cluster {
		at, err := begin("master")
		if err != nil {
			return f, err
		}
		if _, err := begin("backend", "-addr", at[0]); err != nil {
			return f, err
		}
		if at, err = begin("gate", "-addr", at[0]); err != nil {
			return f, err
		}
		door = at[1]
		for _, p := range nodes { // the gate is the last that anybody hears of
			if _, err := p.Words("knows"); err != nil {
				return f, err
			}
		}
	} else {
		at, err := begin("single")
		if err != nil {
			return f, err
		}
		door = at[0]
	}

	empty := child.Memory(nodes)
	l, err := child.Start("load", "load", "-addr", door, "-load", r.load, "-clients", strconv.Itoa(r.clients), "-depth", strconv.Itoa(r.depth),
		"-rate", strconv.FormatFloat(r.rate, 'f', -1, 64), "-d", d.String(), "-websocket="+strconv.FormatBool(r.websocket))
	if err != nil {
		return f, err
	}
	defer l.Stop()
	if _, err := l.Words("ready"); err != nil {
		return f, err
	}
	if r.load == "idle" {
		time.Sleep(time.Second) // until what the handshakes have left is collected
		return figure{(child.Memory(nodes) - empty) / float64(r.clients), "KiB each", ""}, nil
	}
	before := child.CPU(nodes)
	if _, err := l.Stdin.Write([]byte("go\n")); err != nil {
		return f, err
	}
	w, err := l.Words("done")
	if err != nil {
		return f, err
	}
	used := child.CPU(nodes) - before
	n, _ := strconv.Atoi(w[0])
	f.notes = strings.Join(w[1:], " ")
	if r.load == "burst" {
		f.value, f.unit = float64(n), "arrived, in order"
		return f, nil
	}
	f.value, f.unit = used.Seconds()*1e6/float64(n), "µs a request"
	if r.load == "broadcast" {
		f.unit = "µs a delivery"
	}
	return f, nil
}
