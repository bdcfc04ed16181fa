//go:build linux

// Command console measures what the console tells, and what it costs: bots play at two gates and a
// backend, while two consoles are open, as browsers have them. At the end, the sessions and the
// requests of each route that the consoles show are those that the bots have counted. Phases
// without and with the consoles take turns, and the processor time of the nodes for a request is
// compared.
//
//	go run ./benchmark/console                  # 5,000 bots, some three minutes
//	go run ./benchmark/console -bots 500 -for 5s
//
// It fails when the figures differ, and when the consoles cost more than -most percent. Linux only:
// it reads /proc.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// options are the flags. All processes get the same.
type options struct {
	bots   int
	rate   float64
	phase  time.Duration
	settle time.Duration
	rounds int
	most   float64
}

func main() {
	var o options
	flag.IntVar(&o.bots, "bots", 5000, "bots, at both gates together")
	flag.Float64Var(&o.rate, "rate", 1, "requests of each bot, a second")
	flag.DurationVar(&o.phase, "for", 15*time.Second, "how long each phase is measured")
	flag.DurationVar(&o.settle, "settle", 3*time.Second, "how long the nodes have before that")
	flag.IntVar(&o.rounds, "rounds", 4, "phases without the consoles, and as many with them")
	flag.Float64Var(&o.most, "most", 2, "percent of the nodes' processor time that the consoles may cost; 0: any")
	role := flag.String("role", "", "what a process started by this one is: backend, gate or bots")
	addr := flag.String("addr", "", "of the backend, for a gate; of a gate, for bots")
	flag.Parse()
	var err error
	switch *role {
	case "":
		err = measure(o)
	case "bots":
		err = play(o, *addr)
	default:
		err = node(*role, *addr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "console:", *role, err)
		os.Exit(1)
	}
}
