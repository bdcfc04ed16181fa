package node_test

import (
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/test/internal/apptest"
)

// exhausted is a listener whose Accept fails until a moment, as one does when the process is out of
// descriptors.
type exhausted struct {
	*nanotest.Listener
	until time.Time

	mu    sync.Mutex
	tries []time.Time
}

func (l *exhausted) Accept() (net.Conn, error) {
	if now := time.Now(); now.Before(l.until) {
		l.mu.Lock()
		l.tries = append(l.tries, now)
		l.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// Giving up would leave a node that nobody can connect to, trying without a pause one that does
// nothing else, and a log of gigabytes.
func TestAcceptRecoversFromFullDescriptorTable(t *testing.T) {
	for _, ws := range []bool{false, true} {
		t.Run(map[bool]string{false: "tcp", true: "websocket"}[ws], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const long = 65 * time.Second
				l := &exhausted{Listener: nanotest.NewListener(), until: time.Now().Add(long)}
				h := &Hostile{}
				n := apptest.Start(t, h.comps(), nano.WithEndpoint(nano.Endpoint{Listener: l, WebSocket: ws}))
				other := n.TCP.Client(t) // accepted at another endpoint
				other.Ready()
				alive(t, other)
				time.Sleep(long)
				nc, err := l.Dial()
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				c := nanotest.NewClient(t, nc)
				if ws {
					c = nanotest.WebSocket(t, nc)
				}
				c.Ready()
				alive(t, c)
				if d := time.Since(began); d > 1100*time.Millisecond {
					t.Errorf("it recovered %v after it could", d)
				}
				if got := len(n.Log.Lines("cannot accept")); got < 1 || got > 7 {
					t.Errorf("%d lines in the log in %v, want one in 10 s", got, long)
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				if got := len(l.tries); got > 80 {
					t.Errorf("%d tries in %v", got, long)
				}
				for i := 1; i < len(l.tries); i++ {
					if wait := l.tries[i].Sub(l.tries[i-1]); wait < 5*time.Millisecond || wait > time.Second {
						t.Fatalf("try %d came %v after the one before", i, wait)
					}
				}
			})
		})
	}
}

// A node that waits between two tries shuts down all the same.
func TestNodeWithoutDescriptorsShutsDown(t *testing.T) {
	for _, ws := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := &exhausted{Listener: nanotest.NewListener(), until: time.Now().Add(time.Hour)}
			h := &Hostile{}
			n := apptest.Start(t, h.comps(), nano.WithEndpoint(nano.Endpoint{Listener: l, WebSocket: ws}))
			time.Sleep(10 * time.Second)
			began := time.Now()
			n.Stop(t)
			if d := time.Since(began); d > 0 {
				t.Errorf("websocket %v: shutting down took %v", ws, d)
			}
		})
	}
}
