package bots

import (
	"runtime/metrics"
	"time"
)

// Cost is what the run has cost the machine that ran it, to be held against the server's.
type Cost struct {
	CPU           float64 `json:"cpu_seconds"`        // processor time of the whole run; 0 where it cannot be told
	CPUPerMessage float64 `json:"cpu_us_per_message"` // of the time of load, for each answered request and each notify
	Memory        uint64  `json:"memory_bytes"`       // that the program holds at the end of the load
	PerConnection uint64  `json:"memory_bytes_per_connection"`
}

// spent is a moment of the run.
type spent struct {
	at      time.Time
	cpu     time.Duration
	memory  uint64
	answers uint64
	sends   uint64 // of notifies
}

func (r *run) spent() spent {
	n := r.counts()
	return spent{time.Now(), cpuTime(), memory(), n[0], n[1]}
}

// cost compares the moments at which the run began, the load began, and it was over, with the end
// of the run.
func (r *run) cost(begin, before, after, end spent) Cost {
	c := Cost{CPU: (end.cpu - begin.cpu).Seconds(), Memory: after.memory}
	if n := after.answers + after.sends - before.answers - before.sends; n > 0 {
		c.CPUPerMessage = float64((after.cpu - before.cpu).Nanoseconds()) / 1e3 / float64(n)
	}
	if n := r.connected.Load(); n > 0 {
		c.PerConnection = after.memory / uint64(n)
	}
	return c
}

// memory returns what the program has from the system, less what it has given back.
func memory() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
