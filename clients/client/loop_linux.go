package client

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
)

const (
	loopBuffer = 64 << 10 // one for each of a loop's goroutines
	quickMax   = 16 << 10 // bytes up to which the runtime is not told of a write: it is over in a few microseconds
)

// poller is one goroutine of a loop, with an epoll instance of its own. The runtime's poller watches that one only, so
// the goroutine waits as all do, and no thread waits beside it.
//
// Events are edge-triggered: each change is told once, and the kernel need not look again at what was told. So whoever is
// told must read until there is no more. Less than a full buffer shows that, without another call to hear it.
type poller struct {
	epoll int
	file  *os.File // of epoll
	raw   syscall.RawConn
	look  func(uintptr) bool // p.pollNow, bound once

	// What stands here belongs to run.
	n      int // of events
	events [256]unix.EpollEvent
	buf    []byte
	again  []*polled // those that have more to read
	scanAt time.Time

	// mu guards what stands here. polled.mu may be taken under it.
	mu     sync.Mutex
	conns  []*polled // by descriptor
	count  int
	closed bool
}

func newPoller() *poller {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err = unix.SetNonblock(fd, true); err != nil { // says to the os package that the runtime can wait for it
		_ = unix.Close(fd)
		return nil
	}
	p := &poller{epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), buf: make([]byte, loopBuffer)}
	p.look = p.pollNow
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.file.SetReadDeadline(time.Time{}) // it fails if the runtime does not wait for it
	}
	if err != nil {
		_ = p.file.Close()
		return nil
	}
	return p
}

// run reads until stop.
func (p *poller) run() {
	for {
		if len(p.again) > 0 {
			p.pollNow(uintptr(p.epoll))
		} else if err := p.raw.Read(p.look); err != nil { // the deadline
			p.n = 0
		}
		again := p.again
		p.again = nil
		p.serveEvents()
		for _, s := range again {
			s.queued = false
			p.serve(s, unix.EPOLLIN|s.hung)
		}
		if now := time.Now(); !now.Before(p.scanAt) || p.n == 0 {
			if !p.scan(now) {
				return
			}
		}
	}
}

// pollNow takes the events that there are.
func (p *poller) pollNow(fd uintptr) bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0) //nolint:gosec // as in the standard library
	if p.n = int(n); errno != 0 {
		p.n = 0
	}
	return p.n > 0
}

func (p *poller) serveEvents() {
	for i := range p.events[:p.n] {
		ev := &p.events[i]
		p.mu.Lock()
		s := p.conns[ev.Fd]
		p.mu.Unlock()
		if s != nil {
			p.serve(s, ev.Events)
		}
	}
}

// serve does what an event asks for.
func (p *poller) serve(s *polled, events uint32) {
	if s.dropped {
		return
	}
	hung := events & (unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR)
	if events&unix.EPOLLOUT|hung != 0 && s.blocked.Load() {
		select {
		case s.writable <- struct{}{}:
		default:
		}
	}
	if events&unix.EPOLLIN|hung == 0 {
		return
	}
	n, err := quick(syscall.SYS_READ, s.fd, p.buf)
	switch {
	case n > 0:
		if err := s.c.turn(s.l, p.buf[:n]); err != nil {
			p.drop(s, err)
		} else if s.hung |= hung; !s.queued && (n == len(p.buf) || s.hung != 0) { // the end is told once, too
			s.queued = true
			p.again = append(p.again, s)
		}
	case n == 0:
		p.drop(s, readError(io.EOF))
	case !errors.Is(err, unix.EAGAIN):
		p.drop(s, readError(os.NewSyscallError("read", err)))
	}
}

// scan ends the connections of servers that have been silent for too long. It returns false when the loop is closed, and
// nothing is left in it.
func (p *poller) scan(now time.Time) bool {
	p.mu.Lock()
	var ended []*polled
	for _, s := range p.conns {
		if s != nil && (p.closed || s.late(now)) {
			ended = append(ended, s)
		}
	}
	over := p.closed
	p.scanAt = now.Add(scanEvery)
	if !over {
		next := p.scanAt
		if p.count == 0 {
			next = time.Time{}
		}
		_ = p.file.SetReadDeadline(next)
	}
	p.mu.Unlock()
	for _, s := range ended {
		if over {
			p.drop(s, ErrLoopClosed)
		} else {
			p.drop(s, ErrSilent)
		}
	}
	if over {
		_ = p.file.Close()
	}
	return !over
}

// stop has run end.
func (p *poller) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		_ = p.file.SetReadDeadline(time.Unix(1, 0))
	}
}

// take makes the descriptor of nc, or nil, one that only the loop waits for. nc is closed then.
func (p *poller) take(nc net.Conn) transport {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	fd := -1
	if err = raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || fd < 0 {
		return nil
	}
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		_ = unix.Close(fd)
		return nil
	}
	_ = nc.Close() // the connection goes on, as it has another descriptor
	return &polled{p: p, fd: fd, done: make(chan error, 1), writable: make(chan struct{}, 1), gone: make(chan struct{})}
}

// add begins to watch s.
func (p *poller) add(s *polled) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case p.closed:
		return ErrLoopClosed
	case s.closed:
		return readError(net.ErrClosed)
	}
	for len(p.conns) <= s.fd {
		p.conns = append(p.conns, nil)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(s.fd)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, s.fd, &ev); err != nil {
		return readError(os.NewSyscallError("epoll_ctl", err))
	}
	p.conns[s.fd], s.watched = s, true
	if p.count++; p.count == 1 {
		_ = p.file.SetReadDeadline(time.Now().Add(scanEvery))
	}
	return nil
}

// drop ends the watch over s and says why.
func (p *poller) drop(s *polled, err error) {
	s.dropped = true
	p.mu.Lock()
	p.conns[s.fd] = nil
	p.count--
	s.mu.Lock()
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, s.fd, nil)
	s.watched = false
	s.releaseLocked()
	s.mu.Unlock()
	p.mu.Unlock()
	s.done <- err
}

// polled is a TCP connection that a loop reads.
type polled struct {
	p        *poller
	fd       int
	c        *Client
	l        *link
	done     chan error    // why the loop has dropped it
	writable chan struct{} // it may be
	gone     chan struct{} // closed by close
	blocked  atomic.Bool   // somebody wants to hear of writable
	silentAt atomic.Int64  // in nanoseconds; 0: never

	// What stands here belongs to the poller's run.
	dropped bool
	queued  bool   // in again
	hung    uint32 // the events that have told of the end

	// mu guards what stands here, and that the descriptor is open while it is written to.
	mu      sync.Mutex
	watched bool // so that the descriptor stays open
	closed  bool
	free    bool // the descriptor is closed
}

func (s *polled) serve(c *Client, l *link) error {
	s.c, s.l = c, l
	if err := c.turn(l, nil); err != nil { // what came with the handshake
		return err
	}
	if err := s.p.add(s); err != nil {
		return err
	}
	return <-s.done
}

// read is not how it is read.
func (*polled) read() ([]byte, error) { return nil, errors.ErrUnsupported }

func (s *polled) writeNow(b []byte) int {
	n, _ := s.attempt(b)
	return max(n, 0)
}

// attempt writes what the socket takes at once.
func (s *polled) attempt(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return -1, net.ErrClosed
	case len(b) <= quickMax:
		return quick(syscall.SYS_WRITE, s.fd, b)
	}
	return syscall.Write(s.fd, b)
}

func (s *polled) write(b []byte, deadline time.Time) error {
	s.blocked.Store(true) // before it is tried: what frees the socket after that is told
	defer s.blocked.Store(false)
	var timer *time.Timer
	for len(b) > 0 {
		n, err := s.attempt(b)
		switch {
		case n > 0:
			b = b[n:]
			continue
		case err != nil && !errors.Is(err, unix.EAGAIN):
			return os.NewSyscallError("write", err)
		}
		if timer == nil {
			timer = time.NewTimer(time.Until(deadline))
			defer timer.Stop() //nolint:revive // made at most once, whatever the loop does
		}
		select {
		case <-s.writable:
		case <-timer.C:
			return os.ErrDeadlineExceeded
		case <-s.gone:
			return net.ErrClosed
		}
	}
	return nil
}

func (s *polled) deadline(t time.Time) { s.silentAt.Store(t.UnixNano()) }

func (s *polled) late(now time.Time) bool {
	at := s.silentAt.Load()
	return at != 0 && now.UnixNano() >= at
}

func (s *polled) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_ = unix.Shutdown(s.fd, unix.SHUT_WR)
	}
}

// close ends the connection. Its descriptor is closed when the loop has let go of it, as another one may get its number.
func (s *polled) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.gone)
	if s.watched {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // tells the loop
	}
	s.releaseLocked()
}

func (s *polled) releaseLocked() {
	if s.closed && !s.watched && !s.free {
		s.free = true
		_ = unix.Close(s.fd)
	}
}

// quick is read or write of a descriptor that does not block, of which Go's scheduler need not know.
func quick(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))) //nolint:gosec // as in the standard library
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
