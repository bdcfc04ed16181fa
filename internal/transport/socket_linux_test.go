package transport

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each byte here is a megabyte of a node with a million clients.
func TestSocketIsSmall(t *testing.T) {
	const most = 64
	if n := unsafe.Sizeof(Socket{}); n > most {
		t.Errorf("a socket has %d bytes, more than %d", n, most)
	}
}

// Whoever asks the kernel in passing, and gets nothing, is watched again when it serves the rest.
func TestWatchAfterEmptyPoll(t *testing.T) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	p := &poller{epoll: fd, more: []*Socket{{}}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pollLocked(new(worker))
	if !p.armed || p.polling {
		t.Error("nobody watches the leader")
	}
	p.over = true // the watch ends when it looks next
}
