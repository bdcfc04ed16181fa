// Package transport reads and writes the connections of clients. A gate sees all of them as [Conn],
// whatever waits for their bytes.
//
// [Portable] gives each connection a goroutine that reads it. It takes any net.Conn: TLS, a pipe,
// what a proxy's header precedes. A [Loop], on Linux, waits for all its connections together.
//
// The package knows nothing of packets, sessions or WebSockets.
package transport

import (
	"net"
	"time"
)

// Handler serves what is read from a connection. Its methods are called one at a time.
type Handler interface {
	// Serve serves bytes that were read. They are lent until it returns. After an error nothing
	// more is read.
	Serve(data []byte) error
	// Settle finishes what Serve has begun. It may wait: the bytes are given back already.
	Settle()
	// InputEnded is called once, when nothing more is read: io.EOF at the end of the stream,
	// net.ErrClosed after Close, or the error of Serve or of the network.
	InputEnded(err error)
}

// Conn is the connection of a client. Its methods are safe for concurrent use, except that one
// goroutine writes at a time.
type Conn interface {
	// Start has h serve what comes, until the connection ends. It is called once.
	Start(h Handler)
	// Waiting tells that the handler is about to wait, so that nobody waits for it.
	Waiting()

	// WriteSome writes some of the strings, in order, without waiting. With n = 0 and no error
	// there is no room now. The strings are lent until it returns.
	WriteSome(segs [][]byte) (n int, err error)
	// Blocks reports that the connection cannot do that: every write, and CloseWrite, may wait.
	Blocks() bool
	// WriteUntil waits until b is written or p has no more patience: os.ErrDeadlineExceeded.
	WriteUntil(b []byte, p Patience) (n int, err error)
	// Unsent is how many written bytes the client has not acknowledged; 0 where that is not known.
	Unsent() int
	// Traffic returns what the kernel has counted; ok is false where it does not tell.
	Traffic() (t Traffic, ok bool)

	// CloseWrite sends the end of the stream; errors.ErrUnsupported if there is no such thing.
	CloseWrite() error
	// Discard has Close drop what the kernel holds for the client.
	Discard()
	// Close closes the connection and does not wait. It may be called again.
	Close() error
	RemoteAddr() net.Addr
}

// Traffic is what the kernel counts of a TCP connection. So no connection needs counters of ours.
type Traffic struct {
	In, Out uint64        // bytes that came, and that the client has acknowledged; with TLS its own among them
	RTT     time.Duration // to the client, or to the proxy before it
	Quiet   time.Duration // since something came last
}

// EventConn is a connection of a [Loop]. It is a net.Conn, too, so that it passes where one is
// wanted; Read is not possible, Write takes only what there is room for, and deadlines are ignored.
type EventConn interface {
	Conn
	net.Conn
	// Detach takes the connection out of the loop and returns it as one of Go's net package. Only
	// the handler may call it, from Serve, which is to return an error then.
	Detach() (net.Conn, error)
}

// EventListener is a listener that can return [EventConn]s, as listeners in memory for tests do.
// EventConns has Accept do so from now on, and reports whether it will.
type EventListener interface {
	net.Listener
	EventConns() bool
}

// readSize is the size of the buffers that reads share. A connection has one only while it reads.
const readSize = 16 << 10
