//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lonng/nano/internal/child"
)

// node is one of the processes, started again and again.
type node struct {
	play *play
	name string

	mu      sync.Mutex
	process *child.Process
	run     int
	doors   []string // where clients connect
	trouble time.Time
	facts   chan string   // answers to what it was asked
	ended   chan struct{} // closed when the process has told all
}

// start starts the process and waits until it serves.
func (n *node) start() error {
	n.mu.Lock()
	n.run++
	run := n.run
	n.mu.Unlock()
	flags := append([]string{"-name", n.name, "-run", strconv.Itoa(run), "-reach", n.play.reach[n.name]}, n.play.flags...)
	if !n.play.direct {
		flags = append(flags, "-network", n.play.net.l.Addr().String())
	}
	p, err := child.Start(n.name, "node", flags...)
	if err != nil {
		return err
	}
	w, err := p.Words("listens")
	if err != nil {
		return err
	}
	n.play.net.place(n.name, w[0])
	if n.play.direct && n.name == "master" {
		n.play.flags = append(n.play.flags, "-master", w[0])
	}
	facts, ended := make(chan string, 1), make(chan struct{})
	doors := make(chan []string, 1)
	n.mu.Lock()
	n.process, n.facts, n.ended = p, facts, ended
	n.mu.Unlock()
	go func() {
		defer close(ended)
		for {
			line, err := p.Line()
			if err != nil {
				n.crashed(p)
				return
			}
			word, rest, _ := strings.Cut(line, " ")
			switch word {
			case "serves":
				doors <- strings.Fields(rest)
			case "figures", "members", "kicked", "drained", "done":
				facts <- rest
			default:
				n.play.hear(line)
			}
		}
	}()
	select {
	case d := <-doors:
		n.mu.Lock()
		n.doors = d
		n.mu.Unlock()
		return nil
	case <-ended:
		return fmt.Errorf("%s ended while it started", n.name)
	case <-time.After(time.Minute):
		return fmt.Errorf("%s does not start", n.name)
	}
}

// door is where clients connect; "" while the node is not there.
func (n *node) door(webSocket bool) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case len(n.doors) < 2:
		return ""
	case webSocket:
		return n.doors[1]
	default:
		return n.doors[0]
	}
}

// bother notes that something is done to the node.
func (n *node) bother() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trouble = time.Now()
}

// troubled is how long ago something was done to the node.
func (n *node) troubled() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.trouble)
}

// signal sends the process a signal.
func (n *node) signal(s syscall.Signal) error {
	n.bother()
	n.mu.Lock()
	p := n.process
	n.mu.Unlock()
	return p.Signal(s)
}

// kill ends the process at once.
func (n *node) kill() error {
	n.bother()
	n.mu.Lock()
	p := n.process
	n.process = nil
	n.mu.Unlock()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	n.gone(p)
	return nil
}

// end ends the process in good order.
func (n *node) end() {
	n.bother()
	n.mu.Lock()
	p := n.process
	n.process = nil
	n.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.Stdin.Close()
	n.gone(p)
}

// gone waits for the end of the process.
func (n *node) gone(p *child.Process) {
	n.mu.Lock()
	ended, run := n.ended, n.run
	n.doors = nil
	n.mu.Unlock()
	n.play.net.place(n.name, "")
	select {
	case <-ended:
	case <-time.After(n.play.recovery):
		n.play.ledger.Fail("node", "%s does not end", n.name)
		_ = p.Signal(syscall.SIGKILL)
		<-ended
	}
	p.Wait()
	n.play.ledger.killed(n.name, strconv.Itoa(run))
}

// crashed is told when a process has no more to say.
func (n *node) crashed(p *child.Process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == p { // nobody has ended it
		n.play.ledger.Fail("node", "%s has ended by itself", n.name)
	}
}

// ask writes a line to the node and returns its answer.
func (n *node) ask(what string) (string, error) { return n.askFor(n.play.recovery, what) }

// askFor is ask for what takes a while.
func (n *node) askFor(patience time.Duration, what string) (string, error) {
	n.mu.Lock()
	p, facts, ended := n.process, n.facts, n.ended
	n.mu.Unlock()
	if p == nil {
		return "", errors.New("it is not there")
	}
	if _, err := p.Stdin.Write([]byte(what + "\n")); err != nil {
		return "", err
	}
	select {
	case f := <-facts:
		return f, nil
	case <-ended:
		return "", errors.New("it has ended")
	case <-time.After(patience):
		return "", errors.New("it says nothing")
	}
}

// figures asks for the node's sessions and connections.
func (n *node) figures() (sessions, connections int, err error) {
	f, err := n.ask("figures")
	if err == nil {
		_, err = fmt.Sscan(f, &sessions, &connections)
	}
	return sessions, connections, err
}

// fault is something that happens to the cluster. cause returns when it is over. Its error is
// that of the machine: what the cluster makes of it is judged elsewhere.
type fault struct {
	name  string
	cause func(p *play, rng *rand.Rand) error
}

// Some is a time up to d, often short.
func Some(rng *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rng.Float64() * rng.Float64() * float64(d))
}

// any is a node.
func (p *play) any(rng *rand.Rand) *node {
	return p.nodes[p.names[rng.IntN(len(p.names))]]
}

// two are different nodes.
func (p *play) two(rng *rand.Rand) (a, b *node) {
	a = p.any(rng)
	for b = a; b == a; {
		b = p.any(rng)
	}
	return a, b
}

// both are the ways between two nodes.
func both(a, b *node) []way { return between(a.name, b.name) }

// during says what happens, and lets it last.
func (p *play) during(d time.Duration, format string, a ...any) {
	p.say("%s for %v", fmt.Sprintf(format, a...), d.Round(time.Millisecond))
	time.Sleep(d)
}

// faults are those that happen to nodes, and between them.
func faults() []fault {
	during := (*play).during
	return []fault{
		{"kill", func(p *play, rng *rand.Rand) error {
			n := p.any(rng)
			if err := n.kill(); err != nil {
				return err
			}
			during(p, Some(rng, 8*time.Second), "%s is killed, and is gone", n.name)
			return n.start()
		}},
		{"restart", func(p *play, rng *rand.Rand) error {
			n := p.any(rng)
			p.say("%s is restarted", n.name)
			n.end()
			return n.start()
		}},
		{"vanish", func(p *play, rng *rand.Rand) error {
			n := p.any(rng)
			p.net.silence(true, around(n.name)...)
			if err := n.kill(); err != nil {
				return err
			}
			during(p, Some(rng, 10*time.Second), "%s is gone without a word", n.name)
			p.net.reset(around(n.name)...)
			p.net.silence(false, around(n.name)...)
			return n.start()
		}},
		{"stop", func(p *play, rng *rand.Rand) error {
			n := p.any(rng)
			if err := n.signal(syscall.SIGSTOP); err != nil {
				return err
			}
			during(p, Some(rng, 10*time.Second), "%s stands still", n.name)
			return n.signal(syscall.SIGCONT)
		}},
		{"stop two", func(p *play, rng *rand.Rand) error {
			a, b := p.two(rng)
			if err := errors.Join(a.signal(syscall.SIGSTOP), b.signal(syscall.SIGSTOP)); err != nil {
				return err
			}
			during(p, Some(rng, 8*time.Second), "%s and %s stand still", a.name, b.name)
			return errors.Join(b.signal(syscall.SIGCONT), a.signal(syscall.SIGCONT))
		}},
		{"cut", func(p *play, rng *rand.Rand) error {
			a, b := p.two(rng)
			p.net.silence(true, both(a, b)...)
			during(p, Some(rng, 10*time.Second), "nothing gets through between %s and %s", a.name, b.name)
			p.net.silence(false, both(a, b)...)
			return nil
		}},
		{"short cut", func(p *play, rng *rand.Rand) error { // about as long as it takes until it is noticed
			a, b := p.two(rng)
			p.net.silence(true, both(a, b)...)
			during(p, time.Duration(2000+rng.IntN(2500))*time.Millisecond, "nothing gets through between %s and %s", a.name, b.name)
			p.net.silence(false, both(a, b)...)
			return nil
		}},
		{"one way", func(p *play, rng *rand.Rand) error {
			a, b := p.two(rng)
			p.net.silence(true, way{a.name, b.name})
			during(p, Some(rng, 10*time.Second), "nothing gets through from %s to %s", a.name, b.name)
			p.net.silence(false, way{a.name, b.name})
			return nil
		}},
		{"isolate", func(p *play, rng *rand.Rand) error {
			n := p.any(rng)
			p.net.silence(true, around(n.name)...)
			during(p, Some(rng, 12*time.Second), "nothing gets through from and to %s", n.name)
			p.net.silence(false, around(n.name)...)
			return nil
		}},
		{"refuse", func(p *play, rng *rand.Rand) error {
			a, b := p.two(rng)
			p.net.refuse(true, both(a, b)...)
			during(p, Some(rng, 8*time.Second), "connections between %s and %s are refused", a.name, b.name)
			p.net.refuse(false, both(a, b)...)
			return nil
		}},
		{"reset", func(p *play, rng *rand.Rand) error {
			n := p.any(rng)
			for range 1 + rng.IntN(5) {
				p.say("all connections of %s break", n.name)
				p.net.reset(around(n.name)...)
				time.Sleep(Some(rng, time.Second))
			}
			return nil
		}},
		{"delay", func(p *play, rng *rand.Rand) error {
			n, d := p.any(rng), time.Duration(rng.IntN(700))*time.Millisecond
			p.net.delay(d, around(n.name)...)
			during(p, Some(rng, 10*time.Second), "%s is %v away from all", n.name, d)
			p.net.delay(0, around(n.name)...)
			return nil
		}},
	}
}
