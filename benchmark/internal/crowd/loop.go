//go:build linux

package crowd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

func sockaddr(addr string) (unix.Sockaddr, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().Is4() {
		return nil, fmt.Errorf("crowd: %q is no IPv4 address with a port", addr)
	}
	return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, nil
}

func (c *Crowd) openLoop() (err error) {
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("crowd: epoll: %w", err)
	}
	if c.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("crowd: eventfd: %w", err)
	}
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, c.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.wake)})
}

// rouse has the loop look around.
func (c *Crowd) rouse() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(c.wake, one[:])
}

// loop serves all connections.
func (c *Crowd) loop() {
	defer close(c.done)
	defer c.closeAll()
	events := make([]unix.EpollEvent, 1024)
	for !c.stopping.Load() {
		c.connectMore()
		n, err := unix.EpollWait(c.epoll, events, 1000)
		if err != nil && !errors.Is(err, unix.EINTR) {
			c.fail(-1, err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			if i := c.find(e.Fd); i >= 0 {
				c.serve(i, e.Events)
			}
		}
		c.tell()
	}
}

// find returns the client with a descriptor, -1 if there is none.
func (c *Crowd) find(fd int32) int32 {
	if int(fd) >= len(c.byFD) {
		return -1
	}
	return c.byFD[fd]
}

func (c *Crowd) closeAll() {
	for fd, i := range c.byFD {
		if i >= 0 {
			_ = unix.Close(fd)
		}
	}
	_ = unix.Close(c.epoll)
	_ = unix.Close(c.wake)
}

// connectMore has as many clients on their way in as may be.
func (c *Crowd) connectMore() {
	for c.next < len(c.conns) && c.coming < c.cfg.AtOnce && !c.stopping.Load() {
		i := int32(c.next)
		if err := c.connect(i); err != nil {
			c.fail(i, fmt.Errorf("connect: %w", err))
			return
		}
		c.next++
		c.coming++
	}
}

func (c *Crowd) connect(i int32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.conns[i].fd = int32(fd)
	for len(c.byFD) <= fd {
		c.byFD = append(c.byFD, -1)
	}
	c.byFD[fd] = i
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if len(c.sources) > 0 {
		// The port is chosen when it is known where to: each address of a server has all ports.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, c.sources[int(i)%len(c.sources)]); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, c.dests[int(i)%len(c.dests)]); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(fd)})
}

// serve does what a connection is ready for.
func (c *Crowd) serve(i int32, events uint32) {
	k := &c.conns[i]
	if k.state == connecting {
		if err := c.connected(i); err != nil {
			c.drop(i, err)
		}
		return
	}
	n, err := unix.Read(int(k.fd), c.buf[len(k.rest):])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err == nil && n == 0:
		err = fmt.Errorf("the server has closed the connection (%s, events %x)", k.state, events)
	}
	if err != nil {
		c.drop(i, err)
		return
	}
	copy(c.buf, k.rest)
	all := c.buf[:len(k.rest)+n]
	k.rest = nil
	left, err := c.consume(i, all)
	if err != nil {
		c.drop(i, err)
		return
	}
	if len(left) > 0 {
		k.rest = append([]byte(nil), left...)
	}
}

// connected goes on when a connection is made.
func (c *Crowd) connected(i int32) error {
	k := &c.conns[i]
	code, err := unix.GetsockoptInt(int(k.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("connect: %w", unix.Errno(code))
	}
	if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_MOD, int(k.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: k.fd}); err != nil {
		return err
	}
	return c.greet(i)
}

// write sends bytes whole: nothing that a client sends fills its socket.
func (c *Crowd) write(k *conn, b []byte) error {
	for {
		n, err := unix.Write(int(k.fd), b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n < len(b):
			return errors.New("the server does not read")
		}
		return nil
	}
}

// drop ends a connection. A client that was on its way in tries again.
func (c *Crowd) drop(i int32, err error) {
	k := &c.conns[i]
	c.byFD[k.fd] = -1
	_ = unix.Close(int(k.fd))
	if k.state != in {
		if c.again.Add(1) >= maxAgain {
			c.fail(i, err)
			return
		}
		k.state, k.rest = connecting, nil
		if err := c.connect(i); err != nil {
			c.fail(i, fmt.Errorf("connect again: %w", err))
		}
		return
	}
	k.state, k.rest = gone, nil
	c.lost.Add(1)
}
