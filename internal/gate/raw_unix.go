//go:build unix

package gate

import (
	"io"
	"syscall"
)

// write tries once to write everything, without ever blocking: the descriptors of Go's net package do not
// block. It is called by syscall.RawConn.Write and reports true, so that RawConn does not wait either.
func (o *outbuf) write(fd uintptr) bool {
	for !o.empty() {
		n, err := writeSegs(int(fd), o.segs[o.next:])
		if n > 0 {
			o.skip(n)
		}
		//nolint:errorlint // system calls return the bare number
		switch err {
		case nil, syscall.EINTR:
		case syscall.EAGAIN:
			o.stuck = true
			return true
		default:
			o.err = err
			return true
		}
	}
	return true
}

// readRaw reads into b; again says that there is nothing to read now.
func readRaw(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), b)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, err
		case n == 0:
			return 0, false, io.EOF
		default:
			return n, false, nil
		}
	}
}

// rawIO says that connections can be read and written through their descriptors.
const rawIO = true
