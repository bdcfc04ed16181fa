package bots

import (
	"syscall"
	"time"
)

// cpuTime returns the processor time of this program, its own and the system's for it.
func cpuTime() time.Duration {
	var created, ended, kernel, user syscall.Filetime
	h, err := syscall.GetCurrentProcess()
	if err != nil || syscall.GetProcessTimes(h, &created, &ended, &kernel, &user) != nil {
		return 0
	}
	ticks := func(f syscall.Filetime) time.Duration {
		return time.Duration(f.HighDateTime)<<32 | time.Duration(f.LowDateTime)
	}
	return 100 * (ticks(kernel) + ticks(user))
}
