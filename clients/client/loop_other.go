//go:build !linux

package client

import "net"

// poller is not to be had here.
type poller struct{}

func newPoller() *poller { return nil }

func (*poller) run() {}

func (*poller) stop() {}

func (*poller) take(net.Conn) transport { return nil }
