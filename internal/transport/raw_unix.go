//go:build unix

package transport

import (
	"io"
	"syscall"
)

// rawIO says that connections can be read and written through their descriptors.
const rawIO = true

// writeRaw writes some of the strings without ever blocking: the descriptors of Go's net package
// do not block. With n = 0 and no error there is no room.
func writeRaw(fd int, segs [][]byte) (n int, err error) {
	for {
		n, err = writeSegs(fd, segs)
		//nolint:errorlint // system calls return the bare number
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return max(n, 0), err
		}
	}
}

// readRaw reads into b; again says that there is nothing to read now.
func readRaw(fd int, b []byte) (n int, again bool, err error) {
	for {
		n, err = readSome(fd, b)
		//nolint:errorlint // system calls return the bare number
		switch err {
		case nil:
			if n == 0 {
				return 0, false, io.EOF
			}
			return n, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}
