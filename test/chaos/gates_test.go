//go:build linux

package main

import (
	"os"
	"slices"
	"testing"
	"time"
)

// The nodes are this program, started again.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-role") {
		main()
		return
	}
	os.Exit(m.Run())
}

// few is the small form of a play: it judges all but times.
func few() *travels {
	return &travels{clients: 48, requests: 200, casts: 60, calm: 300 * time.Millisecond, slow: true}
}

// A rolling restart of all gates costs nobody anything.
func TestRollingRestart(t *testing.T) {
	if err := few().rolling(); err != nil {
		t.Error(err)
	}
}

// The clients of a gate that is killed come back to their sessions at others.
func TestKilledGate(t *testing.T) {
	if err := few().kill(); err != nil {
		t.Error(err)
	}
}
