// Package process_test holds what needs a process of its own: signals, and limits of the system.
// The tests start this program again as their child. Clusters of processes, and nginx before them,
// are tested in examples/cluster and test/chaos.
package process_test
