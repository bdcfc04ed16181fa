//go:build linux

// Command benchmark prints what this project's figures are on your machine: processor time of the
// server for a request and for a delivery of a broadcast, how long answers take, memory of a quiet
// connection, and more. It measures several servers by turns:
//
//   - the floor: the wire protocol with no framework behind it;
//   - portable, and the event loop: one node with that transport;
//   - cluster: a master, a gate and a backend, all together;
//   - peer: the same program on another checkout of the API, with -peer.
//
// Servers and clients are processes of their own on 127.0.0.1, and end with it.
//
//	go run ./benchmark                             # some minutes
//	go run ./benchmark -only echo -rounds 3
//	go run ./benchmark -json out.json -svg out.svg
//	go run ./benchmark -peer "$(go mod download -json github.com/lonng/nano@v0.5.0 | jq -r .Dir)"
//
// docs/performance.md says what each figure means. Linux only: it reads /proc.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/lonng/nano/benchmark/internal/floor"
	"github.com/lonng/nano/benchmark/internal/load"
	"github.com/lonng/nano/benchmark/internal/server"
)

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "measure only the rows that have this in their names")
	flag.StringVar(&o.subjects, "subjects", "", "measure only these, separated by commas; empty: all")
	flag.IntVar(&o.rounds, "rounds", 1, "how often each is measured: the table has the medians")
	flag.DurationVar(&o.duration, "d", 2*time.Second, "how long each row lasts")
	flag.Float64Var(&o.scale, "scale", 1, "part of the connections of each row, for a small machine")
	flag.StringVar(&o.json, "json", "", "write the figures to this file, too")
	flag.StringVar(&o.svg, "svg", "", "draw them in this file, too")
	flag.StringVar(&o.from, "from", "", "measure nothing, and show what an earlier run has written by -json")
	flag.StringVar(&o.peer, "peer", "", "folder of another checkout of the API to measure beside")
	role := flag.String("role", "", "what a process started by this one is: floor, server or load")
	websocket := flag.Bool("floor-websocket", false, "the floor takes WebSockets")
	var s load.Scenario
	s.Flags(flag.CommandLine)
	var c server.Config
	c.Flags(flag.CommandLine)
	flag.Parse()
	var err error
	switch *role {
	case "":
		err = measure(o)
	case "load":
		err = load.Run(&s)
	case "floor":
		err = runFloor(*websocket)
	default:
		err = server.Run(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", *role, err)
		os.Exit(1)
	}
}

func runFloor(websocket bool) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("serves", l.Addr())
	fmt.Println("knows all")
	server.Obey()
	return floor.Serve(l, websocket)
}
