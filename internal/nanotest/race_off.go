//go:build !race

package nanotest

// Race is false in a test that runs without the race detector.
const Race = false
