package scheduler

import (
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// One bad call costs that call and no other, also when it has waited, and the
// report names it.
func TestAwaitAndPanic(t *testing.T) {
	submit := func(run func(s *Scheduler)) func(*Scheduler) {
		return func(s *Scheduler) { _ = s.Submit([]Job{&job{"room.join", func() { run(s) }}}, nil) }
	}
	timer := func(run func(s *Scheduler)) func(*Scheduler) {
		return func(s *Scheduler) { s.NewAfterTimer(time.Millisecond, func() { run(s) }) }
	}
	inWait := func(s *Scheduler) { s.Await(func() { time.Sleep(time.Second); panic("boom") }) }
	after := func(s *Scheduler) { s.Await(answer(time.Second)); panic("boom") }
	afterTwo := func(s *Scheduler) { s.Await(answer(time.Second)); after(s) }
	exitInWait := func(s *Scheduler) { s.Await(func() { time.Sleep(time.Second); runtime.Goexit() }) }
	exitAfter := func(s *Scheduler) { s.Await(answer(time.Second)); runtime.Goexit() }
	caught := func(s *Scheduler) {
		defer func() {
			if recover() != "boom" || s.Stats().Running == "" || goroutineID() != s.loop.id.Load() {
				panic("the caller of Await did not get the panic with the turn")
			}
		}()
		inWait(s)
	}
	tests := []struct {
		name string
		act  func(s *Scheduler)
		want []string
	}{
		{"in the wait", submit(inWait), []string{"room.join"}},
		{"in the wait, caught", submit(caught), nil},
		{"after", submit(after), []string{"room.join"}},
		{"after two", submit(afterTwo), []string{"room.join"}},
		{"runtime.Goexit in the wait", submit(exitInWait), []string{"room.join"}},
		{"runtime.Goexit after", submit(exitAfter), []string{"room.join"}},
		{"timer, in the wait", timer(inWait), []string{"timer"}},
		{"timer, in the wait, caught", timer(caught), nil},
		{"timer, after", timer(after), []string{"timer"}},
		{"timer, after two", timer(afterTwo), []string{"timer"}},
		{"timer, runtime.Goexit in the wait", timer(exitInWait), []string{"timer"}},
		{"timer, runtime.Goexit after", timer(exitAfter), []string{"timer"}},
	}
	for _, tt := range tests {
		for _, report := range []string{"plain", "awaits"} {
			t.Run(tt.name+", report "+report, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var s *Scheduler
					var got []string
					s = New(WithPanic(func(name string, v any, _ []byte) {
						if report == "awaits" {
							s.Await(answer(time.Second))
						}
						got = append(got, name)
					}))
					s.Start()
					ticks, tasks := 0, 0
					s.NewTimer(time.Millisecond, func() { ticks++ })
					tt.act(s)
					for range 10 {
						s.PushTask(func() { s.Await(answer(time.Second)); tasks++ })
					}
					time.Sleep(9*time.Second + time.Microsecond)
					end(s)
					if !slices.Equal(got, tt.want) {
						t.Errorf("reported %q, want %q", got, tt.want)
					}
					if ticks != 9000 || tasks != 10 {
						t.Errorf("the scheduler did not go on: %d ticks, %d tasks", ticks, tasks)
					}
					if st := s.Stats(); st.Panics != uint64(len(tt.want)) || st.Awaiting != 0 {
						t.Errorf("stats: %+v", st)
					}
				})
			})
		}
	}
}

// What a call waits for before a shutdown, to save a player say, is seen to its end.
func TestCloseWaitsForAwait(t *testing.T) {
	run := map[string]func(*Scheduler){
		"Start": (*Scheduler).Start,
		"Run":   func(s *Scheduler) { go s.Run() },
	}
	for how, start := range run {
		tests := []struct {
			name string
			act  func(s *Scheduler)
			ms   int // when a Close from outside returns
		}{
			{"in the wait", func(s *Scheduler) { s.Await(answer(3 * time.Second)) }, 3000},
			{"before, of a call that asks again", func(s *Scheduler) {
				s.Await(answer(3 * time.Second))
				s.Await(answer(3 * time.Second))
			}, 6000},
			{"from the wait", func(s *Scheduler) {
				s.Await(func() { time.Sleep(500 * time.Millisecond); s.Close(); time.Sleep(2500 * time.Millisecond) })
			}, 3000},
			{"from the resumed call", func(s *Scheduler) {
				s.Await(answer(500 * time.Millisecond))
				s.Close()
				s.Await(answer(2500 * time.Millisecond))
				s.Close()
			}, 3000},
		}
		for _, tt := range tests {
			t.Run(how+"/"+tt.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := New()
					for range 3 { // a scheduler that was drained can run again
						if err := s.Configure(WithIdle(func(more func() bool) {})); err != nil {
							t.Fatal(err)
						}
						done := 0
						s.PushTask(func() { s.Await(answer(time.Millisecond)) })
						s.PushTask(func() { tt.act(s); done++ })
						s.NewAfterTimer(time.Millisecond, func() { tt.act(s); done++ })
						at := clock()
						start(s)
						time.Sleep(time.Second)
						end(s)
						if at() < tt.ms || at() > tt.ms+1 || done != 2 {
							t.Errorf("Close returned after %d ms, %d calls at their end, want %d and 2", at(), done, tt.ms)
						}
						if st := s.Stats(); st.Running != "" || st.Queued != 0 || st.Awaiting != 0 {
							t.Errorf("after Close: %+v", st)
						}
						synctest.Wait()
					}
				})
			})
		}
	}
}

// Who gave Run a goroutine, main perhaps, gets it back at the end and not before.
func TestRunReturnsAtTheEndAfterAwait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New()
		for range 3 {
			ended, at := make(chan int, 1), clock()
			go func() { s.Run(); ended <- at() }()
			synctest.Wait()
			for range 3 {
				s.PushTask(func() { s.Await(answer(time.Second)) })
				s.PushTask(func() { s.Await(answer(2 * time.Second)) })
			}
			time.Sleep(10 * time.Second)
			end(s)
			if ms := <-ended; ms != 10_000 {
				t.Errorf("Run returned after %d ms, Close came after 10000", ms)
			}
		}
	})
}
