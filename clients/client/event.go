package client

import (
	"io"
	"net"
)

// EventConn is a connection that reads itself, for programs that are thousands of users at once:
// one event loop, such as one with epoll, reads all of their connections, and no goroutine waits in
// a read for each. A client uses it when its dialer ([WithDialer]) returns one for a tcp address.
// Below TLS and WebSockets it is a net.Conn like others.
//
// During the handshake the client calls Read and Write as usual, and then Serve once. All that
// comes of the bytes happens in the calls of Serve's function, on the goroutine of the loop:
// functions of [Client.Start], handlers of pushes. They must be quick, and must wait for nothing
// that the loop reads. What they send to their own server is written once, when they have returned.
// The methods may be called from any goroutine at the same time, but there is one Write at a time.
type EventConn interface {
	net.Conn

	// Serve calls handle with the bytes that come, in order and one call at a time. It returns the
	// error of handle, or why reading has ended: io.EOF, or os.ErrDeadlineExceeded at the time of
	// SetReadDeadline. There is no call of handle after that. The bytes belong to the connection
	// again when handle has returned.
	Serve(handle func(data []byte) error) error

	// TryWrite writes as much of data as the connection takes without waiting, and returns how much
	// that was. It is not called during a Write. An error is not told: the next Write returns it.
	TryWrite(data []byte) int
}

// serve has an EventConn read l, and returns why that has ended.
func (l *link) serve(ev EventConn) error {
	if err := l.handle(nil); err != nil { // what came with the handshake
		return err
	}
	var refused error
	err := ev.Serve(func(data []byte) error {
		err := l.handle(data)
		if err != nil {
			refused = err
		}
		return err
	})
	switch {
	case refused != nil:
		return refused
	case err == nil:
		err = io.EOF
	}
	return readError(err)
}

// handle handles what an EventConn has read, with all that comes of it.
func (l *link) handle(data []byte) error {
	if len(data) > 0 {
		l.c.stats.bytesIn.Add(uint64(len(data)))
		l.dec.Feed(data)
	}
	var err error
	for err == nil {
		p, ok, e := l.decoded()
		if err = e; !ok {
			break
		}
		err = l.receive(p)
	}
	if l.owing {
		l.owing = false
		l.cork()
		l.c.pushes.dispatch()
	}
	if l.gathering {
		l.gathering = false
		l.uncork()
	}
	l.watchSilence()
	return err
}

// cork keeps what is sent on l until uncork.
func (l *link) cork() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.corked, l.gathering = true, true
}

func (l *link) uncork() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.corked = false
	if l.out == nil {
		return
	}
	if !l.writing {
		l.writeNowLocked()
		l.spaceLocked()
	}
	l.writeLocked()
}
