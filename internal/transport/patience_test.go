package transport

import (
	"errors"
	"os"
	"testing"
	"time"
)

// forever never finds the client too slow.
type forever struct{}

func (forever) Until(int) time.Time { return time.Now().Add(time.Hour) }

// A connection that takes nothing any more, as TLS does after a late write, is over: to try again
// until the client is too slow would take a whole processor.
func TestWriteThatTakesNothingIsOver(t *testing.T) {
	calls := 0
	n, err := WritePatiently(make([]byte, 100), forever{}, func(b []byte, _ time.Time) (int, error) {
		if calls++; calls > 10 {
			t.Fatal("it is tried again and again")
		}
		return max(0, 40-20*calls), os.ErrDeadlineExceeded
	})
	if n != 20 || !errors.Is(err, os.ErrDeadlineExceeded) || calls != 2 {
		t.Errorf("%d bytes in %d calls: %v", n, calls, err)
	}
}
