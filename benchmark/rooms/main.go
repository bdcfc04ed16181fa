//go:build linux

// Rooms measures what loud rooms do to a player who is in none: it starts a node, a crowd of clients in rooms, and a few
// clients that send requests, and prints how long the answers take without broadcasts and with them. The node, the crowd
// and those who ask are processes of their own.
//
//	go run ./benchmark/rooms
//	go run ./benchmark/rooms -rooms 10 -members 1000 -rate 20 -delay 50ms
//
// The ratio of the two 99th percentiles is the figure; the times say as much of the machine.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/benchmark/internal/crowd"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/child"
	"github.com/lonng/nano/session"
)

// plan is what is measured.
type plan struct {
	addr    string
	rooms   int
	members int     // of each room
	rate    float64 // broadcasts a second in each room
	size    int     // bytes of a broadcast's payload
	delay   time.Duration
	askers  int
	during  time.Duration
}

func main() {
	var p plan
	role := flag.String("role", "", "what a process started by this one is: node, crowd or askers")
	flag.StringVar(&p.addr, "addr", "", "of the node, for its clients")
	flag.IntVar(&p.rooms, "rooms", 10, "number of rooms")
	flag.IntVar(&p.members, "members", 1000, "clients in each room")
	flag.Float64Var(&p.rate, "rate", 20, "broadcasts a second in each room")
	flag.IntVar(&p.size, "size", 64, "bytes of a broadcast")
	flag.DurationVar(&p.delay, "delay", 0, "nano.WithWriteDelay of the node")
	flag.IntVar(&p.askers, "askers", 8, "clients that send a request every 5 ms each")
	flag.DurationVar(&p.during, "d", 5*time.Second, "how long to measure, without broadcasts and with them")
	flag.Parse()
	var err error
	switch *role {
	case "":
		err = p.measure()
	case "node":
		err = p.node()
	case "crowd":
		err = p.crowd()
	default:
		err = p.ask()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rooms:", *role, err)
		os.Exit(1)
	}
}

// start starts a child with the plan.
func (p *plan) start(role string) (*child.Process, error) {
	return child.Start(role, role, "-addr", p.addr, "-rooms", strconv.Itoa(p.rooms), "-members", strconv.Itoa(p.members),
		"-rate", fmt.Sprint(p.rate), "-size", strconv.Itoa(p.size), "-delay", p.delay.String(),
		"-askers", strconv.Itoa(p.askers), "-d", p.during.String())
}

// measure starts the processes and prints what they find.
func (p *plan) measure() error {
	node, err := p.start("node")
	if err != nil {
		return err
	}
	defer node.Stop()
	w, err := node.Words("serves")
	if err != nil {
		return err
	}
	p.addr = w[0]
	members, err := p.start("crowd")
	if err != nil {
		return err
	}
	defer members.Stop()
	if _, err := members.Words("in"); err != nil {
		return err
	}
	fmt.Printf("%d rooms of %d, %.0f broadcasts a second in each, write delay %v, %d clients that ask\n", p.rooms, p.members, p.rate, p.delay, p.askers)
	quiet, err := p.round("without broadcasts", node)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(node.Stdin, "speak"); err != nil {
		return err
	}
	if _, err := node.Words("speaks"); err != nil {
		return err
	}
	loud, err := p.round("with broadcasts", node)
	if err != nil {
		return err
	}
	fmt.Printf("99 %% with broadcasts / without: %.1f\n", loud.Seconds()/quiet.Seconds())
	if _, err := fmt.Fprintln(members.Stdin, "count"); err != nil {
		return err
	}
	heard, err := members.Words("heard")
	if err != nil {
		return err
	}
	fmt.Printf("members heard %s of %.0f messages a second\n", heard[0], float64(p.rooms*p.members)*p.rate)
	return nil
}

// round has the clients ask for a while, and returns the 99th percentile of their answers.
func (p *plan) round(name string, node *child.Process) (time.Duration, error) {
	askers, err := p.start("askers")
	if err != nil {
		return 0, err
	}
	defer askers.Stop()
	before := node.CPU()
	w, err := askers.Words("answers")
	if err != nil {
		return 0, err
	}
	busy := node.CPU() - before
	fmt.Printf("%-20s median %10s   99 %% %10s   99.9 %% %10s   node: %3.0f %% of a processor\n", name, w[0], w[1], w[2], 100*busy.Seconds()/p.during.Seconds())
	return time.ParseDuration(w[1])
}

// node serves until its input ends. After a line it speaks in all rooms.
func (p *plan) node() error {
	all := make([]*nano.Group, p.rooms)
	for i := range all {
		all[i] = nano.NewGroup(fmt.Sprint("room ", i))
	}
	cs := &component.Components{}
	component.HandleRaw(cs, "Bench.Echo", func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) })
	component.HandleRaw(cs, "Bench.Join", func(_ context.Context, s *session.Session, data []byte) error {
		i, err := strconv.Atoi(string(data))
		if err != nil || i < 0 || i >= len(all) {
			return fmt.Errorf("no room %q", data)
		}
		if err := all[i].Add(s); err != nil {
			return err
		}
		return s.Response(data)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app := nano.New("", nano.WithComponents(cs), nano.WithEndpoint(nano.Endpoint{Listener: l}), nano.WithWriteDelay(p.delay),
		nano.WithShutdownTimeout(time.Second), nano.WithSlog(slog.New(slog.DiscardHandler)))
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println("serves", l.Addr())
	in := bufio.NewScanner(os.Stdin)
	stop := make(chan struct{})
	var speaking sync.WaitGroup
	if in.Scan() {
		fmt.Println("speaks")
		speaking.Go(func() { p.speak(app, all, stop) })
		for in.Scan() {
		}
	}
	close(stop)
	speaking.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return app.Shutdown(ctx)
}

// speak broadcasts to one room after the other.
func (p *plan) speak(app *nano.App, all []*nano.Group, stop <-chan struct{}) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / p.rate / float64(len(all))))
	defer tick.Stop()
	text := make([]byte, p.size)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
			app.Scheduler().PushTask(func() { _ = all[i%len(all)].Broadcast("said", text) }) // who has gone is no fault of the figure
		}
	}
}

// crowd plays the members of the rooms. After each line it says how many messages a second they heard since the first.
func (p *plan) crowd() error {
	c, err := crowd.Start(crowd.Config{Addrs: []string{p.addr}, Clients: p.rooms * p.members, Request: func(i int) (string, []byte) {
		return "Bench.Join", strconv.AppendInt(nil, int64(i%p.rooms), 10)
	}})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Wait(); err != nil {
		return err
	}
	fmt.Println("in")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		before, began := c.Pushes(), time.Now()
		time.Sleep(p.during)
		fmt.Printf("heard %.0f\n", float64(c.Pushes()-before)/time.Since(began).Seconds())
	}
	return nil
}

// ask sends requests and says how long the answers took.
func (p *plan) ask() error {
	times := make([][]time.Duration, p.askers)
	errs := make([]error, p.askers)
	var wg sync.WaitGroup
	for i := range times {
		wg.Go(func() {
			times[i], errs[i] = p.askOne(time.Duration(i) * 5 * time.Millisecond / time.Duration(p.askers))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	at := func(share float64) time.Duration {
		return all[min(int(float64(len(all))*share), len(all)-1)].Round(time.Microsecond)
	}
	fmt.Println("answers", at(0.5), at(0.99), at(0.999))
	return nil
}

func (p *plan) askOne(after time.Duration) (times []time.Duration, err error) {
	c, err := client.Dial(context.Background(), "tcp://"+p.addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	time.Sleep(after)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var answer []byte
	for end := time.Now().Add(p.during); time.Now().Before(end); {
		<-tick.C
		began := time.Now()
		if err := c.Request(context.Background(), "Bench.Echo", []byte("1"), &answer); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}
