//go:build race

package nanotest

// Race is true in a test that runs with the race detector, which makes code some ten times slower
// and has it allocate more.
const Race = true
