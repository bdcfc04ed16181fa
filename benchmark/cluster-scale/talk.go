//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/lonng/nano/internal/child"
)

// expect tells the clients of each gate how many messages they will get.
func (c *cluster) expect(of []int, messages int) error {
	for i, p := range c.loads {
		if of[i] == 0 {
			continue
		}
		if _, err := fmt.Fprintf(p.Stdin, "expect %d\n", of[i]*messages); err != nil {
			return err
		}
		if _, err := p.Words("expects"); err != nil {
			return err
		}
	}
	return nil
}

// heard waits until all have got what they expect, and returns when the last one had.
func (c *cluster) heard(of []int) (last time.Time, err error) {
	for i, p := range c.loads {
		if of[i] == 0 {
			continue
		}
		w, err := p.Words("heard")
		if err != nil {
			return last, err
		}
		ns, _ := strconv.ParseInt(w[0], 10, 64)
		if at := time.Unix(0, ns); at.After(last) {
			last = at
		}
		if w[1] != "0" {
			return last, fmt.Errorf("%s: %s have lost their connection", p.Name, w[1])
		}
	}
	return last, nil
}

// broadcastAll measures broadcasts to all clients, one after the other.
func (c *cluster) broadcastAll() error {
	var times, handler []time.Duration
	before, ofBackend := child.CPU(c.nodes), c.backend.CPU()
	for range c.o.rounds {
		if err := c.expect(c.gates, 1); err != nil {
			return err
		}
		if _, err := io.WriteString(c.backend.Stdin, "all\n"); err != nil {
			return err
		}
		w, err := c.backend.Words("shouted")
		if err != nil {
			return err
		}
		begun, _ := strconv.ParseInt(w[0], 10, 64)
		within, _ := strconv.ParseInt(w[1], 10, 64)
		last, err := c.heard(c.gates)
		if err != nil {
			return err
		}
		times, handler = append(times, last.Sub(time.Unix(0, begun))), append(handler, time.Duration(within))
	}
	n := time.Duration(max(c.o.rounds, 1))
	used, ofBackend := (child.CPU(c.nodes)-before)/n, (c.backend.CPU()-ofBackend)/n
	slices.Sort(times)
	slices.Sort(handler)
	if len(times) == 0 {
		return nil
	}
	fmt.Printf("one broadcast of %d bytes to all: the last client has it after %v (median of %d; at most %v)\n",
		c.o.payload, times[len(times)/2].Round(time.Millisecond), len(times), times[len(times)-1].Round(time.Millisecond))
	fmt.Printf("  processor time of all servers %v, %.2f µs a delivery; of the backend %v, of its handler %v\n",
		used.Round(time.Millisecond), used.Seconds()*1e6/float64(c.o.clients), ofBackend.Round(100*time.Microsecond), handler[len(handler)/2].Round(time.Microsecond))
	return nil
}

// talk measures messages to the room.
func (c *cluster) talk() error {
	of := share(c.o.room, c.gates)
	messages := int(c.o.rate * c.o.talk.Seconds())
	if err := c.expect(of, messages); err != nil {
		return err
	}
	before := child.CPU(c.nodes)
	if _, err := fmt.Fprintf(c.backend.Stdin, "room %d %v\n", messages, c.o.rate); err != nil {
		return err
	}
	w, err := c.backend.Words("talks")
	if err != nil {
		return err
	}
	ns, _ := strconv.ParseInt(w[0], 10, 64)
	last, err := c.heard(of)
	if err != nil {
		return err
	}
	used, took := child.CPU(c.nodes)-before, last.Sub(time.Unix(0, ns))
	deliveries := float64(c.o.room) * float64(messages)
	fmt.Printf("%v messages a second of %d bytes to a room of %d, merged within %v: %d messages, all arrived within %v\n",
		c.o.rate, c.o.payload, c.o.room, c.o.merge, messages, took.Round(time.Millisecond))
	fmt.Printf("  processor time of all servers: %.0f %% of a core, %.3f µs a delivery, %.0f deliveries a second\n",
		used.Seconds()/took.Seconds()*100, used.Seconds()*1e6/deliveries, deliveries/took.Seconds())
	return nil
}
