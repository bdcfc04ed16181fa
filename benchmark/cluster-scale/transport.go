//go:build linux

package main

import "github.com/lonng/nano"

// transportOptions are what the flags say of how a gate reads and writes.
func transportOptions(o options) []nano.Option {
	all := []nano.Option{nano.WithWriteDelay(o.merge), nano.WithNoDelay("hall.shout")}
	if o.transport == "portable" {
		all = append(all, nano.WithTransport(nano.Portable))
	}
	return all
}
