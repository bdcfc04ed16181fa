package gate

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted is output that knows how often it was flushed.
type counted struct{ flushed atomic.Int32 }

func (c *counted) Flush() { c.flushed.Add(1) }

func some(n int) (all []*counted, fs []Flusher) {
	for range n {
		c := new(counted)
		all, fs = append(all, c), append(fs, c)
	}
	return all, fs
}

func flushes(all []*counted) (n int) {
	for _, c := range all {
		n += int(c.flushed.Load())
	}
	return n
}

// Output waits for the end of the batch of handlers that makes it, and never longer: a push that
// waits is lag in the game, one that does not is a system call for each.
func TestFlushQueueFlushes(t *testing.T) {
	for _, row := range []struct {
		name string
		n    int
		do   func(t *testing.T, q *flushQueue, fs []Flusher, flushed func() int)
	}{
		{"at once, outside of batches", 100, func(_ *testing.T, q *flushQueue, fs []Flusher, _ func() int) { q.add(soon, fs...) }},
		{"at the end of the batch, few", inline, func(t *testing.T, q *flushQueue, fs []Flusher, flushed func() int) {
			q.begin()
			q.add(soon, fs...)
			synctest.Wait()
			if flushed() != 0 {
				t.Error("flushed before the end")
			}
			q.end()
			if flushed() != len(fs) {
				t.Error("the end returned before they were flushed")
			}
		}},
		{"at the end of the batch, many", 1000, func(t *testing.T, q *flushQueue, fs []Flusher, flushed func() int) {
			q.begin()
			q.add(soon, fs...)
			synctest.Wait()
			if flushed() != 0 {
				t.Error("flushed before the end")
			}
			q.end()
		}},
		{"at the end of the last batch of two schedulers", 1000, func(_ *testing.T, q *flushQueue, fs []Flusher, _ func() int) {
			q.begin()
			q.begin()
			q.add(soon, fs...)
			q.end()
			q.end()
		}},
		{"when the batch takes long", 100, func(t *testing.T, q *flushQueue, fs []Flusher, flushed func() int) {
			q.begin()
			q.add(soon, fs...)
			q.hurry()
			synctest.Wait()
			if flushed() != len(fs) {
				t.Error("not flushed before the end")
			}
			q.end()
		}},
		{"when a queue is long", 100, func(t *testing.T, q *flushQueue, fs []Flusher, flushed func() int) {
			q.begin()
			q.add(soon, fs...)
			q.hurry()
			synctest.Wait()
			if flushed() != len(fs) {
				t.Error("not flushed before the end")
			}
			q.end()
		}},
		{"answers, by an idle scheduler", 100, func(t *testing.T, q *flushQueue, fs []Flusher, flushed func() int) {
			q.begin() // another scheduler's
			q.add(atFirst, fs...)
			q.help(func() bool { return flushed() >= 10 })
			if got := flushed(); got < 10 || got > 10+share {
				t.Errorf("%d flushed until there was more to do, want 10 or a few more", got)
			}
			q.help(func() bool { return false })
			if flushed() != len(fs) {
				t.Error("it did not go on to the end")
			}
			q.end()
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFlushQueue(0)
				all, fs := some(row.n)
				row.do(t, q, fs, func() int { return flushes(all) })
				synctest.Wait()
				for i, c := range all {
					if got := c.flushed.Load(); got != 1 {
						t.Fatalf("%d was flushed %d times", i, got)
					}
				}
				q.stop()
				q.stop()
				q.add(soon, fs...) // after the end: nothing happens
			})
		})
	}
}

// With a write delay, output that may wait does so to merge, and no longer. What may not wait goes
// at once.
func TestFlushQueueDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 5 * time.Millisecond
		q := newFlushQueue(delay)
		defer q.stop()
		for round := range 3 { // the timer is used again
			all, fs := some(100)
			q.begin()
			q.add(delayed, fs[:50]...)
			q.end()
			q.hurry()
			q.help(func() bool { return false })
			time.Sleep(delay - time.Microsecond)
			q.add(delayed, fs[50:]...) // goes with the rest
			synctest.Wait()
			if got := flushes(all); got != 0 {
				t.Fatalf("%d were flushed before the delay was over", got)
			}
			hasty, hs := some(20)
			q.add(soon, hs[:10]...)
			q.add(atFirst, hs[10:]...)
			synctest.Wait()
			if got := flushes(hasty); got != 20 {
				t.Fatalf("%d of 20 that may not wait were flushed at once", got)
			}
			if round == 2 {
				q.begin() // while the delay ends, a batch runs and others have output
				q.add(soon, hs...)
			}
			time.Sleep(time.Microsecond)
			synctest.Wait()
			if got := flushes(all); got != 100 {
				t.Fatalf("%d were flushed after it", got)
			}
		}
		q.end()
	})
}

// orderly is output that notes when it was flushed.
type orderly struct {
	name string
	told *[]string
}

func (o orderly) Flush() { *o.told = append(*o.told, o.name) }

// The answer to one client goes before a broadcast to many that was queued earlier: it would wait
// for as long as thousands of writes take.
func TestFlushQueueFlushesAnswersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFlushQueue(0)
		defer q.stop()
		var told []string
		q.begin() // another scheduler's
		q.begin()
		for range 1000 {
			q.add(soon, orderly{"push", &told})
		}
		for range inline {
			q.add(atFirst, orderly{"answer", &told})
		}
		q.mu.Lock()
		q.active++ // no worker is free
		q.mu.Unlock()
		q.end()
		if got := fmt.Sprint(told); got != "[answer answer answer answer]" {
			t.Errorf("the end of the batch flushed %.100s...", got)
		}
		told = nil
		q.add(atFirst, orderly{"late answer", &told})
		q.help(func() bool { return len(told) > 0 })
		if told[0] != "late answer" {
			t.Errorf("a helper flushed %s first", told[0])
		}
		q.mu.Lock()
		q.active--
		q.mu.Unlock()
		q.end()
	})
}

// Everything that is added is flushed, once each time, whoever adds, begins and ends meanwhile.
func TestFlushQueueFromManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFlushQueue(0)
		defer q.stop()
		const workers, rounds = 8, 2000
		all, fs := some(workers * rounds)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range rounds {
					f := fs[w*rounds+i]
					switch i % 4 {
					case 0:
						q.begin()
						q.add(soon, f)
						q.end()
					case 1:
						q.add(soon, f)
						q.help(func() bool { return i%8 == 1 })
					case 2:
						q.add(soon, f)
						q.hurry()
					default:
						q.add(soon, f)
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		for i, c := range all {
			if got := c.flushed.Load(); got != 1 {
				t.Fatalf("%d was flushed %d times", i, got)
			}
		}
		if q.active != 0 || q.open != 0 || q.lenLocked() != 0 {
			t.Errorf("left over: %d active, %d open, %d in the list", q.active, q.open, q.lenLocked())
		}
	})
}
