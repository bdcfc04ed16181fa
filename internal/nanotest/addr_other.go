//go:build !linux

package nanotest

import "net"

// ReserveAddr returns an address at 127.0.0.1 that nobody uses just now, for a process that is
// started, and started again.
func ReserveAddr() (addr string, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() {}, l.Close()
}
