//go:build linux

// Package load is the clients of a benchmark: connections that make requests, speak, and count what
// they get. It speaks the wire protocol and knows nothing of servers.
package load

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Scenario is what the clients do.
type Scenario struct {
	What      string // echo, broadcast, quiet, rooms, churn: see [Run]
	Addr      string
	WebSocket bool
	Batch     bool // accept several packets in one WebSocket message
	Clients   int
	Duration  time.Duration

	Route string // of an echo: Bench.Raw or Bench.Echo
	Depth int    // requests that each client has in flight

	Count  int     // of broadcasts
	Rate   float64 // of broadcasts, a second; 0: as fast as they come back
	Burst  int     // broadcasts that are sent at once, Rate times a second
	Window int     // broadcasts that may be under way, at full speed; 0: many
	Warm   bool    // quiet clients make one request first
}

// Flags adds a flag for each field.
func (s *Scenario) Flags(f *flag.FlagSet) {
	f.StringVar(&s.What, "load", "", "what the clients do")
	f.StringVar(&s.Addr, "addr", "", "of the server that they connect to")
	f.BoolVar(&s.WebSocket, "websocket", false, "by WebSocket")
	f.BoolVar(&s.Batch, "batch", false, "accept several packets in one WebSocket message")
	f.IntVar(&s.Clients, "clients", 1, "connections")
	f.DurationVar(&s.Duration, "for", time.Second, "how long they do it")
	f.StringVar(&s.Route, "route", "Bench.Raw", "of requests")
	f.IntVar(&s.Depth, "depth", 1, "requests in flight on each connection")
	f.IntVar(&s.Count, "count", 0, "broadcasts")
	f.Float64Var(&s.Rate, "rate", 0, "broadcasts a second; 0: at full speed")
	f.IntVar(&s.Burst, "burst", 1, "broadcasts that are sent at once")
	f.IntVar(&s.Window, "window", 0, "broadcasts under way at full speed; 0: many")
	f.BoolVar(&s.Warm, "warm", false, "quiet connections make one request first")
}

// Args returns the flags that give s.
func (s *Scenario) Args() []string {
	return []string{
		"-load", s.What, "-addr", s.Addr, fmt.Sprint("-websocket=", s.WebSocket), fmt.Sprint("-batch=", s.Batch),
		"-clients", strconv.Itoa(s.Clients), "-for", s.Duration.String(), "-route", s.Route, "-depth", strconv.Itoa(s.Depth),
		"-count", strconv.Itoa(s.Count), "-rate", fmt.Sprint(s.Rate), "-burst", strconv.Itoa(s.Burst),
		"-window", strconv.Itoa(s.Window), fmt.Sprint("-warm=", s.Warm),
	}
}

// Run connects the clients, prints "ready", waits for a line on the standard input, does the work,
// and prints "done" with a [Result] as JSON.
//
//   - echo: each client has Depth requests in flight, for Duration.
//   - broadcast: all join one room, and the first one speaks.
//   - churn: the same, while the server has members leave and join again, for Duration.
//   - quiet: the clients say nothing, until the input ends.
//   - rooms: ten rooms of which each gets Rate broadcasts a second, until the input ends.
func Run(s *Scenario) error {
	switch s.What {
	case "quiet":
		return s.quiet()
	case "rooms":
		return s.rooms()
	case "echo", "broadcast", "churn":
	default:
		return fmt.Errorf("load: nothing is known of %q", s.What)
	}
	all := make([]*conn, s.Clients)
	for i := range all {
		c, err := dial(s.Addr, s.WebSocket, s.Batch)
		if err != nil {
			return fmt.Errorf("load: client %d: %w", i, err)
		}
		all[i] = c
		if s.What != "echo" {
			if _, err := c.call(1, "Bench.Join", message{N: 1}.encode()); err != nil {
				return fmt.Errorf("load: client %d: join: %w", i, err)
			}
		}
	}
	fmt.Println("ready")
	if !bufio.NewScanner(os.Stdin).Scan() {
		return nil
	}
	work := map[string]func([]*conn) (Result, error){"echo": s.echo, "broadcast": s.broadcast, "churn": s.churn}
	r, err := work[s.What](all)
	if err != nil {
		return fmt.Errorf("load: %s: %w", s.What, err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Printf("done %s\n", b)
	return nil
}
