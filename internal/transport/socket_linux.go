package transport

import (
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a TCP connection of a [Loop]: an [EventConn].
type Socket struct {
	poller *poller
	h      Handler                // whoever serves sets it, and Start before anybody can
	writer atomic.Pointer[writer] // not nil: somebody waits for room
	fd     int32
	users  atomic.Uint32 // of the descriptor; closedBit: it is to be closed when there are none
	state  atomic.Uint32
	remote remote
}

// remote is the address of a client, in less room than net and net/netip take for it.
type remote struct {
	ip   [16]byte // of IPv4, its form in IPv6
	port uint16
	zone uint16 // the interface of an address that is the link's only; 0: there is none
}

func remoteOf(sa unix.Sockaddr) (r remote) {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		r.ip, r.port = netip.AddrFrom4(a.Addr).As16(), uint16(a.Port)
	case *unix.SockaddrInet6:
		r.ip, r.port = a.Addr, uint16(a.Port)
		if a.ZoneId <= math.MaxUint16 {
			r.zone = uint16(a.ZoneId)
		}
	}
	return r
}

func (r remote) addr() *net.TCPAddr {
	ip := netip.AddrFrom16(r.ip).Unmap()
	if r.zone != 0 && ip.Is6() {
		zone := strconv.Itoa(int(r.zone))
		if i, err := net.InterfaceByIndex(int(r.zone)); err == nil {
			zone = i.Name
		}
		ip = ip.WithZone(zone)
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, r.port))
}

const closedBit = 1 << 31

// The states of a socket.
const (
	socketNew     = iota // not started
	socketIdle           // the kernel says when there is something to read
	socketServed         // somebody reads and serves
	socketAgain          // the same, and there may be more by now
	socketEnded          // the handler was told that nothing more is read
	socketStarted        // Start begins it
)

// writer is somebody who waits for room.
type writer struct{ room chan struct{} }

func (w *writer) wake() {
	select {
	case w.room <- struct{}{}:
	default:
	}
}

// Start has h serve what comes. A handler may call it from Serve, to have another one serve what
// comes after that.
func (s *Socket) Start(h Handler) {
	if !s.state.CompareAndSwap(socketNew, socketStarted) {
		s.h = h
		return
	}
	s.h = h
	s.state.Store(socketIdle)
	if !s.acquire() { // closed meanwhile
		s.wakeUp()
		return
	}
	err := s.poller.add(s)
	s.release()
	if err != nil && s.state.CompareAndSwap(socketIdle, socketEnded) {
		h.InputEnded(err)
	}
}

// Waiting lets others be served while the handler waits.
func (s *Socket) Waiting() { s.poller.waiting(s) }

// acquire keeps the descriptor open until release; false: it is closed.
func (s *Socket) acquire() bool {
	for {
		n := s.users.Load()
		if n&closedBit != 0 {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *Socket) release() {
	if s.users.Add(^uint32(0)) == closedBit {
		s.free()
	}
}

func (s *Socket) free() {
	s.poller.sockets.clear(int(s.fd), s)
	_ = unix.Close(int(s.fd))
}

// Close closes the socket and does not wait.
func (s *Socket) Close() error {
	n := s.users.Or(closedBit)
	if n&closedBit != 0 {
		return net.ErrClosed
	}
	if n == 0 {
		s.free()
	}
	if w := s.writer.Load(); w != nil {
		w.wake()
	}
	s.wakeUp()
	return nil
}

// wakeUp sees that the handler of a closed socket is told.
func (s *Socket) wakeUp() {
	for {
		switch st := s.state.Load(); st {
		case socketIdle:
			if s.state.CompareAndSwap(st, socketEnded) {
				s.h.InputEnded(net.ErrClosed)
				return
			}
		case socketServed:
			if s.state.CompareAndSwap(st, socketAgain) {
				return
			}
		default:
			return
		}
	}
}

// ready takes note of an event; true has the caller serve the socket.
func (s *Socket) ready(events uint32) bool {
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		if w := s.writer.Load(); w != nil {
			w.wake()
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return false
	}
	for {
		switch st := s.state.Load(); st {
		case socketIdle:
			if s.state.CompareAndSwap(st, socketServed) {
				return true
			}
		case socketServed:
			if s.state.CompareAndSwap(st, socketAgain) {
				return false
			}
		default:
			return false
		}
	}
}

// serve reads and serves until there is nothing to read, or others are to have their turn. all says
// that a read that does not fill the buffer is not yet the last.
func (s *Socket) serve(w *worker, all bool) {
	for {
		more, err := s.readSome(all)
		if err != nil {
			s.state.Store(socketEnded)
			s.h.InputEnded(err)
			return
		}
		if more {
			if s.poller.later(w, s) {
				return
			}
			continue
		}
		if s.state.CompareAndSwap(socketServed, socketIdle) {
			return
		}
		s.state.Store(socketServed)
		all = true
	}
}

// readSome serves a turn of reads; more says that there may be more to read. The kernel tells of
// what comes after a read that did not fill the buffer.
func (s *Socket) readSome(all bool) (more bool, err error) {
	for range roundReads {
		if !s.acquire() {
			return false, net.ErrClosed
		}
		buf := readBufs.Get().(*[readSize]byte)
		n, again, err := readRaw(int(s.fd), buf[:])
		s.release()
		if again || err != nil {
			readBufs.Put(buf)
			return false, err
		}
		err = s.h.Serve(buf[:n])
		readBufs.Put(buf)
		s.h.Settle()
		if err != nil {
			return false, err
		}
		if n < readSize && !all {
			return false, nil
		}
	}
	return true, nil
}

// Detach takes the socket out of the loop and returns it as a connection of Go's net package. Only
// the handler may call it, from Serve, and it ends the handler.
func (s *Socket) Detach() (net.Conn, error) {
	for !s.users.CompareAndSwap(0, closedBit) {
		if s.users.Load()&closedBit != 0 {
			return nil, net.ErrClosed
		}
		runtime.Gosched() // who uses the descriptor does not wait
	}
	s.poller.sockets.clear(int(s.fd), s)
	err := unix.EpollCtl(s.poller.epoll, unix.EPOLL_CTL_DEL, int(s.fd), nil)
	file := os.NewFile(uintptr(s.fd), "tcp")
	defer func() { _ = file.Close() }() // net.FileConn has a descriptor of its own
	if err != nil {
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return net.FileConn(file)
}

// Blocks returns false.
func (s *Socket) Blocks() bool { return false }

// WriteSome writes without waiting.
func (s *Socket) WriteSome(segs [][]byte) (int, error) {
	if !s.acquire() {
		return 0, net.ErrClosed
	}
	n, err := writeRaw(int(s.fd), segs)
	s.release()
	return n, err
}

// WriteUntil waits for room as long as p does.
func (s *Socket) WriteUntil(b []byte, p Patience) (int, error) {
	return WritePatiently(b, p, s.writeUntil)
}

func (s *Socket) writeUntil(b []byte, until time.Time) (int, error) {
	n, err := s.WriteSome([][]byte{b})
	if err != nil || n == len(b) {
		return n, err
	}
	// The kernel tells of room only whoever waits already. So the first try below comes behind
	// this.
	w := &writer{room: make(chan struct{}, 1)}
	s.writer.Store(w)
	defer s.writer.Store(nil)
	late := time.NewTimer(time.Until(until))
	defer late.Stop()
	for over := false; ; {
		k, err := s.WriteSome([][]byte{b[n:]})
		n += k
		switch {
		case err != nil || n == len(b):
			return n, err
		case k > 0:
			continue
		case over:
			return n, os.ErrDeadlineExceeded
		}
		select {
		case <-w.room:
		case <-late.C:
			over = true // the kernel tells of room when a third of its buffer is free; a slow client frees less
		}
	}
}

// Unsent is how many bytes the client has not acknowledged.
func (s *Socket) Unsent() (n int) {
	_ = s.with(func() error { n = unsent(int(s.fd)); return nil })
	return n
}

// Traffic returns what the kernel has counted.
func (s *Socket) Traffic() (t Traffic, ok bool) {
	_ = s.with(func() error { t, ok = traffic(int(s.fd)); return nil })
	return t, ok
}

// CloseWrite sends the end of the stream.
func (s *Socket) CloseWrite() error {
	return s.with(func() error { return os.NewSyscallError("shutdown", unix.Shutdown(int(s.fd), unix.SHUT_WR)) })
}

// Discard has Close drop what the kernel holds.
func (s *Socket) Discard() {
	_ = s.with(func() error {
		return unix.SetsockoptLinger(int(s.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}

// SetWriteBuffer bounds what the kernel holds for the client.
func (s *Socket) SetWriteBuffer(bytes int) error {
	return s.with(func() error { return unix.SetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, bytes) })
}

// with calls f while the descriptor is open.
func (s *Socket) with(f func() error) error {
	if !s.acquire() {
		return net.ErrClosed
	}
	defer s.release()
	return f()
}

// RemoteAddr returns the client's address, a *net.TCPAddr.
func (s *Socket) RemoteAddr() net.Addr { return s.remote.addr() }

// LocalAddr returns the node's address, nil if the socket is closed.
func (s *Socket) LocalAddr() (a net.Addr) {
	_ = s.with(func() error {
		at, err := unix.Getsockname(int(s.fd))
		if err == nil {
			a = remoteOf(at).addr()
		}
		return err
	})
	return a
}

// Write writes b if there is room for all of it.
func (s *Socket) Write(b []byte) (int, error) {
	n, err := s.WriteSome([][]byte{b})
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Read is not possible: a handler is given what comes.
func (s *Socket) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// SetDeadline does nothing, because nothing here waits.
func (s *Socket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (s *Socket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (s *Socket) SetWriteDeadline(time.Time) error { return nil }
