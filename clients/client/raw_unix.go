//go:build unix

package client

import (
	"net"
	"syscall"
)

// rawWriter writes to a socket without waiting for it: the descriptors of the net package do not
// block.
type rawWriter struct {
	rc   syscall.RawConn
	do   func(fd uintptr) // attempt, bound once
	rest []byte
	n    int
}

// newRawWriter returns nil if nc is not a TCP connection of the net package, or one with something
// on top.
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

// write returns how many bytes of b were written. An error shows when the rest is written.
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
