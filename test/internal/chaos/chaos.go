//go:build linux

// Package chaos is a program that runs a cluster of real processes (a master, two gates, three
// backends) under load, and kills them, stops them, starts them again, and cuts or slows the
// connections between them. It ends with 0 when each request had one outcome; nothing ran twice,
// out of order, as somebody else, or long after it was answered with an error; no push was lost or
// doubled within a session; OnClosed ran once for each session on each node; and after each fault
// the cluster served again within a while.
//
// With -play gates, the clients resume their sessions. First each of three gates is drained and
// started again, under 2,000 clients; then a gate is killed, under 1,000. It ends with 0 when no
// client has noticed anything but, after the kill, one gap: see gates.go.
//
// An [Engine] keeps the list of the nodes in the place of a master, and adds its own faults. The
// nodes' logs go to the file that NANO_CHAOS_LOG names. Linux only.
package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lonng/nano/test/internal/wire"
)

// Main is the program. A nil engine has a master keep the list.
func Main(engine *Engine) {
	p := newPlay(engine)
	n := &nodeProcess{engine: engine, sessions: make(map[string]*served)}
	role := flag.String("role", "", "what a process started by this one is: node")
	flag.StringVar(&n.name, "name", "", "of a node")
	flag.StringVar(&n.run, "run", "", "of a node: how often it was started")
	flag.StringVar(&n.network, "network", "", "of a node: the network's address")
	flag.StringVar(&n.master, "master", "", "of a node: the master's address, without a network of the parent")
	flag.StringVar(&n.reach, "reach", "", "of a node: how it reaches the engine that keeps the list")
	flag.DurationVar(&n.heartbeat, "heartbeat", time.Second, "of a node")
	flag.BoolVar(&n.resume, "resume", false, "of a node: clients resume their sessions")
	flag.DurationVar(&n.spread, "spread", 0, "of a node: the time over which a drain asks clients to leave")
	what := flag.String("play", "faults", "faults, or gates")
	only := flag.String("only", "", "faults to choose from, separated by commas (default: all)")
	flag.DurationVar(&p.length, "for", time.Minute, "how long")
	flag.IntVar(&p.clients, "clients", 100, "clients")
	flag.DurationVar(&p.think, "think", 150*time.Millisecond, "mean time between two requests of a client")
	flag.Uint64Var(&p.seed, "seed", uint64(time.Now().UnixNano()), "of all that is random")
	flag.Parse()
	var err error
	switch {
	case *role == "node":
		err = n.serveUntilTold()
	case *what == "gates" && engine != nil:
		err = errors.New("the play of gates is for a cluster with a master")
	case *what == "gates":
		err = errors.Join(
			(&travels{clients: 2000, requests: 2000, casts: 200}).rolling(),
			(&travels{clients: 1000, requests: 2000, casts: 200}).kill())
	default:
		err = p.chaos(*only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", n.name, err)
		os.Exit(1)
	}
}

const quiet = 10 * time.Second // how long all is well at the end

// play is the cluster, its clients, and what has happened.
type play struct {
	length, think time.Duration
	clients       int
	seed          uint64
	recovery      time.Duration // within which all is served again after a fault
	ledger        *ledger
	counters

	engine    *Engine           // nil: a master keeps the list
	reach     map[string]string // how each node reaches the engine
	more      []fault           // of the engine
	endEngine func()
	names     []string          // of the nodes, in the order in which they start
	flags     []string          // of each node
	direct    bool              // the nodes connect to each other, and not to the network
	hear      func(line string) // takes what the nodes say
	begun     time.Time
	ctx       context.Context // until the clients leave
	cancel    context.CancelFunc
	all       sync.WaitGroup
	net       *network
	nodes     map[string]*node
	gates     []*node
}

// newPlay returns a play whose nodes are not started yet.
func newPlay(engine *Engine) *play {
	p := &play{engine: engine, ledger: newLedger(), recovery: 20 * time.Second, names: nodeNames(), nodes: make(map[string]*node), begun: time.Now()}
	if engine != nil {
		p.names = p.names[1:] // no master
		p.recovery, p.flags = 20*engine.Heartbeat, []string{"-heartbeat", engine.Heartbeat.String()}
	}
	p.hear = p.ledger.hear
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// nodeNames are the nodes of a play of faults.
func nodeNames() []string {
	return []string{"master", "backend-1", "backend-2", "backend-3", "gate-1", "gate-2"}
}

// start starts all nodes, and waits until they serve. The caller calls end, with an error too.
func (p *play) start() (err error) {
	if p.net, err = newNetwork(); err != nil {
		return err
	}
	if p.engine != nil {
		if err := p.startEngine(); err != nil {
			return err
		}
	}
	for _, name := range p.names {
		n := &node{play: p, name: name}
		p.nodes[name] = n
		if strings.HasPrefix(name, "gate") {
			p.gates = append(p.gates, n)
		}
		if err := n.start(); err != nil {
			return err
		}
	}
	return p.recovered()
}

// end ends all nodes that are there.
func (p *play) end() {
	p.cancel()
	for _, name := range slices.Backward(p.names) {
		if n := p.nodes[name]; n != nil {
			n.end()
		}
	}
	if p.endEngine != nil {
		p.endEngine()
	}
}

func (p *play) running() bool { return p.ctx.Err() == nil }

// pause waits, or until the end.
func (p *play) pause(d time.Duration) {
	select {
	case <-p.ctx.Done():
	case <-time.After(d):
	}
}

// requestsEach is how many requests a client makes in that time.
func (p *play) requestsEach(d time.Duration) int { return int(d / p.think) }

// chaos runs it all, and prints it.
func (p *play) chaos(only string) error {
	fmt.Printf("seed %d: %d clients for %v\n", p.seed, p.clients, p.length)
	defer p.end()
	if err := p.start(); err != nil {
		return fmt.Errorf("before any fault: %w", err)
	}
	for i := range p.clients {
		c := &player{play: p, n: i, rng: rand.New(rand.NewPCG(p.seed, uint64(i)+1))}
		p.all.Go(c.run)
	}
	if err := p.suffer(only); err != nil {
		return err
	}
	p.say("quiet for %v", quiet)
	calm := time.After(quiet + time.Second)
	p.kicks()
	<-calm
	p.cancel()
	p.all.Wait()
	p.settle()
	return p.verdict()
}

// say prints what happens.
func (p *play) say(format string, a ...any) {
	fmt.Printf("%6.1fs %s\n", time.Since(p.begun).Seconds(), fmt.Sprintf(format, a...))
}

// suffer causes faults until the time is over.
func (p *play) suffer(only string) error {
	rng := rand.New(rand.NewPCG(p.seed, 0))
	faults := append(faults(), p.more...)
	if only != "" {
		faults = slices.DeleteFunc(faults, func(f fault) bool { return !slices.Contains(strings.Split(only, ","), f.name) })
	}
	if len(faults) == 0 {
		return fmt.Errorf("no fault is named %q", only)
	}
	for time.Since(p.begun) < p.length {
		time.Sleep(time.Duration(500+rng.IntN(1500)) * time.Millisecond)
		f := faults[rng.IntN(len(faults))]
		if err := f.cause(p, rng); err != nil {
			return err
		}
		if err := p.recovered(); err != nil {
			p.ledger.Fail("recovery", "after %s: %v", f.name, err)
		}
		p.say("%d clients, %d requests, %d ran, %d pushes", p.present.Load(), p.requests.Load(), p.ledger.count(), p.pushes.Load())
	}
	return nil
}

// recovered waits until both gates serve a new client with both services.
func (p *play) recovered() error {
	var last error
	for end := time.Now().Add(p.recovery); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		last = nil
		for _, g := range p.gates {
			if err := p.probe(g); err != nil {
				last = fmt.Errorf("%s: %w", g.name, err)
			}
		}
		if last == nil {
			return nil
		}
	}
	return fmt.Errorf("not served within %v: %w", p.recovery, last)
}

// probe asks for each service once.
func (p *play) probe(g *node) error {
	v, err := p.visit(g, false)
	if err != nil {
		return err
	}
	defer v.c.Close()
	_ = v.c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for i, route := range []string{"World.Do", "Ledger.Do", "World.Relay"} {
		if err := v.request(uint64(i)+2, route); err != nil {
			return err
		}
	}
	good := make(chan error, 1)
	go func() { good <- v.read() }()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		v.mu.Lock()
		open, n := len(v.waiting), len(v.good)
		v.mu.Unlock()
		switch {
		case n == 3:
			return nil
		case open == 0:
			return fmt.Errorf("requests are answered with errors")
		}
	}
	return fmt.Errorf("requests are not answered")
}

// kicks has users kicked by other nodes than their gate at the moment when their login is answered.
// The last fault may have been the master's death: all have to know all first.
func (p *play) kicks() {
	others := strconv.Itoa(len(p.names) - 1)
	for _, name := range p.names {
		if answer, err := p.nodes[name].ask("members " + others); err != nil || answer != others {
			p.ledger.Fail("kick", "%s knows %s nodes, want %s: %v", name, answer, others, err)
		}
	}
	names := slices.DeleteFunc(slices.Clone(p.names), func(name string) bool { return strings.HasPrefix(name, "gate") })
	for i := range 40 {
		g, by := p.gates[i%2], p.nodes[names[i%len(names)]]
		v, err := p.visit(g, i%3 == 0)
		if err != nil {
			p.ledger.Fail("kick", "log in at %s: %v", g.name, err)
			continue
		}
		answer, err := by.ask("kick " + v.number)
		if err != nil || answer != "<nil>" {
			p.ledger.Fail("kick", "%s kicks user %s at %s at once: %s, %v", by.name, v.number, g.name, answer, err)
		}
		_ = v.c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if err := v.read(); !errors.Is(err, wire.ErrKicked) {
			p.ledger.Fail("kick", "%s has kicked user %s at %s, who sees %v", by.name, v.number, g.name, err)
		}
		_ = v.c.Close()
	}
}

// settle waits until no session is left on any node.
func (p *play) settle() {
	for end := time.Now().Add(p.recovery); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if n, _ := p.ledger.open(); n == 0 {
			break
		}
	}
	if n, one := p.ledger.open(); n != 0 {
		p.ledger.Fail("closed", "for %d sessions OnClosed did not run, such as %s", n, one)
	}
	p.figures()
	p.ledger.close()
}

// figures wants no sessions and no connections at any node.
func (p *play) figures() {
	for _, name := range p.names {
		sessions, connections, err := p.nodes[name].figures()
		switch {
		case err != nil:
			p.ledger.Fail("node", "%s: %v", name, err)
		case sessions != 0 || connections != 0:
			p.ledger.Fail("left", "%s has %d sessions and %d connections", name, sessions, connections)
		}
	}
}

// verdict prints what was found.
func (p *play) verdict() error {
	fmt.Printf("%d connections, %d requests: %d ran, %d were answered, and with errors:", p.connections.Load(), p.requests.Load(), p.ledger.ran, p.ledger.ok)
	for _, code := range slices.Sorted(maps.Keys(p.ledger.failed)) {
		fmt.Printf(" %d %s", p.ledger.failed[code], code)
	}
	fmt.Printf("; %d pushes\n", p.pushes.Load())
	if n := p.ledger.Found(); n > 0 {
		return fmt.Errorf("%d faults, see above; seed %d", n, p.seed)
	}
	fmt.Println("no fault was found")
	return nil
}
