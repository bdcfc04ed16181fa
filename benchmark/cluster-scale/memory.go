//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/lonng/nano/internal/child"
)

// memory is what the servers and the kernel have at one time, in KiB.
type memory struct {
	rss, pss  float64   // of the servers
	each      []float64 // RSS of each server
	slab      float64   // of the kernel: sockets, files, epoll's entries
	buffers   float64   // of sockets: data that nobody has read
	available float64   // of the machine, for anybody
}

func takeMemory(servers []*child.Process) memory {
	info, _ := os.ReadFile("/proc/meminfo")
	stat, _ := os.ReadFile("/proc/net/sockstat")
	m := memory{
		slab:      field(string(info), "Slab:"),
		available: field(string(info), "MemAvailable:"),
		buffers:   field(after(string(stat), "TCP:"), "mem") * float64(os.Getpagesize()) / 1024,
	}
	for _, p := range servers {
		rss := p.Memory()
		m.each = append(m.each, rss)
		m.rss += rss
		m.pss += p.Proportional()
	}
	return m
}

// after returns what follows a word.
func after(text, word string) string {
	_, rest, _ := strings.Cut(text, word)
	return rest
}

// field returns the number behind a word; 0 if there is none.
func field(text, word string) float64 {
	f := strings.Fields(after(text, word))
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(f[0], 64)
	return n
}

// show prints what was added to before, and what that is for a client.
func (m memory) show(before memory, clients int) {
	line := func(what string, kib, added float64) {
		fmt.Printf("  %-34s %9.0f MiB  %7.2f KiB a client\n", what, kib/1024, added/float64(clients))
	}
	fmt.Println("memory")
	line("all server processes, RSS", m.rss, m.rss)
	line("  with shared pages counted once", m.pss, m.pss)
	line("  without what they had when empty", m.rss-before.rss, m.rss-before.rss)
	line("  the backend, without that", m.each[1]-before.each[1], m.each[1]-before.each[1])
	line("kernel, slab, both ends", m.slab-before.slab, m.slab-before.slab)
	line("kernel, socket buffers", m.buffers-before.buffers, m.buffers-before.buffers)
	line("whole machine, clients included", before.available-m.available, before.available-m.available)
}
