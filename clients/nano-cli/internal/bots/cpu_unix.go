//go:build unix

package bots

import (
	"syscall"
	"time"
)

// cpuTime returns the processor time of this program, its own and the system's for it.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
