package scheduler

import (
	"testing"
	"time"
)

// A program that was written for the package functions runs on them.
func TestDefaultInstance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for round := range 3 {
			if err := Default().Configure(); err != nil {
				t.Fatal(err)
			}
			var tasks, every, count, after, cond int
			PushTask(func() { tasks++ })
			over := make(chan struct{})
			go func() { defer close(over); Sched() }()
			stop := NewTimer(time.Second, func() { every++ })
			NewCountTimer(time.Second, 2, func() { count++ })
			NewAfterTimer(time.Second, func() { after++ })
			NewCondTimer(condition(func(time.Time) bool { return true }), func() { cond++ })
			time.Sleep(3500 * ms)
			stop.Stop()
			time.Sleep(time.Second)
			if round == 1 {
				PushTask(Close) // v0.5's handlers end their server so
				<-over
			}
			Close()
			Close()
			<-over
			if tasks != 1 || every != 3 || count != 2 || after != 1 || cond != 4 {
				t.Errorf("tasks %d, every %d, count %d, after %d, cond %d", tasks, every, count, after, cond)
			}
		}
		if err := Default().Configure(); err != nil { // as new for other tests
			t.Fatal(err)
		}
	})
}

var _ LocalScheduler = (*Scheduler)(nil)
