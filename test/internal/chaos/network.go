//go:build linux

package chaos

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// way is one direction between two nodes: what from sends to to.
type way struct{ from, to string }

// network carries all that the nodes say to each other. Each node connects to it and says to whom
// it wants.
type network struct {
	l net.Listener

	mu      sync.Mutex
	moved   *sync.Cond        // something below has changed
	real    map[string]string // where each node listens
	silent  map[way]bool      // nothing gets through, and nobody is told
	refused map[way]bool      // no connection can be made
	delays  map[way]time.Duration
	wires   map[*carried]struct{}
}

// carried is one connection between two nodes.
type carried struct {
	from, to      string
	dialed, taken net.Conn // the ends of from and of to
	closed        bool
}

func newNetwork() (*network, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &network{
		l: l, real: make(map[string]string), silent: make(map[way]bool), refused: make(map[way]bool),
		delays: make(map[way]time.Duration), wires: make(map[*carried]struct{}),
	}
	n.moved = sync.NewCond(&n.mu)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go n.carry(nc)
		}
	}()
	return n, nil
}

// carry makes a connection between two nodes.
func (n *network) carry(nc net.Conn) {
	var line []byte
	for one := make([]byte, 1); len(line) < 100; line = append(line, one[0]) {
		if _, err := io.ReadFull(nc, one); err != nil || one[0] == '\n' {
			break
		}
	}
	from, to, _ := strings.Cut(string(line), " ")
	n.mu.Lock()
	addr, refused := n.real[to], n.refused[way{from, to}]
	n.mu.Unlock()
	taken, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", addr)
	if addr == "" || refused || err != nil {
		_ = nc.Close()
		if err == nil {
			_ = taken.Close()
		}
		return
	}
	c := &carried{from: from, to: to, dialed: nc, taken: taken}
	n.mu.Lock()
	n.wires[c] = struct{}{}
	n.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { n.pump(c, way{from, to}, nc, taken) })
	both.Go(func() { n.pump(c, way{to, from}, taken, nc) })
	both.Wait()
}

// piece is what one read brought, and when it is to arrive.
type piece struct {
	b   []byte
	due time.Time
}

// pump carries one direction of a connection.
func (n *network) pump(c *carried, w way, from, to net.Conn) {
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 16<<10)
			k, err := from.Read(b)
			n.mu.Lock()
			due := time.Now().Add(n.delays[w])
			n.mu.Unlock()
			if k > 0 {
				pieces <- piece{b[:k], due}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if !n.pass(c, w) {
			continue
		}
		if _, err := to.Write(p.b); err != nil {
			n.drop(c)
		}
	}
	n.pass(c, w) // the news of a closed connection does not get through either
	n.drop(c)
}

// pass waits while nothing gets through; false if the connection is closed.
func (n *network) pass(c *carried, w way) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.silent[w] && !c.closed {
		n.moved.Wait()
	}
	return !c.closed
}

// drop closes a connection.
func (n *network) drop(c *carried) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropLocked(c)
}

func (n *network) dropLocked(c *carried) {
	c.closed = true
	delete(n.wires, c)
	_ = c.dialed.Close()
	_ = c.taken.Close()
	n.moved.Broadcast()
}

// place says where a node listens; "" is nowhere.
func (n *network) place(name, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.real[name] = addr
}

// silence stops what is sent these ways, or lets it through again, with all that waited.
func (n *network) silence(on bool, ways ...way) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range ways {
		n.silent[w] = on
	}
	n.moved.Broadcast()
}

// refuse breaks the connections between the nodes, and has no new one be made, or lets them again.
func (n *network) refuse(on bool, ways ...way) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range ways {
		n.refused[w] = on
	}
	if on {
		n.resetLocked(ways)
	}
}

// reset breaks the connections between the nodes.
func (n *network) reset(ways ...way) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resetLocked(ways)
}

func (n *network) resetLocked(ways []way) {
	for _, w := range ways {
		for c := range n.wires {
			if c.from == w.from && c.to == w.to {
				n.dropLocked(c)
			}
		}
	}
}

// delay has all that is sent these ways arrive later.
func (n *network) delay(d time.Duration, ways ...way) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range ways {
		n.delays[w] = d
	}
}

// between are both ways between two nodes.
func between(a, b string) []way { return []way{{a, b}, {b, a}} }

// around are all ways to and from a node.
func around(name string) (all []way) {
	for _, other := range nodeNames() {
		if other != name {
			all = append(all, between(name, other)...)
		}
	}
	return all
}
