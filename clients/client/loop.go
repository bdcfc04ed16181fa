package client

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Loop reads the connections of very many clients with a few goroutines, for programs that are many users at once: one
// system call finds which connections have something, and reading one that has costs one more. A client takes part
// [WithLoop]. Its methods may be called from any goroutine.
//
// The functions that clients call, those of [Client.Start], handlers of pushes and of states, run on the loop's
// goroutines. They must be quick and must wait for nothing, a request least of all: its answer would be read by the
// goroutine that waits for it. What they send to their own server is written once, when they have returned.
//
// TCP on Linux is read in this way. With TLS, WebSockets, connections that are not of the net package, and on other
// systems, a client is as it is without a loop.
type Loop struct {
	pollers []*poller
	next    atomic.Uint32
	running sync.WaitGroup
}

// scanEvery is how often a loop looks for servers that have fallen silent.
const scanEvery = 100 * time.Millisecond

// NewLoop starts a loop with n goroutines; 0 or less: as many as there are processors. If the system does not let it,
// the loop takes no connections. It is to be closed.
func NewLoop(n int) *Loop {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	lp := new(Loop)
	for range n {
		if p := newPoller(); p != nil {
			lp.pollers = append(lp.pollers, p)
			lp.running.Go(p.run)
		}
	}
	return lp
}

// Close ends the loop and waits for its goroutines. The connections that it still has are lost with [ErrLoopClosed]:
// close the clients before. It can be called any number of times, but not by what runs on the loop.
func (lp *Loop) Close() {
	for _, p := range lp.pollers {
		p.stop()
	}
	lp.running.Wait()
}

// take returns what carries t's packets in the loop, or nil if that cannot be. t is of no use then.
func (lp *Loop) take(t transport) transport {
	if lp == nil || len(lp.pollers) == 0 {
		return nil
	}
	s, ok := t.(*stream)
	if !ok {
		return nil
	}
	return lp.pollers[int(lp.next.Add(1))%len(lp.pollers)].take(s.nc)
}

// looped is a transport that a loop reads.
type looped interface {
	// serve has the loop read until the end of the connection, and returns why that was.
	serve(c *Client, l *link) error
}

// turn handles what a loop has read, and with it all that comes of it.
func (c *Client) turn(l *link, data []byte) error {
	if len(data) > 0 {
		c.stats.bytesIn.Add(uint64(len(data)))
		l.dec.Feed(data)
	}
	var err error
	for err == nil {
		p, ok, e := c.decoded(l)
		if err = e; !ok {
			break
		}
		err = c.receive(l, p)
	}
	if l.owing {
		l.owing = false
		c.cork(l)
		c.dispatch()
	}
	if l.gathering {
		l.gathering = false
		c.uncork(l)
	}
	l.watchSilence()
	return err
}

// cork has what is sent on l wait for uncork.
func (c *Client) cork(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.corkLocked()
}

func (l *link) corkLocked() { l.corked, l.gathering = true, true }

func (c *Client) uncork(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.corked = false
	if l.out == nil {
		return
	}
	if !l.writing {
		l.writeNowLocked()
		l.spaceLocked()
	}
	c.writeLocked(l)
}
