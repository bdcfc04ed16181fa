//go:build linux

package main

import "testing"

// A plan that loses clients, or gives a process more than it may have, ends a run of ten minutes.
func TestPlan(t *testing.T) {
	for _, c := range []struct{ clients, perGate, descriptors, gates int }{
		{1_000_000, 0, 20_000, 53},
		{60_000, 0, 20_000, 4},
		{60_000, 10_000, 20_000, 6},
		{1, 0, 20_000, 1},
		{1_000_000, 0, 1 << 20, 1},
		{7, 3, 20_000, 3},
	} {
		gates, err := plan(c.clients, c.perGate, c.descriptors)
		if err != nil || len(gates) != c.gates {
			t.Errorf("%v: %d gates, %v", c, len(gates), err)
		}
		for _, room := range []int{0, 1, c.clients / 10, c.clients} {
			sum, in := 0, 0
			for i, n := range share(room, gates) {
				if n > gates[i] || gates[i] > c.descriptors-spare {
					t.Errorf("%v: %d of %d clients of gate %d are in the room", c, n, gates[i], i)
				}
				sum, in = sum+gates[i], in+n
			}
			if sum != c.clients || in != room {
				t.Errorf("%v: %d clients, %d in the room of %d", c, sum, in, room)
			}
		}
	}
	for _, c := range []struct{ clients, descriptors int }{{0, 20_000}, {10, 100}, {1_000_000, 1024}} {
		if _, err := plan(c.clients, 0, c.descriptors); err == nil {
			t.Errorf("%v: no error", c)
		}
	}
}
