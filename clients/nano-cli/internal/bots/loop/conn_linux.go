package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lonng/nano/clients/client"
)

// conn is a TCP connection that a loop watches, and after Serve reads.
//
// What each message needs stands first: thousands of connections do not fit the processor's cache.
type conn struct {
	fd int

	// What stands here belongs to the poller's run.
	handle  func([]byte) error // of Serve, once it was needed
	hung    uint32             // the events that have told of the end
	queued  bool               // in again
	dropped bool

	// mu guards what stands here, and that the descriptor is open while it is used.
	mu     sync.Mutex
	closed bool  // by Close
	err    error // why the loop has let go of it; nil: it watches, so that fd stays open

	writing, reading waiter
	serving          atomic.Pointer[func([]byte) error] // of Serve; nil: the handshake

	p             *poller
	local, remote net.Addr
	ended         chan error    // why the loop has let go of it
	over          chan struct{} // closed when it is of no use any more
}

var _ client.EventConn = (*conn)(nil)

func newConn(p *poller, fd int, nc net.Conn) *conn {
	return &conn{
		p: p, fd: fd, local: nc.LocalAddr(), remote: nc.RemoteAddr(),
		reading: waiter{ready: make(chan struct{}, 1)}, writing: waiter{ready: make(chan struct{}, 1)},
		ended: make(chan error, 1), over: make(chan struct{}),
	}
}

// Serve implements client.EventConn.
func (s *conn) Serve(handle func([]byte) error) error {
	if err := s.begin(handle); err != nil {
		return err
	}
	return <-s.ended
}

// begin has the loop read.
func (s *conn) begin(handle func([]byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(); err != nil {
		return err
	}
	s.serving.Store(&handle)
	return s.p.tellAgain(s)
}

func (s *conn) usableLocked() error {
	if s.closed {
		return net.ErrClosed
	}
	return s.err
}

func (s *conn) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Read reads during the handshake; after that only the loop does.
func (s *conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.reading.begin()
	defer s.reading.end()
	for {
		n, err := s.tryRead(b)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case !errors.Is(err, unix.EAGAIN):
			return 0, os.NewSyscallError("read", err)
		}
		if err := s.reading.wait(s.over); err != nil {
			return 0, err
		}
	}
}

// Write writes all of b, or until the deadline of writing.
func (s *conn) Write(b []byte) (written int, err error) {
	s.writing.begin()
	defer s.writing.end()
	for written < len(b) {
		n, err := s.tryWrite(b[written:])
		switch {
		case n > 0:
			written += n
			continue
		case err != nil && !errors.Is(err, unix.EAGAIN):
			return written, os.NewSyscallError("write", err)
		}
		if err := s.writing.wait(s.over); err != nil {
			return written, err
		}
	}
	return written, nil
}

// TryWrite implements client.EventConn.
func (s *conn) TryWrite(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	n, _ := s.tryWrite(b)
	return max(n, 0)
}

// tryRead reads what there is.
func (s *conn) tryRead(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(); err != nil {
		return -1, err
	}
	return quick(syscall.SYS_READ, s.fd, b[:min(len(b), quickMax)])
}

// tryWrite writes what the socket takes at once.
func (s *conn) tryWrite(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(); err != nil {
		return -1, err
	}
	if len(b) <= quickMax {
		return quick(syscall.SYS_WRITE, s.fd, b)
	}
	return syscall.Write(s.fd, b)
}

// CloseWrite tells the peer that nothing more comes.
func (s *conn) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(); err != nil {
		return err
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(s.fd, unix.SHUT_WR))
}

// Close ends the connection. Its descriptor is closed when the loop has let go of it, as another
// one may get its number.
func (s *conn) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	if s.err != nil {
		return os.NewSyscallError("close", unix.Close(s.fd))
	}
	close(s.over)
	_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // tells the loop, also when the peer has ended the connection
	return nil
}

// letGo is told by the loop that it watches no more, and why.
func (s *conn) letGo(err error) {
	s.mu.Lock()
	s.err = err
	if s.closed {
		_ = unix.Close(s.fd)
	} else {
		close(s.over)
	}
	s.mu.Unlock()
	s.ended <- err
}

func (s *conn) LocalAddr() net.Addr  { return s.local }
func (s *conn) RemoteAddr() net.Addr { return s.remote }

func (s *conn) SetReadDeadline(t time.Time) error {
	s.reading.setDeadline(t)
	return nil
}

func (s *conn) SetWriteDeadline(t time.Time) error {
	s.writing.setDeadline(t)
	return nil
}

func (s *conn) SetDeadline(t time.Time) error {
	s.reading.setDeadline(t)
	s.writing.setDeadline(t)
	return nil
}

// waiter is one direction of a connection, in which at most one goroutine waits.
type waiter struct {
	waits    atomic.Bool
	deadline atomic.Int64  // in nanoseconds since 1970; 0: none
	ready    chan struct{} // holds one
}

// begin comes before the first try: what makes another one worthwhile after that wakes.
func (w *waiter) begin() { w.waits.Store(true) }

func (w *waiter) end() { w.waits.Store(false) }

// wait waits until it is worthwhile to try again.
func (w *waiter) wait(over <-chan struct{}) error {
	var after <-chan time.Time
	if at := w.deadline.Load(); at != 0 {
		d := time.Until(time.Unix(0, at))
		if d <= 0 {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-w.ready:
	case <-after: // which may have been moved meanwhile
	case <-over:
	}
	return nil
}

func (w *waiter) wake() {
	if !w.waits.Load() {
		return
	}
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *waiter) setDeadline(t time.Time) {
	at := int64(0)
	if !t.IsZero() {
		at = t.UnixNano()
	}
	w.deadline.Store(at)
	w.wake()
}

// late tells whether the deadline is over.
func (w *waiter) late(now time.Time) bool {
	at := w.deadline.Load()
	return at != 0 && now.UnixNano() >= at
}

// quick is read or write of a descriptor that does not block, of which Go's scheduler need not
// know.
func quick(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))) //nolint:gosec // as in the standard library
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
