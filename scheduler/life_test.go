package scheduler

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What a client was promised before the shutdown happens before it.
func TestCloseRunsWhatWasQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New()
		s.Start()
		busy(s, time.Second)
		var got []int
		for i := range 1000 {
			s.PushTask(func() {
				got = append(got, i)
				s.PushTask(func() { t.Error("a task that was pushed after Close ran") })
			})
		}
		at := clock()
		end(s)
		if at() != 1000 {
			t.Errorf("Close returned after %d ms, the loop was busy for 1000", at())
		}
		wantInts(t, got, 1000)
		if st := s.Stats(); st.Dropped != 1000 || st.Executed != 1001 {
			t.Errorf("stats: %+v", st)
		}
		if err := s.Submit(jobs(1, func(int) {}), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Submit after Close: %v", err)
		}
	})
}

// A shutdown that hangs is killed, and what it had to save is lost.
func TestCloseFromAnywhere(t *testing.T) {
	twice := func(s *Scheduler) { s.Close(); s.Close() }
	tests := []struct {
		name string
		act  func(s *Scheduler)
	}{
		{"twice", twice},
		{"never started", func(*Scheduler) {}},
		{"from two goroutines", func(s *Scheduler) {
			busy(s, time.Second)
			var wg sync.WaitGroup
			wg.Go(func() { twice(s) })
			wg.Go(func() { twice(s) })
			wg.Wait()
		}},
		{"from a task", func(s *Scheduler) { s.PushTask(func() { twice(s) }) }},
		{"from a task, and from outside meanwhile", func(s *Scheduler) {
			s.PushTask(func() { s.Close(); time.Sleep(time.Second) })
		}},
		{"from a timer", func(s *Scheduler) { s.NewAfterTimer(time.Second, func() { twice(s) }); time.Sleep(2 * time.Second) }},
		{"from a timer among others", func(s *Scheduler) {
			for range 10 {
				s.NewTimer(time.Second, func() { s.Close() })
			}
			time.Sleep(2 * time.Second)
		}},
		{"from a slow report", func(s *Scheduler) { busy(s, 3*time.Second) }},
		{"from a task of another scheduler", func(s *Scheduler) {
			other := New()
			other.Start()
			busy(s, time.Second)
			other.PushTask(func() {
				end(s)
				if n := s.Stats().Executed; n != 1 {
					panic("Wait for another scheduler did not wait")
				}
			})
			end(other)
			if other.Stats().Panics != 0 {
				panic("see above")
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var s *Scheduler
				s = New(WithSlow(time.Second, func(Slow) { s.Close() }))
				if tt.name != "never started" {
					s.Start()
				}
				tt.act(s)
				end(s)
				if st := s.Stats(); st.Running != "" || st.Queued != 0 || st.Timers != 0 || !st.Since.IsZero() {
					t.Errorf("after Close: %+v", st)
				}
			})
		})
	}
}

// Who ends a scheduler decides how long to wait for it, and learns what it hangs on.
func TestWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New(WithName("room 7"), WithSlow(0, nil))
		if err := s.Wait(t.Context()); err != nil {
			t.Errorf("Wait for a scheduler that never ran: %v", err)
		}
		s.Start()
		_ = s.Submit([]Job{&job{"Room.Save", func() { time.Sleep(3 * time.Second) }}}, nil)
		synctest.Wait()
		at := clock()
		s.Close()
		s.Close()
		if at() != 0 {
			t.Errorf("Close took %d ms", at())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Wait(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "scheduler: wait for room 7 to end") ||
			!strings.Contains(err.Error(), "Room.Save") || at() != 1000 {
			t.Errorf("after %d ms: %v", at(), err)
		}
		for range 2 {
			if err := s.Wait(t.Context()); err != nil || at() != 3000 {
				t.Errorf("after %d ms: %v", at(), err)
			}
		}
	})
}

// A Close that follows a Start at once must end the loop, not miss it.
func TestCloseRightAfterStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 100 {
			s := New()
			ran := false
			s.PushTask(func() { ran = true })
			s.Start()
			end(s)
			if !ran {
				t.Fatal("the task was lost")
			}
		}
	})
}

// A program may start and stop its node many times, on one default scheduler.
func TestRunAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New()
		for range 100 {
			begun, ran, fired := 0, 0, 0
			if err := s.Configure(WithBatch(func() { begun++ }, nil)); err != nil {
				t.Fatal(err)
			}
			s.PushTask(func() { ran++ })
			s.NewTimer(time.Second, func() { fired++ })
			over := make(chan struct{})
			go func() { defer close(over); s.Run() }()
			synctest.Wait()
			if err := s.Configure(); !errors.Is(err, ErrRunning) {
				t.Fatalf("Configure while running: %v", err)
			}
			s.Run() // another node on the same scheduler: nothing happens
			s.Start()
			time.Sleep(1500 * time.Millisecond)
			end(s)
			<-over
			if begun != 2 || ran != 1 || fired != 1 {
				t.Fatalf("%d batches, %d tasks, %d timers, want 2, 1, 1", begun, ran, fired)
			}
			s.PushTask(func() { t.Error("a task that was pushed between two runs ran") })
			s.NewTimer(time.Millisecond, func() { t.Error("a timer that was made between two runs fired") })
		}
	})
}

// The hooks of a node that has ended must not be called for the next one.
func TestConfigureStartsFromDefaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New(WithName("first"), WithBatch(func() { t.Error("an old hook was called") }, nil), WithLimit(-1), nil)
		if err := s.Configure(); err != nil {
			t.Fatal(err)
		}
		s.PushTask(func() {})
		s.Start()
		end(s)
		if n := s.Stats().Name; n != "scheduler" {
			t.Errorf("the name is %q", n)
		}
	})
}

// One bad call of the application costs that call, never the server.
func TestPanicCostsOneCall(t *testing.T) {
	boom := func() { panic("boom") }
	tests := []struct {
		name string
		opts []Option
		act  func(s *Scheduler)
		want []string
	}{
		{"task", nil, func(s *Scheduler) { s.PushTask(boom) }, []string{"task"}},
		{"job", nil, func(s *Scheduler) { _ = s.Submit([]Job{&job{"room.join", boom}}, nil) }, []string{"room.join"}},
		{"each of a batch", nil, func(s *Scheduler) {
			_ = s.Submit([]Job{&job{"a", boom}, &job{"b", func() {}}, &job{"c", boom}}, nil)
		}, []string{"a", "c"}},
		{"name of a job", nil, func(s *Scheduler) {
			_ = s.Submit([]Job{&job{"a", boom}, (*job)(nil), nil}, nil)
		}, []string{"a", "job", "job"}},
		{"timer", nil, func(s *Scheduler) { s.NewCountTimer(time.Second, 2, boom) }, []string{"timer", "timer"}},
		{"condition", nil, func(s *Scheduler) {
			s.NewCondTimer(condition(func(time.Time) bool { panic("boom") }), func() {})
		}, []string{"timer", "timer", "timer"}},
		{"runtime.Goexit in a task", nil, func(s *Scheduler) { s.PushTask(runtime.Goexit) }, []string{"task"}},
		{"runtime.Goexit in a timer", nil, func(s *Scheduler) { s.NewAfterTimer(time.Second, runtime.Goexit) }, []string{"timer"}},
		{"begin hook", []Option{WithBatch(boom, nil)}, func(s *Scheduler) { s.PushTask(func() {}) }, []string{"batch begin", "batch begin"}},
		{"end hook", []Option{WithBatch(nil, boom)}, func(s *Scheduler) { s.PushTask(func() {}) }, []string{"batch end", "batch end"}},
		{"runtime.Goexit in a hook", []Option{WithBatch(nil, runtime.Goexit)}, func(s *Scheduler) { s.PushTask(func() {}) }, []string{"batch end", "batch end"}},
		{"idle hook", []Option{WithIdle(func(func() bool) { boom() })}, func(s *Scheduler) { s.PushTask(func() {}) }, []string{"idle", "idle"}},
		{"slow report", []Option{WithSlow(time.Second, func(Slow) { boom() })}, func(s *Scheduler) { busy(s, 2*time.Second) }, []string{"watch"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := newPanicLog()
				s := New(append(tt.opts, log.option())...)
				s.Start()
				tt.act(s)
				time.Sleep(3500 * time.Millisecond)
				ran := false
				s.PushTask(func() { ran = true })
				end(s)
				close(log.names)
				var got []string
				for n := range log.names {
					got = append(got, n)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("reported %q, want %q", got, tt.want)
				}
				if !ran {
					t.Error("the scheduler did not go on")
				}
				if n := s.Stats().Panics; n != uint64(len(tt.want)) {
					t.Errorf("%d panics were counted, want %d", n, len(tt.want))
				}
			})
		})
	}
}

// Neither does a panic of the one who reports panics, and it says what happened.
func TestPanicReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var stack string
		s := New(WithPanic(func(_ string, v any, b []byte) { stack = string(b); panic(v) }))
		s.PushTask(func() { explode() })
		ran := false
		s.PushTask(func() { ran = true })
		s.Start()
		end(s)
		if !ran || !contains(stack, "explode") {
			t.Errorf("went on: %v, stack:\n%s", ran, stack)
		}
		quiet := New() // with the default report
		quiet.PushTask(func() { explode() })
		quiet.PushTask(nil)
		quiet.Start()
		end(quiet)
		if st := quiet.Stats(); st.Panics != 1 || st.Executed != 1 {
			t.Errorf("stats: %+v", st)
		}
	})
}

//go:noinline
func explode() { panic("boom") }

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t, WithName("room 7"), WithSlow(0, nil))
		synctest.Wait()
		if st := s.Stats(); st != (Stats{Name: "room 7"}) {
			t.Errorf("a fresh scheduler: %+v", st)
		}
		begin := time.Now()
		_ = s.Submit([]Job{&job{"room.move", func() { time.Sleep(3 * time.Second) }}}, nil)
		synctest.Wait()
		for range 5 {
			s.PushTask(func() { time.Sleep(time.Second) })
		}
		s.NewTimer(time.Hour, func() {})
		time.Sleep(time.Second)
		want := Stats{Name: "room 7", Queued: 5, Wait: time.Second, Busy: time.Second, Running: "room.move", Since: begin, Timers: 1}
		if st := s.Stats(); st != want {
			t.Errorf("while a job runs:\n%+v, want\n%+v", st, want)
		}
		time.Sleep(3500 * time.Millisecond) // 1.5 s into the five tasks
		want = Stats{Name: "room 7", Queued: 3, Wait: 3 * time.Second, Busy: 4500 * time.Millisecond, Executed: 2, Running: "task", Since: begin.Add(3 * time.Second), Timers: 1}
		if st := s.Stats(); st != want {
			t.Errorf("in the middle of a batch:\n%+v, want\n%+v", st, want)
		}
		time.Sleep(time.Minute)
		want = Stats{Name: "room 7", Wait: 3 * time.Second, Busy: 8 * time.Second, Executed: 6, Timers: 1}
		if st := s.Stats(); st != want {
			t.Errorf("when all is done:\n%+v, want\n%+v", st, want)
		}
	})
}
