package nanotest

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lonng/nano/internal/transport"
)

// TransportVariable is the environment variable that has the same tests run against both
// transports. Without it, real sockets are the event loop's, and connections in memory have
// goroutines. If it is "loop", listeners in memory hand out connections like those of an event
// loop, on a bubble's clock. If it is "portable", nodes give real sockets goroutines:
//
//	NANO_TEST_TRANSPORT=loop go test ./internal/gate ./test/node ./test/cluster
//	NANO_TEST_TRANSPORT=portable go test ./internal/gate ./test/node ./test/process
const TransportVariable = "NANO_TEST_TRANSPORT"

// Portable reports whether nodes are to give real sockets goroutines.
func Portable() bool { return os.Getenv(TransportVariable) == "portable" }

// EventConns has Accept return such connections, if the variable says so.
func (l *Listener) EventConns() bool {
	on := os.Getenv(TransportVariable) == "loop"
	l.events.Store(on)
	return on
}

// eventConn is a pipe's end that behaves as a connection of an event loop: whoever reads is not the
// connection's, a close tells the handler at once if it serves nothing, and no write waits unless
// it is told to.
type eventConn struct {
	net.Conn

	mu     sync.Mutex
	h      transport.Handler
	serves bool // the handler is called now
	ended  bool // the handler was told, or there is none any more
	closed bool
}

// Start has h serve what comes; from Serve, what comes after that.
func (c *eventConn) Start(h transport.Handler) {
	c.mu.Lock()
	first := c.h == nil
	c.h = h
	closed := c.closed
	if closed && first {
		c.ended = true
	}
	c.mu.Unlock()
	switch {
	case !first:
	case closed:
		h.InputEnded(net.ErrClosed)
	default:
		go c.read()
	}
}

func (c *eventConn) read() {
	buf := make([]byte, 2<<10)
	for {
		n, err := c.Conn.Read(buf)
		if n > 0 {
			h := c.begin()
			if h == nil {
				return
			}
			serr := h.Serve(buf[:n])
			c.mu.Lock()
			h = c.h // Serve may have started another
			c.mu.Unlock()
			h.Settle()
			if serr != nil {
				err = serr
			}
		} else if c.begin() == nil {
			return
		}
		if c.end(err) {
			return
		}
	}
}

// begin marks the handler as serving; nil if it was told of the end.
func (c *eventConn) begin() transport.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	c.serves = true
	return c.h
}

// end marks the handler as idle, or tells it of the end.
func (c *eventConn) end(err error) bool {
	c.mu.Lock()
	c.serves = false
	if c.closed && err == nil {
		err = net.ErrClosed
	}
	h := c.h
	c.ended = c.ended || err != nil
	c.mu.Unlock()
	if err != nil {
		h.InputEnded(err)
	}
	return err != nil
}

func (c *eventConn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	tell := c.h != nil && !c.serves && !c.ended
	if tell {
		c.ended = true
	}
	c.mu.Unlock()
	_ = c.Conn.Close()
	if tell {
		c.h.InputEnded(net.ErrClosed)
	}
	return nil
}

func (c *eventConn) Detach() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	c.closed = true
	return c.Conn, nil
}

func (c *eventConn) Waiting() {}

// WriteSome finds no room: the pipe has none.
func (c *eventConn) WriteSome([][]byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return 0, nil
}

func (c *eventConn) Blocks() bool { return false }

func (c *eventConn) WriteUntil(b []byte, p transport.Patience) (int, error) {
	return transport.WritePatiently(b, p, c.writeUntil)
}

func (c *eventConn) writeUntil(b []byte, until time.Time) (int, error) {
	if err := c.SetWriteDeadline(until); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	_ = c.SetWriteDeadline(time.Time{}) // a closed pipe needs none
	return n, err
}

func (c *eventConn) Unsent() int { return 0 }

// Traffic has no kernel to ask.
func (c *eventConn) Traffic() (t transport.Traffic, ok bool) { return t, false }
func (c *eventConn) CloseWrite() error                       { return errors.ErrUnsupported }
func (c *eventConn) Discard()                                {}
