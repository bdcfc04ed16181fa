package gate

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSegs is how many byte strings the kernel takes in one call (IOV_MAX).
const maxSegs = 1024

// writeSegs writes as much as the socket takes, in one call.
func writeSegs(fd int, segs [][]byte) (int, error) {
	if len(segs) == 1 {
		return syscall.Write(fd, segs[0])
	}
	return unix.Writev(fd, segs[:min(len(segs), maxSegs)])
}
