package mesh

import (
	"testing"
	"testing/synctest"
)

// A node that is started again is the later one, however soon that is: else the list takes it for the one that is gone, and
// refuses it.
func TestLaterRunsHaveLargerEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		last := newEpoch()
		for range 100 {
			epoch := newEpoch()
			if epoch <= last {
				t.Fatalf("%d comes after %d", epoch, last)
			}
			last = epoch
		}
	})
}
