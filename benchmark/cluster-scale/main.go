// Command cluster-scale measures one large group across a cluster: a master, a backend and several gates as processes
// of their own, and as many processes that play the clients. It prints what joining takes, what a broadcast takes, and
// how much memory each node has.
//
//	go run ./benchmark/cluster-scale                      # 6 gates, 60,000 clients
//	go run ./benchmark/cluster-scale -gates 2 -clients 2000
//
// Every process needs descriptors for its clients (ulimit -n). Linux only: it reads /proc.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/child"
)

func main() {
	gates := flag.Int("gates", 6, "gates")
	clients := flag.Int("clients", 60000, "clients, of all gates")
	rounds := flag.Int("rounds", 20, "broadcasts")
	payload := flag.Int("payload", 128, "bytes of a broadcast")
	role := flag.String("role", "", "what a process started by this one is: master, backend, gate or load")
	addr := flag.String("addr", "", "of a gate, for load; of the master, for nodes")
	flag.Parse()
	var err error
	switch *role {
	case "":
		err = measure(*gates, *clients, *rounds, *payload)
	case "load":
		err = load(*addr, *clients, *payload)
	default:
		err = node(*role, *addr, *payload)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster-scale:", *role, err)
		os.Exit(1)
	}
}

// measure runs the whole and prints it.
func measure(gates, clients, rounds, payload int) error {
	var all []*child.Process
	defer func() {
		for _, p := range slices.Backward(all) {
			p.Stop()
		}
	}()
	begin := func(name, role string, args ...string) (*child.Process, []string, error) {
		p, err := child.Start(name, role, append(args, "-payload", strconv.Itoa(payload))...)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, p)
		w, err := p.Words("serves")
		return p, w, err
	}
	master, where, err := begin("master", "master")
	if err != nil {
		return err
	}
	backend, _, err := begin("backend", "backend", "-addr", where[0])
	if err != nil {
		return err
	}
	nodes := []*child.Process{master, backend}
	var doors []string
	for i := range gates {
		g, w, err := begin(fmt.Sprint("gate ", i+1), "gate", "-addr", where[0])
		if err != nil {
			return err
		}
		nodes = append(nodes, g)
		doors = append(doors, w[1])
	}
	time.Sleep(time.Second) // until the last gate is in all lists
	empty := make([]float64, len(nodes))
	for i, p := range nodes {
		empty[i] = p.Memory() / 1024
	}

	before, since := child.CPU(nodes), time.Now()
	var loads []*child.Process
	each := clients / gates
	for i, door := range doors {
		p, err := child.Start(fmt.Sprint("clients of gate ", i+1), "load", "-addr", door, "-clients", strconv.Itoa(each), "-payload", strconv.Itoa(payload))
		if err != nil {
			return err
		}
		all = append(all, p)
		loads = append(loads, p)
	}
	for _, p := range loads {
		if _, err := p.Words("joined"); err != nil {
			return err
		}
	}
	clients = each * gates
	took := time.Since(since)
	fmt.Printf("%d clients at %d gates joined one group in %v: %.0f joins a second, %.0f µs of the nodes' processor time each\n",
		clients, gates, took.Round(10*time.Millisecond), float64(clients)/took.Seconds(), (child.CPU(nodes)-before).Seconds()*1e6/float64(clients))

	var times, handler []time.Duration
	before = child.CPU(nodes)
	ofBackend := backend.CPU()
	for range rounds {
		if _, err := io.WriteString(backend.Stdin, "shout\n"); err != nil {
			return err
		}
		w, err := backend.Words("shouted")
		if err != nil {
			return err
		}
		begun, _ := strconv.ParseInt(w[0], 10, 64)
		within, _ := strconv.ParseInt(w[1], 10, 64)
		handler = append(handler, time.Duration(within))
		var last int64
		for _, p := range loads {
			w, err := p.Words("heard")
			if err != nil {
				return err
			}
			at, _ := strconv.ParseInt(w[0], 10, 64)
			last = max(last, at)
		}
		times = append(times, time.Duration(last-begun))
	}
	used := (child.CPU(nodes) - before) / time.Duration(rounds)
	ofBackend = (backend.CPU() - ofBackend) / time.Duration(rounds)
	slices.Sort(times)
	slices.Sort(handler)
	fmt.Printf("a broadcast of %d bytes to all of them, %d times: the last client has it after %v (median; at most %v); %v in the backend's handler\n",
		payload, rounds, times[rounds/2].Round(time.Millisecond), times[rounds-1].Round(time.Millisecond), handler[rounds/2].Round(time.Microsecond))
	fmt.Printf("processor time of a broadcast, all nodes together: %v, %.1f µs a delivery; of the backend: %v\n",
		used.Round(time.Millisecond), used.Seconds()*1e6/float64(clients), ofBackend.Round(100*time.Microsecond))
	fmt.Printf("\n%-10s %10s %12s %14s\n", "node", "memory", "when empty", "a client")
	for i, p := range nodes {
		m, of := p.Memory()/1024, each
		if p == backend {
			of = clients
		}
		each := "-"
		if p != master {
			each = fmt.Sprintf("%.1f KiB", (m-empty[i])*1024/float64(of))
		}
		fmt.Printf("%-10s %6.0f MiB %8.0f MiB %14s\n", p.Name, m, empty[i], each)
	}
	return nil
}

// load plays n clients of a gate: all join, and then count what is pushed.
func load(addr string, n, payload int) error {
	joined, heard, failed := make(chan struct{}, n), make(chan struct{}, n), make(chan error, n)
	slots := make(chan struct{}, 64) // connections being made at the same time
	for range n {
		slots <- struct{}{}
		go func() {
			err := client(addr, payload, func() {
				<-slots
				joined <- struct{}{}
			}, heard)
			failed <- err
		}()
	}
	count := func(what <-chan struct{}) error {
		for range n {
			select {
			case <-what:
			case err := <-failed:
				return err
			}
		}
		return nil
	}
	if err := count(joined); err != nil {
		return err
	}
	fmt.Println("joined")
	go func() {
		for {
			if err := count(heard); err != nil {
				fmt.Fprintln(os.Stderr, "cluster-scale: a client:", err)
				os.Exit(1)
			}
			fmt.Println("heard", time.Now().UnixNano())
		}
	}()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// client joins, and tells of each push.
func client(addr string, payload int, joined func(), heard chan<- struct{}) error {
	nc, err := net.Dial("tcp", addr) //nolint:noctx // the process ends it
	if err != nil {
		return err
	}
	defer nc.Close()
	request, err := codec.AppendData(nil, codec.Request, 1, "Room.Join", nil, 0, nil, 0)
	if err != nil {
		return err
	}
	hello := codec.AppendPacket(nil, codec.Handshake, []byte(`{"sys":{"accept":["error"]}}`))
	if _, err := nc.Write(hello); err != nil {
		return err
	}
	decoder := codec.NewDecoder(payload + 256)
	buf := make([]byte, payload+256)
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return err
		}
		decoder.Feed(buf[:n])
		for {
			p, ok, err := decoder.Next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			switch p.Type {
			case codec.Handshake:
				out := codec.AppendPacket(nil, codec.HandshakeAck, nil)
				if _, err := nc.Write(append(out, request...)); err != nil {
					return err
				}
			case codec.Heartbeat:
				if _, err := nc.Write(codec.AppendPacket(nil, codec.Heartbeat, nil)); err != nil {
					return err
				}
			case codec.Data:
				m, err := codec.ParseMessage(p.Body)
				switch {
				case err != nil:
					return err
				case m.Type == codec.Push:
					heard <- struct{}{}
				case m.Err:
					return fmt.Errorf("joining: %s", bytes.TrimSpace(m.Data))
				default:
					joined()
				}
			case codec.Kick:
				return fmt.Errorf("kicked: %s", p.Body)
			}
		}
	}
}
