package scheduler

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

//go:noinline
func stuckHandler(d time.Duration) { time.Sleep(d) }

// Who is called at night needs to know which handler holds up the game, and
// where, while it does.
func TestSlowCallIsReportedWhileItRuns(t *testing.T) {
	tests := []struct {
		name string
		want string
		act  func(s *Scheduler)
	}{
		{"job", "room.join", func(s *Scheduler) {
			js := jobs(5, func(int) { time.Sleep(500 * time.Millisecond) })
			js[3] = &job{"room.join", func() { stuckHandler(5 * time.Second) }}
			_ = s.Submit(js, nil)
		}},
		{"task", "task", func(s *Scheduler) { s.PushTask(func() { stuckHandler(5 * time.Second) }) }},
		{"timer", "timer", func(s *Scheduler) { s.NewAfterTimer(time.Second, func() { stuckHandler(5 * time.Second) }) }},
		{"timer between jobs", "timer", func(s *Scheduler) {
			s.NewAfterTimer(time.Second, func() { stuckHandler(5 * time.Second) })
			_ = s.Submit(jobs(5, func(int) { time.Sleep(500 * time.Millisecond) }), nil)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				reports := make(chan Slow, 10)
				s := started(t, WithName("lobby"), WithSlow(time.Second, func(r Slow) { reports <- r }))
				other := started(t, WithName("lobby"))
				other.PushTask(func() { time.Sleep(10 * time.Second) })
				tt.act(s)
				r := <-reports
				if run := s.Stats().Running; run != tt.want {
					t.Errorf("reported while %q was running", run)
				}
				if r.Scheduler != "lobby" || r.Name != tt.want || r.For < time.Second || r.For > 1250*time.Millisecond {
					t.Errorf("report: %+v", r)
				}
				if !contains(r.Stack, "stuckHandler") {
					t.Errorf("the stack does not show the handler:\n%s", r.Stack)
				}
				time.Sleep(time.Minute)
				if n := len(reports); n != 0 {
					t.Errorf("%d more reports: %+v", n, <-reports)
				}
			})
		})
	}
}

// Many short calls are no slow one, whatever their sum.
func TestShortCallsAreNotReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t, WithSlow(time.Second, func(r Slow) { t.Errorf("reported: %+v", r) }))
		_ = s.Submit(jobs(100, func(int) { time.Sleep(999 * time.Millisecond) }), nil)
		s.NewTimer(time.Second, func() { time.Sleep(900 * time.Millisecond) })
		time.Sleep(5 * time.Minute)
	})
}

func TestSlowReportsCanBeOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, d := range []time.Duration{0, -1} {
			s := New(WithSlow(d, func(r Slow) { t.Errorf("reported: %+v", r) }))
			s.Start()
			busy(s, time.Hour)
			end(s)
		}
		s := started(t) // the default one, to the log
		busy(s, time.Hour)
	})
}

// What handlers have answered goes out although another one takes long.
func TestStall(t *testing.T) {
	tests := []struct {
		name string
		opts []Option
		act  func(s *Scheduler)
		want []int // ms
	}{
		{"short batches", nil, func(s *Scheduler) { s.NewCountTimer(5*time.Millisecond, 20, func() { time.Sleep(time.Millisecond) }) }, nil},
		{"one long call", nil, func(s *Scheduler) { busy(s, 9*time.Millisecond) }, []int{2, 4, 6, 8}},
		{"many short calls in one batch", nil, func(s *Scheduler) {
			_ = s.Submit(jobs(9, func(int) { time.Sleep(time.Millisecond) }), nil)
		}, []int{2, 4, 6, 8}},
		{"not more often for the sake of slow reports", []Option{WithSlow(4*time.Millisecond, func(Slow) {})},
			func(s *Scheduler) { busy(s, 9*time.Millisecond) }, []int{2, 4, 6, 8}},
		{"without slow reports", []Option{WithSlow(0, nil)}, func(s *Scheduler) { busy(s, 5*time.Millisecond) }, []int{2, 4}},
		{"off", []Option{WithStall(0, func() {})}, func(s *Scheduler) { busy(s, 9*time.Millisecond) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				calls := make(chan time.Time, 1000)
				s := started(t, append([]Option{WithStall(2*time.Millisecond, func() { calls <- time.Now() })}, tt.opts...)...)
				busy(s, restInterval+time.Millisecond) // from now on it is known that calls may take long
				time.Sleep(500 * time.Millisecond)
				for len(calls) > 0 {
					<-calls
				}
				began := time.Now()
				tt.act(s)
				time.Sleep(time.Second)
				end(s)
				close(calls)
				for _, want := range tt.want {
					if at, ok := <-calls; !ok || at.Sub(began) != time.Duration(want)*time.Millisecond {
						t.Errorf("called after %v (%v), want %d ms", at.Sub(began), ok, want)
					}
				}
				if at, ok := <-calls; ok {
					t.Errorf("called once more after %v", at.Sub(began))
				}
			})
		})
	}
}

// Most loops never stall, and are not looked at all the time. The first batch that does is seen a
// little later.
func TestFirstStall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		at := clock()
		var calls []int
		s := started(t, WithStall(2*time.Millisecond, func() { calls = append(calls, at()) }))
		for range 2 {
			busy(s, 105*time.Millisecond)
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		if want := []int{100, 102, 104, 2100, 2102, 2104}; !slices.Equal(calls, want) {
			t.Errorf("called after %v ms, want %v", calls, want)
		}
	})
}

// Ten thousand idle rooms with schedulers must not tick.
func TestWatchSleepsWhenIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t, WithStall(2*time.Millisecond, func() {}))
		awake := func() bool { return s.loop.watch.awake.Load() }
		synctest.Wait()
		if awake() {
			t.Error("awake before any work")
		}
		for range 3 {
			s.PushTask(func() {})
			synctest.Wait()
			if !awake() {
				t.Error("not awake after work")
			}
			time.Sleep(2*restInterval + time.Millisecond)
			if awake() {
				t.Error("still awake after two quiet ticks")
			}
		}
		s.NewTimer(time.Millisecond, func() {})
		for range 100 {
			time.Sleep(1500 * time.Microsecond)
			if !awake() {
				t.Fatal("asleep while the loop works")
			}
		}
	})
}
