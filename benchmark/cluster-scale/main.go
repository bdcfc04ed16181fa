//go:build linux

// Command cluster-scale measures a group of very many clients across a cluster: a master, a
// backend that has the group, as many gates as the descriptors of a process make necessary, and as
// many processes that play the clients. All of them run here, on 127.0.x.y.
//
//	go run ./benchmark/cluster-scale                      # 60,000 clients
//	go run ./benchmark/cluster-scale -clients 1000000     # takes 13 GiB, both ends of the connections together
//
// It prints what joining takes; the memory of the servers and of the kernel; the processor time
// while nothing happens but heartbeats; time and processor time of a broadcast to all; and the same
// of a room of some of them, whose messages are merged. Linux only: it reads /proc.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// options are the flags. All processes get the same.
type options struct {
	clients   int
	perGate   int
	atOnce    int
	tcp       bool
	transport string
	heartbeat time.Duration
	payload   int
	rounds    int
	quiet     time.Duration
	room      int
	rate      float64
	talk      time.Duration
	merge     time.Duration
	gogc      int
}

func main() {
	var o options
	flag.IntVar(&o.clients, "clients", 60_000, "clients, of all gates")
	flag.IntVar(&o.perGate, "per-gate", 0, "clients of a gate; 0: as many as it may have descriptors")
	flag.IntVar(&o.atOnce, "at-once", 512, "clients that may be on their way in at one time, of all gates")
	flag.BoolVar(&o.tcp, "tcp", false, "plain TCP instead of WebSocket")
	flag.StringVar(&o.transport, "transport", "", "how gates read and write: \"portable\", or \"\" for the event loop")
	flag.DurationVar(&o.heartbeat, "heartbeat", 30*time.Second, "interval of heartbeats")
	flag.IntVar(&o.payload, "payload", 50, "bytes of a message")
	flag.IntVar(&o.rounds, "rounds", 3, "broadcasts to all")
	flag.DurationVar(&o.quiet, "quiet", 30*time.Second, "how long to measure while nothing happens")
	flag.IntVar(&o.room, "room", 0, "clients in the room; 0: a tenth of all")
	flag.Float64Var(&o.rate, "rate", 20, "messages a second to the room")
	flag.DurationVar(&o.talk, "talk", 10*time.Second, "how long the room gets messages; 0: not at all")
	flag.DurationVar(&o.merge, "merge", time.Second, "how long gates let messages of the room wait for each other")
	flag.IntVar(&o.gogc, "gogc", 25, "GOGC of the nodes: less takes less memory and more time")
	role := flag.String("role", "", "what a process started by this one is: master, backend, gate or load")
	addr := flag.String("addr", "", "of a gate, for load; of the master, for nodes")
	number := flag.Int("number", 0, "of a gate, and of the load for it, from 1")
	flag.Parse()
	var err error
	switch *role {
	case "":
		if o.room == 0 {
			o.room = o.clients / 10
		}
		err = measure(o)
	case "load":
		err = load(o, *addr, *number)
	default:
		err = node(o, *role, *addr, *number)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster-scale:", *role, err)
		os.Exit(1)
	}
}
