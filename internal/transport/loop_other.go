//go:build !linux

package transport

import (
	"errors"
	"net"
)

// Loop waits for any number of sockets with few goroutines. There is none on this system.
type Loop struct{}

// NewLoop returns errors.ErrUnsupported.
func NewLoop(int) (*Loop, error) { return nil, errors.ErrUnsupported }

// Listen returns false.
func (*Loop) Listen(net.Listener) (net.Listener, bool) { return nil, false }

// Close does nothing.
func (*Loop) Close() {}
