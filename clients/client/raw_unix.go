//go:build unix

package client

import (
	"net"
	"syscall"
)

// rawWriter writes to a socket without waiting for it: the descriptors of Go's net package do not block.
type rawWriter struct {
	rc   syscall.RawConn
	do   func(fd uintptr) // attempt, bound once
	rest []byte
	n    int
}

// newRawWriter returns nil for what is no TCP connection of the net package, or has something of its own on top.
func newRawWriter(nc net.Conn) *rawWriter {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	w := &rawWriter{rc: rc}
	w.do = w.attempt
	return w
}

// write returns how much of b was written. What is wrong shows when the rest is.
func (w *rawWriter) write(b []byte) int {
	w.rest, w.n = b, 0
	_ = w.rc.Control(w.do)
	w.rest = nil
	return w.n
}

func (w *rawWriter) attempt(fd uintptr) {
	if n, err := syscall.Write(int(fd), w.rest); err == nil {
		w.n = n
	}
}
