package nanotest

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// backlog is how many connections may wait for Accept.
const backlog = 4096

// Listener is a net.Listener in memory. Its connections are synchronous pipes: a write returns when
// the other end has read it, and a client that does not read holds up its server at the first byte.
// It may be used by any number of goroutines.
type Listener struct {
	queue chan net.Conn
	done  chan struct{}
	once  sync.Once

	events atomic.Bool // see TransportVariable
}

// NewListener returns an open listener. Made inside a synctest bubble, it belongs to it.
func NewListener() *Listener {
	return &Listener{queue: make(chan net.Conn, backlog), done: make(chan struct{})}
}

// Accept waits for the next connection; net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case nc := <-l.queue:
		if l.events.Load() {
			return &eventConn{Conn: nc}, nil
		}
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and the connections that it has not returned.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	l.drop()
	return nil
}

// drop closes what waits for Accept.
func (l *Listener) drop() {
	for {
		select {
		case nc := <-l.queue:
			_ = nc.Close()
		default:
			return
		}
	}
}

// Addr is an address that nothing listens on.
func (l *Listener) Addr() net.Addr { return addr("192.0.2.1:3250") }

// Dial connects and returns the client's end. net.ErrClosed after Close.
func (l *Listener) Dial() (net.Conn, error) { return l.DialFrom("192.0.2.2:40000") }

// DialFrom connects with a host:port of IP and number that the server sees as the client's address.
func (l *Listener) DialFrom(from string) (net.Conn, error) {
	client, server := net.Pipe()
	a, b := &conn{client, addr(from), l.Addr()}, &conn{server, l.Addr(), addr(from)}
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case l.queue <- b:
		select {
		case <-l.done: // meanwhile, and Close may have dropped what waits before this did
			l.drop()
		default:
		}
		return a, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func addr(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

// conn is a pipe's end with addresses.
type conn struct {
	net.Conn
	local, remote net.Addr
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Nowhere is a connection that takes everything and gives nothing.
type Nowhere struct{}

// Read returns io.EOF.
func (Nowhere) Read([]byte) (int, error) { return 0, io.EOF }

// Write takes b.
func (Nowhere) Write(b []byte) (int, error) { return len(b), nil }

// Close does nothing.
func (Nowhere) Close() error { return nil }

// LocalAddr is a server's.
func (Nowhere) LocalAddr() net.Addr { return addr("192.0.2.1:3250") }

// RemoteAddr is a client's.
func (Nowhere) RemoteAddr() net.Addr { return addr("192.0.2.2:40000") }

// SetDeadline does nothing.
func (Nowhere) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (Nowhere) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (Nowhere) SetWriteDeadline(time.Time) error { return nil }

// FreeAddr returns an address that is reserved for the test, as by ReserveAddr.
func FreeAddr(t interface {
	Helper()
	Fatal(a ...any)
	Cleanup(fn func())
}) string {
	t.Helper()
	addr, release, err := ReserveAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}
