//go:build linux

package main

import (
	"os"
	"testing"
	"time"
)

// The test's binary is what is started as nodes and clients.
func TestMain(m *testing.M) {
	for _, arg := range os.Args[1:] {
		if arg == "-role" {
			main()
			return
		}
	}
	os.Exit(m.Run())
}

// All phases run, with both kinds of connections, and nobody is lost on the way.
func TestMeasure(t *testing.T) {
	for _, o := range []options{
		{clients: 60, perGate: 25, room: 20, payload: 50, rounds: 2, quiet: 100 * time.Millisecond, rate: 20, talk: time.Second, merge: 300 * time.Millisecond},
		{clients: 20, tcp: true, transport: "portable", room: 2, payload: 10, rounds: 1, quiet: 100 * time.Millisecond},
	} {
		o.heartbeat, o.gogc = 2*time.Second, 100
		if err := measure(o); err != nil {
			t.Error(err)
		}
	}
}

func TestFieldsOfTheSystem(t *testing.T) {
	const sockets = "sockets: used 245\nTCP: inuse 12 orphan 0 tw 7 alloc 25 mem 42\nUDP: inuse 0 mem 9\n"
	if got := field(after(sockets, "TCP:"), "mem"); got != 42 {
		t.Errorf("TCP has %v pages", got)
	}
	if got := field("MemFree: 7 kB\nSlab:     254552 kB\n", "Slab:"); got != 254552 {
		t.Errorf("slab is %v", got)
	}
	if got := field("MemFree: 7 kB", "Slab:"); got != 0 {
		t.Errorf("what is not there is %v", got)
	}
}
