//go:build !unix

package client

import "net"

// rawWriter does not exist here.
type rawWriter struct{}

func newRawWriter(net.Conn) *rawWriter { return nil }

func (*rawWriter) write([]byte) int { return 0 }
