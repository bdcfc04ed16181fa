package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	loopBuffer = 64 << 10 // one for each of a loop's goroutines
	quickMax   = 16 << 10 // bytes up to which the runtime is not told of a write: it is over in a few microseconds
)

// poller is one goroutine of a loop, with an epoll instance of its own. The runtime's poller
// watches that one only, so the goroutine waits as all do, and no thread waits beside it.
//
// Events are edge-triggered: each change is told once, and the kernel need not look again at what
// was told. So whoever is told must read until there is no more. Less than a full buffer shows
// that, without another call to hear it.
type poller struct {
	epoll int
	file  *os.File // of epoll
	raw   syscall.RawConn
	look  func(uintptr) bool // p.pollNow, bound once

	// What stands here belongs to run.
	n      int // of events
	events [256]unix.EpollEvent
	buf    []byte
	again  []*conn // those that have more to read
	scanAt time.Time

	// mu guards what stands here. conn.mu may be taken under it.
	mu     sync.Mutex
	conns  []*conn // by descriptor
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
func (p *poller) serve(s *conn, events uint32) {
	if s.dropped {
		return
	}
	hung := events & (unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR)
	if events&unix.EPOLLOUT|hung != 0 {
		s.writing.wake()
	}
	if events&unix.EPOLLIN|hung == 0 {
		return
	}
	if s.handle == nil {
		serving := s.serving.Load()
		if serving == nil { // the handshake: somebody reads, or has closed
			s.reading.wake()
			if s.isClosed() {
				p.drop(s, net.ErrClosed)
			}
			return
		}
		s.handle = *serving
	}
	n, err := quick(syscall.SYS_READ, s.fd, p.buf)
	switch {
	case n > 0:
		if err := s.handle(p.buf[:n]); err != nil {
			p.drop(s, err)
		} else if s.hung |= hung; !s.queued && (n == len(p.buf) || s.hung != 0) { // the end is told once, too
			s.queued = true
			p.again = append(p.again, s)
		}
	case n == 0:
		p.drop(s, io.EOF)
	case !errors.Is(err, unix.EAGAIN):
		p.drop(s, os.NewSyscallError("read", err))
	}
}

// scan ends the connections whose deadline of reading is over. It returns false when the loop is
// closed, and nothing is left in it.
func (p *poller) scan(now time.Time) bool {
	p.mu.Lock()
	var ended []*conn
	for _, s := range p.conns {
		if s != nil && (p.closed || s.reading.late(now) && s.serving.Load() != nil) {
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
			p.drop(s, ErrClosed)
		} else {
			p.drop(s, os.ErrDeadlineExceeded)
		}
	}
	if over {
		_ = p.file.Close()
	}
	return !over
}

// stop ends run.
func (p *poller) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		_ = p.file.SetReadDeadline(time.Unix(1, 0))
	}
}

// take makes a connection that the loop reads of nc, which is of no use then; or it returns nc.
func (p *poller) take(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nc
	}
	fd := -1
	if err = raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || fd < 0 {
		return nc
	}
	s := newConn(p, fd, nc)
	if !p.add(s) {
		_ = unix.Close(fd)
		return nc
	}
	_ = nc.Close() // the connection goes on, as it has another descriptor
	return s
}

// events are what is watched, edge-triggered.
const events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// add begins to watch s.
func (p *poller) add(s *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ev := unix.EpollEvent{Events: events, Fd: int32(s.fd)}
	if p.closed || unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, s.fd, &ev) != nil {
		return false
	}
	for len(p.conns) <= s.fd {
		p.conns = append(p.conns, nil)
	}
	p.conns[s.fd] = s
	if p.count++; p.count == 1 {
		_ = p.file.SetReadDeadline(time.Now().Add(scanEvery))
	}
	return true
}

// tellAgain has the events of s that hold now told once more.
func (p *poller) tellAgain(s *conn) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(s.fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, s.fd, &ev))
}

// drop ends the watch over s and says why. Only run calls it.
func (p *poller) drop(s *conn, err error) {
	s.dropped = true
	p.mu.Lock()
	p.conns[s.fd] = nil
	p.count--
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, s.fd, nil)
	p.mu.Unlock()
	s.letGo(err)
}
