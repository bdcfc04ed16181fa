//go:build !unix

package main

import "time"

// cpuTime is not known here, nor is residentMemory.
func cpuTime() time.Duration { return 0 }

func residentMemory() int64 { return 0 }
