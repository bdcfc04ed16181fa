//go:build !linux

package gate

import "syscall"

// unsent is not known here.
func unsent(syscall.RawConn) int { return 0 }
