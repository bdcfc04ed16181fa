package main

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Bounds of connections whose first bytes have not come.
const (
	maxUnknown  = 4096
	unknownTime = 10 * time.Second
)

// split divides the connections of one listener: those that begin as HTTP/2 without TLS ("h2c", by
// prior knowledge) go to one server, all others to another, which reads from the first byte as if
// nobody had looked.
type split struct {
	net.Listener
	h2, rest *queue
	unknown  chan struct{}
	ended    sync.WaitGroup
}

// newSplit begins to accept. It waits for the first bytes of so many connections at a time.
func newSplit(l net.Listener, unknown int) *split {
	s := &split{Listener: l, unknown: make(chan struct{}, unknown)}
	s.h2, s.rest = newQueue(l), newQueue(l)
	s.ended.Add(1)
	go s.accept()
	return s
}

func (s *split) accept() {
	defer s.ended.Done()
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				time.Sleep(50 * time.Millisecond) // out of descriptors, most likely
				continue
			}
			s.h2.close()
			s.rest.close()
			return
		}
		select {
		case s.unknown <- struct{}{}:
			go s.look(c)
		default:
			s.rest.put(c) // so many say nothing that nobody waits for one more here: the other server has limits of its own
		}
	}
}

// look waits for the first bytes of a connection, and gives it to the server that it is for.
func (s *split) look(c net.Conn) {
	defer func() { <-s.unknown }()
	_ = c.SetReadDeadline(time.Now().Add(unknownTime))
	first, err := peek(c, len("PRI "))
	if err != nil {
		c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	if first == "PRI " {
		s.h2.put(c)
	} else {
		s.rest.put(c)
	}
}

// queue is the listener of one of the servers.
type queue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
	under net.Listener
}

func newQueue(l net.Listener) *queue {
	return &queue{conns: make(chan net.Conn), done: make(chan struct{}), addr: l.Addr(), under: l}
}

func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		c.Close()
	}
}

func (q *queue) close() { q.once.Do(func() { close(q.done) }) }

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends both servers' listeners: they share a port.
func (q *queue) Close() error {
	q.close()
	if err := q.under.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil // the other server has closed it
}

// Addr returns the address of both.
func (q *queue) Addr() net.Addr { return q.addr }
