package scheduler

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// Moves of a game that are played in another order are another game.
func TestTasksRunInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New()
		var got []int
		for i := range 100 {
			s.PushTask(func() { got = append(got, i) }) // before the loop runs
		}
		s.Start()
		for i := 100; i < 200; i++ {
			s.Schedule(func() { got = append(got, i) })
		}
		if err := s.Submit(jobs(100, func(i int) { got = append(got, 200+i) }), nil); err != nil {
			t.Fatal(err)
		}
		end(s)
		wantInts(t, got, 300)
	})
}

// A handler that gives work to itself would hang the server for everyone if
// the push waited for room.
func TestTaskPushesTenThousand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t, WithLimit(8))
		var got []int
		s.PushTask(func() {
			for i := range 10_000 {
				s.PushTask(func() { got = append(got, i) })
			}
		})
		synctest.Wait()
		wantInts(t, got, 10_000)

		// The same from each of them, nested.
		depth := 0
		var next func()
		next = func() {
			if depth++; depth < 10_000 {
				s.Schedule(next)
			}
		}
		s.Schedule(next)
		synctest.Wait()
		if depth != 10_000 {
			t.Errorf("the chain of tasks ended after %d", depth)
		}
	})
}

// A full queue must hold up the one who reads, or memory grows with the speed
// of the clients.
func TestSubmitWaitsForRoom(t *testing.T) {
	tests := []struct {
		name string
		free func(s *Scheduler, stop chan struct{})
		want error
	}{
		{"until the loop takes the queue", func(s *Scheduler, _ chan struct{}) { s.Start() }, nil},
		{"until the reader is told to stop", func(_ *Scheduler, stop chan struct{}) { close(stop) }, ErrStopped},
		{"until the scheduler is closed", func(s *Scheduler, _ chan struct{}) { s.Close() }, ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := New(WithLimit(10))
				ran := 0
				if err := s.Submit(jobs(15, func(int) { ran++ }), nil); err != nil {
					t.Fatalf("a batch larger than the limit: %v", err)
				}
				stop, result := make(chan struct{}), make(chan error, 1)
				go func() { result <- s.Submit(jobs(3, func(int) { ran++ }), stop) }()
				synctest.Wait()
				select {
				case err := <-result:
					t.Fatalf("Submit over the limit returned %v at once", err)
				default:
				}
				tt.free(s, stop)
				if err := <-result; !errors.Is(err, tt.want) {
					t.Errorf("Submit returned %v, want %v", err, tt.want)
				}
				end(s)
				if tt.want == nil && ran != 18 {
					t.Errorf("%d jobs ran, want 18", ran)
				}
				if tt.want != nil && ran != 0 {
					t.Errorf("%d jobs ran on a scheduler that was never started", ran)
				}
			})
		})
	}
}

// While a handler is stuck, other goroutines of the server must be able to push,
// make and stop timers and look at figures: heartbeats and closes depend on it.
func TestBusyLoopHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t, WithLimit(4), WithSlow(0, nil))
		at := clock()
		busy(s, 5*time.Second)
		for range 1000 {
			s.PushTask(func() {})
		}
		timer := s.NewAfterTimer(time.Second, func() { t.Error("a stopped timer fired") })
		timer.Stop()
		stop := make(chan struct{})
		close(stop)
		if err := s.Submit(jobs(1, func(int) {}), stop); !errors.Is(err, ErrStopped) {
			t.Errorf("Submit on a full queue: %v", err)
		}
		if st := s.Stats(); st.Queued != 1000 || st.Running != "task" {
			t.Errorf("stats of a busy loop: %+v", st)
		}
		if at() != 0 {
			t.Errorf("it took %d ms", at())
		}
	})
}

func TestSubmitGivesTheSliceBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New()
		var got []int
		batch := jobs(3, func(i int) { got = append(got, i) })
		if err := s.Submit(batch, nil); err != nil {
			t.Fatal(err)
		}
		clear(batch)
		if err := s.Submit(nil, nil); err != nil {
			t.Errorf("an empty batch: %v", err)
		}
		s.Start()
		end(s)
		wantInts(t, got, 3)
	})
}

// Order within one connection holds when many of them wait for room.
func TestManySubmitters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const readers, batches, size = 16, 50, 7
		s := New(WithLimit(20))
		var got [readers][]int
		var wg sync.WaitGroup
		for r := range readers {
			wg.Go(func() {
				for b := range batches {
					err := s.Submit(jobs(size, func(i int) { got[r] = append(got[r], b*size+i) }), nil)
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		s.Start()
		wg.Wait()
		end(s)
		for r := range readers {
			wantInts(t, got[r], batches*size)
		}
	})
}

// Answers are flushed once a batch: a batch that falls apart costs a write each.
func TestBatchHooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log []string
		note := func(what string) func() { return func() { log = append(log, what) } }
		s := New(
			WithBatch(note("begin"), note("end")),
			WithIdle(func(more func() bool) {
				if more() {
					log = append(log, "more")
				} else {
					log = append(log, "idle")
				}
			}),
		)
		_ = s.Submit(jobs(2, func(int) { log = append(log, "job") }), nil)
		s.PushTask(func() {
			log = append(log, "task")
			s.PushTask(note("next"))
		})
		s.Start()
		synctest.Wait()
		s.NewAfterTimer(time.Second, note("timer"))
		time.Sleep(2 * time.Second)
		end(s)
		want := []string{
			"begin", "job", "job", "task", "end", "more",
			"begin", "next", "end", "idle",
			"begin", "timer", "end", "idle",
		}
		if len(log) != len(want) {
			t.Fatalf("got  %v\nwant %v", log, want)
		}
		for i := range want {
			if log[i] != want[i] {
				t.Fatalf("got  %v\nwant %v", log, want)
			}
		}
	})
}

// The idle hook does work of its own until a client needs the loop.
func TestIdleHookSeesNewWork(t *testing.T) {
	for name, wake := range map[string]func(s *Scheduler){
		"a task":  func(s *Scheduler) { s.PushTask(func() {}) },
		"a job":   func(s *Scheduler) { _ = s.Submit(jobs(1, func(int) {}), nil) },
		"a timer": func(s *Scheduler) { s.NewAfterTimer(time.Millisecond, func() {}) },
		"a close": func(s *Scheduler) { go s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				rounds, in := 0, make(chan struct{})
				s := New(WithIdle(func(more func() bool) {
					if rounds > 0 {
						return
					}
					close(in)
					for !more() && rounds < 1000 {
						time.Sleep(time.Millisecond)
						rounds++
					}
				}))
				s.PushTask(func() {})
				s.Start()
				<-in
				synctest.Wait() // the hook is at work
				wake(s)
				time.Sleep(time.Second)
				end(s)
				if rounds < 1 || rounds > 2 {
					t.Errorf("the hook went on for %d ms", rounds)
				}
			})
		})
	}
}

// The payload of a message must not live as long as ten thousand messages that
// were read with it.
func TestJobIsReleasedWhenItHasRun(t *testing.T) {
	s := New()
	payload := new([1 << 16]byte)
	seen := weak.Make(payload)
	batch := []Job{
		&job{name: "holds", run: func() { payload[0] = 1 }},
		&job{name: "looks", run: func() {
			runtime.GC()
			if seen.Value() != nil {
				t.Error("a finished job of a running batch is still held")
			}
		}},
	}
	payload = nil
	_ = s.Submit(batch, nil)
	clear(batch)
	s.Start()
	end(s)
}

// A burst must not cost memory for the rest of the server's life.
func TestBuffersShrinkAfterBurst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		in, out := make(chan struct{}), make(chan struct{})
		s.PushTask(func() { close(in); <-out })
		<-in
		for range 100_000 {
			s.PushTask(func() {})
		}
		close(out)
		synctest.Wait()
		for range 4 {
			s.PushTask(func() {})
			synctest.Wait()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := cap(s.backlog.queue) + cap(s.loop.batch) + cap(s.loop.names); n > 3*keep {
			t.Errorf("room for %d entries is kept", n)
		}
	})
}

// The hot path pays for nothing but the work.
func TestNoAllocations(t *testing.T) {
	s := started(t)
	done := make(chan struct{}, 1)
	last := &job{name: "last", run: func() { done <- struct{}{} }}
	quiet := &job{name: "quiet", run: func() {}}
	batch := []Job{quiet, quiet, quiet, last}
	task := Task(func() { done <- struct{}{} })
	for name, fn := range map[string]func(){
		"Submit":   func() { _ = s.Submit(batch, nil); <-done },
		"PushTask": func() { s.PushTask(task); <-done },
	} {
		if n := testing.AllocsPerRun(1000, fn); n >= 1 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// Everything at once, for the race detector: a server under load that is shut
// down in the middle.
func TestEverythingAtOnce(t *testing.T) {
	var ran, refused atomic.Int64
	s := New(WithLimit(64), WithStall(time.Millisecond, func() {}), WithSlow(time.Millisecond, func(Slow) {}))
	s.Start()
	const workers, rounds = 4, 500
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			batch := jobs(5, func(int) { ran.Add(1) })
			for r := range rounds {
				if err := s.Submit(batch, nil); err != nil {
					refused.Add(5)
				}
				s.PushTask(func() { ran.Add(1) })
				timer := s.NewTimer(time.Millisecond, func() {})
				_ = s.Stats()
				timer.Stop()
				if w == 0 && r == rounds/2 {
					go s.Close()
				}
			}
		})
	}
	wg.Wait()
	end(s)
	st := s.Stats()
	if total := int64(st.Executed + st.Dropped); total != workers*rounds*6 || ran.Load() != int64(st.Executed) || st.Queued != 0 || st.Timers != 0 {
		t.Errorf("%d ran of %d, stats %+v", ran.Load(), workers*rounds*6, st)
	}
}
