//go:build !unix

package gate

import "errors"

// Without Unix descriptors connections are read and written through net.Conn alone.
const rawIO = false

func (o *outbuf) write(uintptr) { o.err = errors.ErrUnsupported }

func readRaw(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }
