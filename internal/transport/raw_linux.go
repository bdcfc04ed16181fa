package transport

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSegs is how many byte strings the kernel takes in one call (IOV_MAX).
const maxSegs = 1024

// quickMax is up to how many bytes a system call is made without telling Go's scheduler of it. The
// descriptor does not block, so the call is over in a few microseconds; telling costs a tenth of
// that, and has the runtime watch for calls that last. What copies more than this may last.
const quickMax = 16 << 10

// writeSegs writes as much as the socket takes, in one call.
func writeSegs(fd int, segs [][]byte) (int, error) {
	if len(segs) > 1 {
		return unix.Writev(fd, segs[:min(len(segs), maxSegs)])
	}
	if b := segs[0]; len(b) > 0 && len(b) <= quickMax {
		return quick(syscall.SYS_WRITE, fd, b)
	}
	return syscall.Write(fd, segs[0])
}

// readSome reads what there is, at most len(b) bytes.
func readSome(fd int, b []byte) (int, error) { return quick(syscall.SYS_READ, fd, b) }

// quick is read or write of a descriptor that does not block.
func quick(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))) //nolint:gosec // as in the standard library
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
