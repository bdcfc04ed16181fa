//go:build linux

// Package crowd plays very many clients of a node from one goroutine: they connect, shake hands,
// make one request if they are told to, answer heartbeats, and count what is pushed to them. A
// client costs its socket and some 50 bytes. Linux only: it has an event loop of its own.
package crowd

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Config says whom a crowd plays.
type Config struct {
	Addrs     []string // of the server; clients take them by turns
	Sources   []string // IP addresses that clients connect from, by turns; none for any
	Clients   int
	WebSocket bool
	Path      string // of the WebSocket
	Batch     bool   // accepts several packets in one WebSocket message

	// Request returns the route and the payload of the one request of a client. Without a route, or
	// with a nil function, a client makes none.
	Request func(client int) (route string, data []byte)

	OnBeat func() // called on the crowd's goroutine for each heartbeat that a client has answered; nil: nobody

	AtOnce int // clients that may be on their way in at one time; 0 for 128
}

// Crowd is clients that are connected. Its methods may be called from any goroutine.
type Crowd struct {
	cfg     Config
	epoll   int
	wake    int // an eventfd
	conns   []conn
	byFD    []int32 // by descriptor: index in conns, -1 for none
	dests   []unix.Sockaddr
	sources []unix.Sockaddr
	buf     []byte
	out     []byte

	next, coming int // the next client to connect; how many are on their way

	ready  atomic.Int64 // clients that are in, and have their answer
	pushes atomic.Int64 // messages that were pushed, all clients together
	bytes  atomic.Int64 // of their payloads
	again  atomic.Int64 // connections and requests that were tried again
	lost   atomic.Int64 // clients whose connection has ended

	mu       sync.Mutex
	err      error
	expected int64 // pushes at which reached is told the time; 0: nobody waits
	reached  chan time.Time
	entered  chan struct{} // closed when all are in
	done     chan struct{} // closed when the loop has ended
	stopping atomic.Bool
}

// Start begins to connect the clients.
func Start(cfg Config) (*Crowd, error) {
	c := &Crowd{
		cfg: cfg, conns: make([]conn, cfg.Clients),
		buf: make([]byte, 64<<10), entered: make(chan struct{}), done: make(chan struct{}),
	}
	if c.cfg.AtOnce == 0 {
		c.cfg.AtOnce = 128
	}
	for _, a := range cfg.Addrs {
		sa, err := sockaddr(a)
		if err != nil {
			return nil, err
		}
		c.dests = append(c.dests, sa)
	}
	if len(c.dests) == 0 {
		return nil, errors.New("crowd: no address to connect to")
	}
	for _, a := range cfg.Sources {
		sa, err := sockaddr(a + ":0")
		if err != nil {
			return nil, err
		}
		c.sources = append(c.sources, sa)
	}
	if err := c.openLoop(); err != nil {
		return nil, err
	}
	go c.loop()
	return c, nil
}

// Ready returns how many clients are in: the handshake is done, and the request is answered.
func (c *Crowd) Ready() int { return int(c.ready.Load()) }

// Lost returns how many clients have lost their connection.
func (c *Crowd) Lost() int { return int(c.lost.Load()) }

// Pushes returns how many messages were pushed to all clients together.
func (c *Crowd) Pushes() int64 { return c.pushes.Load() }

// Wait waits until all clients are in. It returns the first error of a client.
func (c *Crowd) Wait() error {
	select {
	case <-c.entered:
		return nil
	case <-c.done:
		return c.failure()
	}
}

func (c *Crowd) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return errors.New("crowd: stopped")
	}
	return c.err
}

// Expect returns a channel that gets the time at which n more messages than now were pushed. Only
// one expectation is kept.
func (c *Crowd) Expect(n int64) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reached = make(chan time.Time, 1)
	c.expected = c.pushes.Load() + n
	return c.reached
}

// tell looks whether the expectation has come true.
func (c *Crowd) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expected > 0 && c.pushes.Load() >= c.expected {
		c.reached <- time.Now()
		c.expected = 0
	}
}

// Close ends all connections, and waits for the loop.
func (c *Crowd) Close() {
	if c.stopping.CompareAndSwap(false, true) {
		c.rouse()
	}
	<-c.done
}

// fail ends the crowd while it comes in: a figure of fewer clients than were asked for is none.
func (c *Crowd) fail(i int32, err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = fmt.Errorf("crowd: client %d: %w", i, err)
	}
	c.mu.Unlock()
	c.stopping.Store(true)
}
