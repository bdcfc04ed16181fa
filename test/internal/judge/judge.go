// Package judge gathers the faults that a program under test has seen.
package judge

import (
	"fmt"
	"os"
	"sync"
)

// shown is how many faults of one kind are printed.
const shown = 10

// Judge counts faults by their kind. The zero value is ready, and may be used by any number of
// goroutines.
type Judge struct {
	mu    sync.Mutex
	kinds map[string]int
}

// Fail tells of a fault. The first of each kind are printed at once.
func (j *Judge) Fail(kind, format string, a ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.kinds == nil {
		j.kinds = make(map[string]int)
	}
	j.kinds[kind]++
	switch n := j.kinds[kind]; {
	case n <= shown:
		fmt.Fprintf(os.Stderr, "FAULT (%s) %s\n", kind, fmt.Sprintf(format, a...))
	case n == shown+1:
		fmt.Fprintf(os.Stderr, "FAULT (%s) there are more of this kind\n", kind)
	}
}

// Found returns the number of all faults.
func (j *Judge) Found() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, k := range j.kinds {
		n += k
	}
	return n
}
