//go:build linux

package main

import "github.com/lonng/nano"

// transportOptions are what the flags say of how a gate reads and writes.
func transportOptions(o options) []nano.Option {
	_ = o.transport // one transport is there
	return []nano.Option{nano.WithWriteDelay(o.merge), nano.WithNoDelay("hall.shout")}
}
