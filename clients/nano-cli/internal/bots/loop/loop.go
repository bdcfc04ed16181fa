// Package loop reads the connections of very many clients with a few goroutines: one system call
// finds which connections have something, and reading one that has costs one more.
//
//	lp := loop.New(2)
//	defer lp.Close()
//	c, err := client.Dial(ctx, "tcp://127.0.0.1:3250", client.WithDialer(lp.Dial))
//
// The functions of [client.Client.Start] and handlers of pushes run on the loop's goroutines; see
// [client.EventConn].
package loop

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/clients/client"
)

// ErrClosed ends the connections that a loop still has when it is closed.
var ErrClosed = errors.New("loop: closed")

var _ client.DialFunc = (*Loop)(nil).Dial

// Loop is an event loop. Its methods may be called from any goroutine.
type Loop struct {
	pollers []*poller
	next    atomic.Uint32
	running sync.WaitGroup
}

// scanEvery is how often a loop looks for connections whose deadline of reading is over.
const scanEvery = 100 * time.Millisecond

// New starts a loop with n goroutines; 0 or less: as many as there are processors. If the system
// does not let it, and on systems other than Linux, the loop takes no connections. The caller must
// close it.
func New(n int) *Loop {
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

// Close ends the loop and waits for its goroutines. The connections that it still has end with
// [ErrClosed]: close the clients before. It can be called any number of times, but not by what runs
// on the loop.
func (lp *Loop) Close() {
	for _, p := range lp.pollers {
		p.stop()
	}
	lp.running.Wait()
}

// Dial connects, and returns a connection that the loop reads, a [client.EventConn]. Where the loop
// takes none, or is closed, the connection is one of the net package.
func (lp *Loop) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil || len(lp.pollers) == 0 {
		return nc, err
	}
	return lp.pollers[int(lp.next.Add(1))%len(lp.pollers)].take(nc), nil
}
