//go:build linux

package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// spare is how many descriptors a process needs beside those of its clients: links to all others,
// and what the runtime has.
const spare = 800

// perPair is what both ends of a connection take, the kernel's part included, with room to spare.
const perPair = 14 << 10

// plan returns how many clients each gate gets.
func plan(clients, perGate, descriptors int) ([]int, error) {
	most := descriptors - spare
	if perGate > 0 {
		most = min(most, perGate)
	}
	if clients < 1 || most < 1 {
		return nil, fmt.Errorf("no plan for %d clients with %d descriptors a process: raise ulimit -n", clients, descriptors)
	}
	gates := make([]int, (clients+most-1)/most)
	for i := range gates {
		gates[i] = clients / len(gates)
		if i < clients%len(gates) {
			gates[i]++
		}
	}
	if len(gates) > 250 {
		return nil, errors.New("more than 250 gates: raise ulimit -n")
	}
	return gates, nil
}

// share returns how many of a room's clients come in by each gate.
func share(room int, gates []int) []int {
	shares := make([]int, len(gates))
	for left, i := room, 0; i < len(gates); i++ {
		shares[i] = min(gates[i], (left+len(gates)-i-1)/(len(gates)-i))
		left -= shares[i]
	}
	return shares
}

// descriptors is how many a process may have. Go raises the soft limit to the hard one.
func descriptors() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	return int(min(l.Max, 1<<20))
}

// sources are the addresses that the clients of a gate come from. Each has all ports, but the
// system looks longer and longer for a free one once a quarter of them is in use.
func sources(gate int) []string {
	all := make([]string, 8)
	for i := range all {
		all[i] = fmt.Sprintf("127.0.%d.%d", gate, i+2)
	}
	return all
}

// listenAt is the address that a gate listens at.
func listenAt(gate int) string { return fmt.Sprintf("127.0.%d.1:0", gate) }
