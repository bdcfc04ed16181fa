//go:build linux

// Command soak puts a crowd of clients on one node and checks all that each of them gets: half of
// them over WebSocket, one in fifty hostile in some sixty ways. The node is a process of its own.
// The program ends with 0 when no answer or push was lost, doubled or out of order, every hostile
// connection was ended in time, the log stayed short, and the node in the end is as it was at the
// start: heap, goroutines, descriptors and sessions.
//
//	go run ./test/soak -for 1m                 # 10,000 clients
//	go run ./test/soak -for 10m -clients 500
//
// Each of the two processes needs a descriptor for each client (ulimit -n); with fewer it plays
// with fewer clients. Linux only: it reads /proc.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/lonng/nano/internal/child"
)

func main() {
	l := &load{}
	role := flag.String("role", "", "what a process started by this one is: server")
	flag.DurationVar(&l.length, "for", time.Minute, "how long")
	flag.IntVar(&l.clients, "clients", 10_000, "clients, at most; 2 % more are hostile")
	flag.DurationVar(&l.think, "think", 5*time.Second, "mean time between two messages of a client")
	flag.DurationVar(&l.visitTime, "stay", time.Minute, "mean time between two connections of a client")
	flag.Uint64Var(&l.seed, "seed", uint64(time.Now().UnixNano()), "of all that is random")
	flag.Parse()
	var err error
	if *role == "server" {
		err = serve()
	} else {
		err = soak(l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// fit lowers the number of clients to what descriptors allow.
func (l *load) fit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	const reserve = 400 // for storms of connections, and what a process has open anyway
	if most := (int(min(limit.Cur, 1<<20)) - reserve) * 9 / 10; most < l.clients {
		if most < 50 {
			return fmt.Errorf("%d descriptors are too few; raise ulimit -n to 1000 or more", limit.Cur)
		}
		fmt.Printf("%d clients instead of %d: a process may have %d descriptors (ulimit -n)\n", most, l.clients, limit.Cur)
		l.clients = most
	}
	return nil
}

// soak plays it all, and prints it.
func soak(l *load) error {
	if err := l.fit(); err != nil {
		return err
	}
	fmt.Printf("seed %d: %d clients and %d hostile ones for %v\n", l.seed, l.clients, l.hostiles(), l.length)
	server, err := child.Start("server", "server")
	if err != nil {
		return err
	}
	defer server.Stop()
	addrs, err := server.Words("serves")
	if err != nil {
		return err
	}
	l.addrs = [2]string(addrs)
	ask := func(how string) (f Figures, err error) {
		if _, err := io.WriteString(server.Stdin, how+"\n"); err != nil {
			return f, err
		}
		line, err := server.Line()
		if err != nil {
			return f, fmt.Errorf("the server is gone: %w", err)
		}
		return f, json.Unmarshal([]byte(line), &f)
	}
	before, err := ask("gc")
	if err != nil {
		return err
	}
	l.begin()
	var samples []Figures
	for end := time.After(l.length); ; {
		var over bool
		select {
		case <-end:
			over = true
		case <-time.After(5 * time.Second):
		}
		f, err := ask("now")
		if err != nil {
			return err
		}
		l.report(f, server.Memory())
		if l.full() {
			samples = append(samples, f)
		}
		if over {
			break
		}
	}
	l.end()
	after, err := l.cool(ask, before)
	if err != nil {
		return err
	}
	l.judge(before, after, samples)
	return l.verdict(after)
}

// report prints a line of the run.
func (l *load) report(f Figures, resident float64) {
	fmt.Printf("%5.0fs: %d clients, %d requests, %d pushes, %d reconnects, %d attacks; server: %d sessions, %d goroutines, %d files, heap %d MiB of %.0f MiB, %d lines of log\n",
		time.Since(l.begun).Seconds(), l.present.Load(), l.requests.Load(), l.pushes.Load(), l.reconnects.Load(), l.attacks.Load(),
		f.Stats.Sessions, f.Goroutines, f.Files, f.Live>>20, resident/1024, total(f.Lines))
}

// cool waits until the server is empty, and returns its figures.
func (l *load) cool(ask func(string) (Figures, error), before Figures) (f Figures, err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if f, err = ask("gc"); err != nil {
			return f, err
		}
		if f.Stats.Sessions == 0 && f.Stats.Connections == 0 && f.Goroutines <= before.Goroutines+spare && f.Files <= before.Files+spare {
			return f, nil
		}
	}
	return f, nil
}

// spare is how many goroutines and descriptors more than before the load are none that leaked:
// those that the runtime or the HTTP server has made and keeps.
const spare = 8

// spareHeap is how much the heap may have grown for good: tables that were made for many clients
// and do not shrink.
const spareHeap = 24 << 20

// judge compares figures.
func (l *load) judge(before, after Figures, samples []Figures) {
	if s := after.Stats; s.Sessions != 0 || s.Connections != 0 {
		l.fail("left", "%d sessions and %d connections are left", s.Sessions, s.Connections)
	}
	if n := after.Goroutines - before.Goroutines; n > spare {
		l.fail("left", "%d goroutines are left", n)
	}
	if n := after.Files - before.Files; n > spare {
		l.fail("left", "%d descriptors are left", n)
	}
	if after.Live > before.Live+spareHeap {
		l.fail("left", "the heap is %d MiB, and was %d MiB", after.Live>>20, before.Live>>20)
	}
	if uint64(after.Closed) < after.Stats.Opened || uint64(after.Closed) > after.Stats.Accepted || after.Twice != 0 {
		l.fail("closed", "%d connections were accepted and %d sessions opened; OnClosed ran %d times, %d of them a second time",
			after.Stats.Accepted, after.Stats.Opened, after.Closed, after.Twice)
	}
	if after.Disorder != 0 {
		l.fail("inbound", "%d messages of players came lost, doubled or out of order", after.Disorder)
	}
	seconds := int(time.Since(l.begun).Seconds())
	for line, n := range after.Lines {
		if n > 20+2*seconds {
			l.fail("log", "%q was logged %d times in %d s", line, n, seconds)
		}
	}
	for _, f := range samples {
		if most := f.Stats.Connections*3/2 + 1000; f.Goroutines > most {
			l.fail("goroutines", "%d goroutines for %d connections", f.Goroutines, f.Stats.Connections)
		}
	}
	if n := len(samples) / 3; n > 0 {
		least := func(of []Figures) uint64 {
			return slices.MinFunc(of, func(a, b Figures) int { return cmp.Compare(a.Live, b.Live) }).Live
		}
		if first, last := least(samples[:n]), least(samples[len(samples)-n:]); last > first+first/4+spareHeap {
			l.fail("heap", "with the same number of clients the heap grew from %d MiB to %d MiB", first>>20, last>>20)
		}
	}
}

// verdict prints what was found.
func (l *load) verdict(after Figures) error {
	fmt.Printf("%d visits, %d requests with %d answers, %d pushes, %d reconnects, %d attacks\n",
		l.visits.Load(), l.requests.Load(), l.answers.Load(), l.pushes.Load(), l.reconnects.Load(), l.attacks.Load())
	fmt.Printf("answers took %v (median), %v (99 of 100), at most %v\n", l.latency.at(0.5), l.latency.at(0.99), l.latency.at(1))
	fmt.Printf("the server ended %d connections for what they sent, %d for silence, %d for not reading\n",
		after.Stats.Malformed, after.Stats.Silent, after.Stats.SlowKicked)
	for _, line := range slices.SortedFunc(maps.Keys(after.Lines), func(a, b string) int { return after.Lines[b] - after.Lines[a] }) {
		fmt.Printf("logged %d times: %s\n", after.Lines[line], line)
	}
	if found := l.found(); found > 0 {
		return fmt.Errorf("%d faults, see above; seed %d", found, l.seed)
	}
	fmt.Println("no fault was found")
	return nil
}

func total(lines map[string]int) (n int) {
	for _, v := range lines {
		n += v
	}
	return n
}
