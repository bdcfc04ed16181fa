package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Loop waits for any number of sockets with few goroutines. A socket that says nothing holds its
// [Socket] and no more: no goroutine, no buffer, no timer.
//
// Each of its pollers has one leader: a goroutine that takes what is ready from the kernel and
// serves one socket after the other itself, so that nothing is handed over while all goes well. A
// handler that is about to wait says so (Waiting), and the leader's place goes to a fresh
// goroutine. Where a handler waits without a word, because the application's code does, a watch
// sees after a millisecond or two that the leader does not get on, and does the same. So whoever
// waits costs a goroutine as long as it waits, and holds nobody else up.
//
// A socket is served by one goroutine at a time, whoever leads.
type Loop struct {
	pollers []*poller
	next    atomic.Uint32
}

// NewLoop starts a loop with n pollers.
func NewLoop(n int) (*Loop, error) {
	l := new(Loop)
	for range max(n, 1) {
		p, err := newPoller()
		if err != nil {
			l.Close()
			return nil, err
		}
		l.pollers = append(l.pollers, p)
	}
	return l, nil
}

// Close ends the loop when all its sockets are closed. It waits for the leaders.
func (l *Loop) Close() {
	for _, p := range l.pollers {
		p.close()
	}
}

const (
	watchEvery = time.Millisecond // how long a leader may serve one socket
	eventsMax  = 128              // that are taken from the kernel at a time
	roundReads = 4                // full buffers that a socket is served before others have their turn
)

// poller waits for some of a loop's sockets.
type poller struct {
	epoll   int
	file    *os.File // the same, for Go's own poller, in which the leader waits
	raw     syscall.RawConn
	read    func(fd uintptr) bool // readEvents
	took    int
	events  [eventsMax]unix.EpollEvent // the leader's while it polls
	sockets table
	ended   chan struct{} // the last leader has gone

	mu      sync.Mutex
	leader  *worker
	polling bool // the leader waits for the kernel
	first   int  // events[first:count] are not served yet
	count   int
	more    []*Socket // have had their turn and have more to read
	rested  bool      // the kernel was asked since one of those was served
	rounds  uint64    // counts what leaders have begun to serve
	watched uint64    // rounds when the watch looked last
	armed   bool      // the watch's timer runs
	watch   *time.Timer
	closing bool
	over    bool // no leader is left
}

// worker is a goroutine that leads, or has led and still serves one socket.
type worker struct{ serves *Socket }

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("transport: make an epoll descriptor: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // says to os.NewFile that Go's poller can wait for it
		_ = unix.Close(fd)
		return nil, err
	}
	p := &poller{epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), ended: make(chan struct{})}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, err
	}
	p.read = p.readEvents
	p.leader = new(worker)
	go p.lead(p.leader)
	return p, nil
}

// lead serves sockets as long as w leads.
func (p *poller) lead(w *worker) {
	for {
		s, hangup := p.nextReady(w)
		if s == nil {
			return
		}
		s.serve(w, hangup)
	}
}

// nextReady returns a socket that w is to serve; nil when w leads no more. hangup says that the end
// of the stream may be behind what there is to read.
func (p *poller) nextReady(w *worker) (s *Socket, hangup bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.leader == w {
		if s, hangup, ok := p.fromEventsLocked(w); ok {
			return s, hangup
		}
		if len(p.more) > 0 && p.rested {
			s := p.more[0]
			p.more[0] = nil
			p.more = p.more[1:]
			p.rested = false
			p.rounds++
			w.serves = s
			return s, true
		}
		if p.closing {
			p.over = true
			close(p.ended)
			return nil, false
		}
		p.pollLocked(w)
	}
	return nil, false
}

// fromEventsLocked takes the next event of those that were taken from the kernel.
func (p *poller) fromEventsLocked(w *worker) (s *Socket, hangup, ok bool) {
	for p.first < p.count {
		ev := &p.events[p.first]
		p.first++
		s := p.sockets.at(int(ev.Fd))
		if s == nil || !s.ready(ev.Events) {
			continue
		}
		p.rounds++
		w.serves = s
		return s, ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0, true
	}
	return nil, false, false
}

// pollLocked takes events from the kernel, and waits for them if there is nothing else to do.
func (p *poller) pollLocked(w *worker) {
	wait := len(p.more) == 0
	p.polling, p.rested = true, true
	w.serves = nil
	p.mu.Unlock()
	n := p.poll(wait)
	p.mu.Lock()
	p.polling = false
	p.first, p.count = 0, max(n, 0)
	if (n > 0 || !wait) && !p.armed { // there is something to serve
		p.armed = true
		if p.watch == nil {
			p.watch = time.AfterFunc(watchEvery, p.look)
		} else {
			p.watch.Reset(watchEvery)
		}
	}
}

func (p *poller) poll(wait bool) int {
	p.took = 0
	if !wait {
		p.readEvents(uintptr(p.epoll))
		return p.took
	}
	if err := p.raw.Read(p.read); err != nil {
		return 0 // closing
	}
	return p.took
}

// readEvents is for syscall.RawConn: false has it wait.
func (p *poller) readEvents(uintptr) bool {
	n, err := unix.EpollWait(p.epoll, p.events[:], 0)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return true
	}
	p.took = max(n, 0)
	return n > 0
}

// look is the watch: it hands a leader's place over if the leader has served the same socket for a
// whole tick, and sleeps when it waits for the kernel.
func (p *poller) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.polling || p.over {
		p.armed = false
		return
	}
	if p.rounds == p.watched {
		p.handOverLocked()
	}
	p.watched = p.rounds
	p.watch.Reset(watchEvery)
}

// handOverLocked makes a fresh goroutine the leader.
func (p *poller) handOverLocked() {
	p.leader = new(worker)
	go p.lead(p.leader)
}

// waiting hands the leader's place over, if the leader serves s, which is about to wait.
func (p *poller) waiting(s *Socket) {
	p.mu.Lock()
	if !p.polling && p.leader.serves == s {
		p.handOverLocked()
	}
	p.mu.Unlock()
}

// later has the leader serve s again after others; false if w leads no more, and may go on itself.
func (p *poller) later(w *worker, s *Socket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leader != w {
		return false
	}
	p.more = append(p.more, s)
	return true
}

func (p *poller) close() {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	_ = p.file.Close()
	<-p.ended
}

// add has the kernel tell of s, once for everything that comes, until its descriptor is closed.
func (p *poller) add(s *Socket) error {
	p.sockets.set(int(s.fd), s)
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: s.fd}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, int(s.fd), &ev); err != nil {
		p.sockets.clear(int(s.fd), s)
		return fmt.Errorf("transport: have epoll wait for a socket: %w", err)
	}
	return nil
}

// table finds sockets by their descriptors.
type table struct {
	mu     sync.Mutex
	chunks atomic.Pointer[[]*chunk]
}

type chunk [1024]atomic.Pointer[Socket]

func (t *table) slot(fd int) *atomic.Pointer[Socket] {
	all := t.chunks.Load()
	if all == nil || fd/len(chunk{}) >= len(*all) {
		return nil
	}
	return &(*all)[fd/len(chunk{})][fd%len(chunk{})]
}

func (t *table) at(fd int) *Socket {
	if slot := t.slot(fd); slot != nil {
		return slot.Load()
	}
	return nil
}

func (t *table) set(fd int, s *Socket) {
	if t.slot(fd) == nil {
		t.mu.Lock()
		var all []*chunk
		if old := t.chunks.Load(); old != nil {
			all = append(all, *old...)
		}
		for fd/len(chunk{}) >= len(all) {
			all = append(all, new(chunk))
		}
		t.chunks.Store(&all)
		t.mu.Unlock()
	}
	t.slot(fd).Store(s)
}

// clear forgets s, unless its descriptor is another socket's by now.
func (t *table) clear(fd int, s *Socket) {
	if slot := t.slot(fd); slot != nil {
		slot.CompareAndSwap(s, nil)
	}
}

// Listen returns a listener whose connections are this loop's; false if it cannot be done for l,
// which then is as it was. The listener that is returned closes l.
func (l *Loop) Listen(on net.Listener) (net.Listener, bool) {
	tcp, ok := on.(*net.TCPListener)
	if !ok {
		return nil, false
	}
	file, err := tcp.File() // the listener's own descriptor cannot be waited for from here
	if err != nil {
		return nil, false
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, false
	}
	return &acceptor{TCPListener: tcp, file: file, raw: raw, loop: l}, true
}

// acceptor accepts sockets for a loop.
type acceptor struct {
	*net.TCPListener
	file *os.File
	raw  syscall.RawConn
	loop *Loop
}

func (a *acceptor) Accept() (net.Conn, error) {
	var fd int
	var from unix.Sockaddr
	var aerr error
	err := a.raw.Read(func(on uintptr) bool {
		for {
			fd, from, aerr = unix.Accept4(int(on), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if aerr != unix.EINTR && aerr != unix.ECONNABORTED {
				return aerr != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return nil, net.ErrClosed
	case aerr != nil:
		return nil, os.NewSyscallError("accept4", aerr)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // as net does; without, it is slower and no less right
	l := a.loop
	p := l.pollers[l.next.Add(1)%uint32(len(l.pollers))]
	return &Socket{poller: p, fd: int32(fd), remote: remoteOf(from)}, nil
}

func (a *acceptor) Close() error {
	_ = a.file.Close()
	return a.TCPListener.Close()
}
