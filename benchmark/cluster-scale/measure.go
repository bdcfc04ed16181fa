//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/lonng/nano/internal/child"
)

// measure runs the whole and prints it.
func measure(o options) error {
	gates, err := plan(o.clients, o.perGate, descriptors())
	if err != nil {
		return err
	}
	if need, have := float64(o.clients)*perPair/1024, takeMemory(nil).available; need > have {
		return fmt.Errorf("%d clients need %.1f GiB for both ends, and %.1f are free", o.clients, need/(1<<20), have/(1<<20))
	}
	c := &cluster{o: o, gates: gates}
	defer c.stop()
	fmt.Printf("%d clients at %d gates, %s, heartbeats every %v, GOGC=%d\n", o.clients, len(gates), transportName(o), o.heartbeat, o.gogc)
	if err := c.start(); err != nil {
		return err
	}
	empty := takeMemory(c.nodes)
	fmt.Printf("empty: %d server processes have %.0f MiB, %.0f with shared pages counted once\n", len(c.nodes), empty.rss/1024, empty.pss/1024)
	if err := c.join(); err != nil {
		return err
	}
	if err := c.measureQuiet(empty); err != nil {
		return err
	}
	if err := c.broadcastAll(); err != nil {
		return err
	}
	if o.talk > 0 {
		return c.talk()
	}
	return nil
}

func transportName(o options) string {
	name := "WebSocket"
	if o.tcp {
		name = "TCP"
	}
	if o.transport != "" {
		name += ", " + o.transport
	}
	return name
}

// cluster is the processes.
type cluster struct {
	o     options
	gates []int // clients of each

	nodes   []*child.Process // master, backend, gates
	backend *child.Process
	doors   []string // of the gates
	loads   []*child.Process
}

// stop ends all processes, at the same time: a million farewells one after the other take long.
func (c *cluster) stop() {
	all := slices.Concat(c.loads, c.nodes)
	for _, p := range all {
		_ = p.Stdin.Close()
	}
	for _, p := range all {
		p.Stop()
	}
}

// flags are those that all processes get.
func (c *cluster) flags(more ...string) []string {
	return append([]string{
		"-payload", strconv.Itoa(c.o.payload), "-tcp=" + strconv.FormatBool(c.o.tcp), "-transport", c.o.transport,
		"-heartbeat", c.o.heartbeat.String(), "-merge", c.o.merge.String(), "-gogc", strconv.Itoa(c.o.gogc),
	}, more...)
}

func (c *cluster) begin(name, role string, more ...string) (*child.Process, []string, error) {
	p, err := child.Start(name, role, c.flags(more...)...)
	if err != nil {
		return nil, nil, err
	}
	c.nodes = append(c.nodes, p)
	w, err := p.Words("serves")
	return p, w, err
}

// start starts the nodes, and waits until the backend knows all of them.
func (c *cluster) start() error {
	_, at, err := c.begin("master", "master")
	if err != nil {
		return err
	}
	if c.backend, _, err = c.begin("backend", "backend", "-addr", at[0]); err != nil {
		return err
	}
	for i := range c.gates {
		_, w, err := c.begin(fmt.Sprint("gate ", i+1), "gate", "-addr", at[0], "-number", strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		c.doors = append(c.doors, w[1])
	}
	for range 600 {
		if _, err := io.WriteString(c.backend.Stdin, "members\n"); err != nil {
			return err
		}
		w, err := c.backend.Words("members")
		if err != nil {
			return err
		}
		if w[0] == strconv.Itoa(len(c.nodes)-1) {
			c.settle()
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the nodes have not found each other within a minute")
}

// settle waits until the nodes have little to do, because all links between them are up.
func (c *cluster) settle() {
	for range 30 {
		before := child.CPU(c.nodes)
		time.Sleep(time.Second)
		if used := child.CPU(c.nodes) - before; used < time.Duration(len(c.nodes))*10*time.Millisecond {
			return
		}
	}
}

// join has all clients connect and join, and shows how far that is.
func (c *cluster) join() error {
	before, bar := child.CPU(c.nodes), newProgress("joining", c.o.clients)
	type news struct {
		load, ready int
		done        bool
		err         error
	}
	told := make(chan news)
	shares := share(c.o.room, c.gates)
	for i, door := range c.doors {
		p, err := child.Start(fmt.Sprint("clients of gate ", i+1), "load", c.flags("-addr", door, "-number", strconv.Itoa(i+1),
			"-clients", strconv.Itoa(c.gates[i]), "-room", strconv.Itoa(shares[i]), "-at-once", strconv.Itoa(max(1, c.o.atOnce/len(c.doors))))...)
		if err != nil {
			return err
		}
		c.loads = append(c.loads, p)
		go func() {
			for {
				what, n, err := p.Count()
				told <- news{i, n, what == "joined", err}
				if err != nil || what == "joined" {
					return
				}
			}
		}()
	}
	ready := make([]int, len(c.loads))
	for left := len(c.loads); left > 0; {
		n := <-told
		if n.err != nil {
			return n.err
		}
		if n.done {
			left--
		}
		ready[n.load] = n.ready
		sum := 0
		for _, r := range ready {
			sum += r
		}
		bar.show(sum)
	}
	bar.end()
	took := time.Since(bar.begun)
	fmt.Printf("joined within %v: %.0f a second, %.0f µs of the servers' processor time each\n", took.Round(10*time.Millisecond),
		float64(c.o.clients)/took.Seconds(), (child.CPU(c.nodes)-before).Seconds()*1e6/float64(c.o.clients))
	return nil
}

// measureQuiet measures memory, and processor time while nothing happens but heartbeats.
func (c *cluster) measureQuiet(empty memory) error {
	time.Sleep(5 * time.Second) // until what joining has left is collected
	before, begun := child.CPU(c.nodes), time.Now()
	time.Sleep(c.o.quiet)
	used, took := child.CPU(c.nodes)-before, time.Since(begun)
	takeMemory(c.nodes).show(empty, c.o.clients)
	fmt.Printf("quiet, for %v: %.1f %% of a core, all servers together\n", c.o.quiet, used.Seconds()/took.Seconds()*100)
	return nil
}
