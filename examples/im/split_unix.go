//go:build unix

package main

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// http2 is what a connection of HTTP/2 begins with.
const http2 = "PRI * HTTP/2.0"

// peek waits for the first n bytes of a connection, or for fewer that decide as well, and leaves
// them there.
func peek(c net.Conn, n int) (string, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return "", nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return "", err
	}
	var first string
	buf := make([]byte, n)
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		got, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK)
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
			return false
		case err != nil:
			failed = err
			return true
		case got == 0:
			failed = io.EOF
			return true
		}
		first = string(buf[:got])
		return got == n || !strings.HasPrefix(http2, first)
	})
	return first, errors.Join(err, failed)
}
