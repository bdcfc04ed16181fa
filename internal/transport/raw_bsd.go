//go:build unix && !linux

package transport

import "syscall"

// writeSegs writes as much of the first string as the socket takes.
func writeSegs(fd int, segs [][]byte) (int, error) {
	return syscall.Write(fd, segs[0])
}

// readSome reads what there is, at most len(b) bytes.
func readSome(fd int, b []byte) (int, error) { return syscall.Read(fd, b) }
