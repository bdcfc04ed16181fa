//go:build !unix

package transport

import "errors"

// Without Unix descriptors connections are read and written through net.Conn alone.
const rawIO = false

func writeRaw(int, [][]byte) (int, error) { return 0, errors.ErrUnsupported }

func readRaw(int, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }
