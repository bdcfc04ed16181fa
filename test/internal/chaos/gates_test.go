//go:build linux

package chaos

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// The nodes are this program, started again.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-role") {
		Main(nil)
		return
	}
	os.Exit(m.Run())
}

// small runs the small form of a play, which judges all but times.
func small(t *testing.T, play func(*travels) error) {
	t.Helper()
	err := play(&travels{clients: 48, requests: 200, casts: 60, calm: 300 * time.Millisecond, slow: true})
	if errors.Is(err, errTooSlow) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

// A rolling restart of all gates costs nobody anything.
func TestRollingRestart(t *testing.T) { small(t, (*travels).rolling) }

// The clients of a gate that is killed come back to their sessions at others.
func TestKilledGate(t *testing.T) { small(t, (*travels).kill) }
