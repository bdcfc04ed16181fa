//go:build unix

package gate

import (
	"io"
	"syscall"
)

// write tries once to write everything, without ever blocking: the descriptors of Go's net package
// do not block. It is called by syscall.RawConn.Control, which only keeps the descriptor open
// meanwhile: RawConn.Write would get ready to wait as well.
func (o *outbuf) write(fd uintptr) {
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
			return
		default:
			o.err = err
			return
		}
	}
}

// readRaw reads into b; again says that there is nothing to read now.
func readRaw(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, err = readSome(int(fd), b)
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

// rawIO says that connections can be read and written through their descriptors.
const rawIO = true
