package store

import (
	"sync"
	"time"
)

// errand is work on a goroutine of its own that may wait a moment: much that was stored since is
// done at once.
type errand struct {
	woken chan struct{}
	stop  chan struct{}
	once  sync.Once
	ended chan struct{}
}

// newErrand starts an errand. It works a pause after it was woken, and again as long as there is
// more.
func newErrand(pause time.Duration, work func() (more bool)) *errand {
	e := &errand{woken: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(e.ended)
		for more := false; ; {
			if !more {
				select {
				case <-e.woken:
				case <-e.stop:
					return
				}
			}
			select {
			case <-time.After(pause):
			case <-e.stop:
				return
			}
			more = work()
		}
	}()
	return e
}

// wake says that there is something to do.
func (e *errand) wake() {
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

// close returns when the errand has ended. It does not wait until everything is done.
func (e *errand) close() {
	e.once.Do(func() { close(e.stop) })
	<-e.ended
}
