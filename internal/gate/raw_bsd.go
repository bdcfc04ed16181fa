//go:build unix && !linux

package gate

import "syscall"

// writeSegs writes as much of the first string as the socket takes.
func writeSegs(fd int, segs [][]byte) (int, error) {
	return syscall.Write(fd, segs[0])
}
