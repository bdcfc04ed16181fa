package gate

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the kernel holds that the client has not acknowledged.
func unsent(raw syscall.RawConn) (n int) {
	_ = raw.Control(func(fd uintptr) { // a closed one holds nothing
		n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	})
	return n
}
