//go:build !linux

package loop

import "net"

// poller does not exist here.
type poller struct{}

func newPoller() *poller { return nil }

func (*poller) run() {}

func (*poller) stop() {}

func (*poller) take(nc net.Conn) net.Conn { return nc }
