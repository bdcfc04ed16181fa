package transport

import "golang.org/x/sys/unix"

// unsent is how many bytes the kernel holds that the client has not acknowledged.
func unsent(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return n
}
